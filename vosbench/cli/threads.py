"""How the threads of numerical libraries wait for each other."""

import os

SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # of OpenMP, GNU's and Intel's


def wait_without_work() -> None:
    """Lets waiting threads sleep, unless the user has set how they wait. Call it before torch is imported.

    By default they spin. On a busy machine, that takes the processor from the very thread that they wait for.
    """
    if not any(name in os.environ for name in SETTINGS):
        os.environ["OMP_WAIT_POLICY"] = "passive"
