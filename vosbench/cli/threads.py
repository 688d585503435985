"""How the threads of numerical libraries wait for each other."""

import os

SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # of OpenMP, GNU's and Intel's
SPINS = "2000"  # of GNU's: less than a hundredth of its default, and enough for the short gaps between two operations


def wait_without_work() -> None:
    """Lets waiting threads sleep soon, unless the user has set how they wait. Call it before torch is imported.

    By default they spin for long. On a busy machine, that takes the processor from the very thread that they wait for.
    Without any spinning, a free machine is slower.
    """
    if not any(name in os.environ for name in SETTINGS):
        os.environ.update(OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT=SPINS)
