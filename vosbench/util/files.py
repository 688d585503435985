"""Writing files: never half there, and errors that name the file. No packages: scoring processes import this."""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Makes an OSError name the file at `path` if it names none, as that of a write does not (on a full disk)."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a path to write to, whose file then takes the place of `path`: `with replacing(path) as aside: …`

    On an error nothing stays of it, and an OSError of writing it names `path`.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with naming(aside):
            yield aside
            aside.replace(path)
    except OSError as error:
        if str(error.filename) == str(aside):
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # where nothing can be written, nothing can be removed either
            aside.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes) -> None:
    """Written aside and renamed, so never half there. An OSError names the file."""
    with replacing(path) as aside:
        aside.write_bytes(content)


def content_digest(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal digits."""
    with naming(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(files: Iterable[tuple[str, Path]]) -> str:
    """sha256 over the names, sizes and contents of files; one that cannot be read is named, and counts as missing."""
    digest = hashlib.sha256()
    for name, path in files:
        content = path.read_bytes() if path.is_file() else b"missing"
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


@contextmanager
def folder_aside(path: Path) -> Iterator[Path]:
    """Gives an empty folder to write to, which then takes the place of `path`: `with folder_aside(path) as aside: …`

    What a killed process left behind is removed first. On an error nothing stays of what was written, and `path` is as
    it was. Two processes must not write to one path.
    """
    aside, old = path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.rename(old)  # at once: half of it would look whole
        aside.rename(path)
    finally:
        for leftover in (aside, old):
            shutil.rmtree(leftover, ignore_errors=True)
