"""The run folder of a command: made before Hydra needs it, and removed if the command fails without leaving work."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from vosbench.cli.errors import Told
from vosbench.util.errors import FULL, UserError

HYDRA_WRITES = 2**16  # bytes, at most: the configuration, Hydra's record of it, and an empty log


@contextmanager
def folder_for(folder: Path | None) -> Iterator[None]:
    """Makes the run folder for the command that runs inside; does nothing if `folder` is None.

    If the command ends with an error line, a folder made here that holds only Hydra's files and a log is removed, and
    so are the folders above it that were made here. After a traceback or an interrupt it stays. Raises UserError for a
    folder that cannot be made or written, and OSError if the disk is full.
    """
    if folder is None:
        yield
        return
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        _try_writing(folder)
        yield
    except (UserError, OSError):  # from the line before `yield`: errors of the command itself are a Told
        _drop(made)
        raise
    except Told as end:
        if not end.interrupted:
            _drop(made)
        raise


def _try_writing(folder: Path) -> None:
    """Makes the run folder and writes as much there as Hydra will, because Hydra would fail with a traceback."""
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
    """Removes the run folder (the first of `made`) if it holds no work, and then the empty folders above it."""
    if made and not any(_is_work(path, made[0]) for path in made[0].rglob("*")):
        shutil.rmtree(made[0], ignore_errors=True)
        for above in made[1:]:
            with suppress(OSError):  # it is not empty, or was never made
                above.rmdir()


def _is_work(path: Path, folder: Path) -> bool:
    inside = path.relative_to(folder)
    return not path.is_dir() and inside.parts[0] != ".hydra" and not (len(inside.parts) == 1 and path.suffix == ".log")
