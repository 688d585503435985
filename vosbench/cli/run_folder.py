"""The run folder of a command: made before Hydra needs it, and gone again when the command failed and left nothing."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from vosbench.cli.errors import Told
from vosbench.util.errors import FULL, UserError

HYDRA_WRITES = 2**16  # bytes at most: the configuration, how it came about, and an empty log


@contextmanager
def folder_for(folder: Path | None) -> Iterator[None]:
    """Makes the run folder for what runs inside; none is needed where it is None.

    When that ends with a line on what is wrong, and this made the folder, and nothing is in it but Hydra's files and a
    log, the folder goes, and so do those above it that this made. What ends with a traceback or an interrupt keeps it.
    Raises UserError naming a folder that cannot be made or written, OSError when the disk is full.
    """
    if folder is None:
        yield
        return
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        _try_writing(folder)
        yield
    except (UserError, OSError):  # of the line above: a job ends the process
        _drop(made)
        raise
    except Told as end:
        if not end.interrupted:
            _drop(made)
        raise


def _try_writing(folder: Path) -> None:
    """Makes the run folder and writes as much there as Hydra, which is next and would end with a traceback."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            file.write(bytes(HYDRA_WRITES))
    except OSError as error:
        if error.errno in FULL:
            raise OSError(error.errno, error.strerror, str(folder)) from error
        remedy = "set runs to a folder that can be written"
        raise UserError(f"cannot write into the run folder {folder}: {error.strerror}; {remedy}") from error


def _drop(made: list[Path]) -> None:
    """Removes the run folder, the first of these, if it holds no work, and then those above it that are empty."""
    if made and not any(_is_work(path, made[0]) for path in made[0].rglob("*")):
        shutil.rmtree(made[0], ignore_errors=True)
        for above in made[1:]:
            with suppress(OSError):  # something is in it, or it was not even made
                above.rmdir()


def _is_work(path: Path, folder: Path) -> bool:
    inside = path.relative_to(folder)
    return not path.is_dir() and inside.parts[0] != ".hydra" and not (len(inside.parts) == 1 and path.suffix == ".log")
