"""Writing files whole or not at all, with errors that name the file. No packages: scoring processes import this."""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds the file name `path` to an OSError that has none, such as a failed write on a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def replacing(path: Path, *, synced: bool = False) -> Iterator[Path]:
    """Gives a temporary path whose file replaces `path` at the end: `with replacing(path) as aside: …`

    After an error the temporary file is removed. An OSError of writing it names `path`. `synced`: the file is on the
    disk before it replaces another, so that not even a power cut leaves half of it.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")  # process numbers of two machines may be equal
    try:
        with naming(aside):
            yield aside
            if synced:
                _sync(aside)
            aside.replace(path)
            if synced:
                _sync(path.parent)
    except OSError as error:
        if str(error.filename) == str(aside):
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # a folder that cannot be written does not allow removing either
            aside.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes, *, synced: bool = False) -> None:
    """Writes a temporary file and renames it, so that `path` is never half written; see `replacing`. An OSError names
    the file."""
    with replacing(path, synced=synced) as aside:
        aside.write_bytes(content)


def _sync(path: Path) -> None:
    """Waits until a file or the entries of a folder are on the disk. Some network disks cannot do that for folders."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def name_of(path: Path) -> str:
    """The name of a file without its ending, or of a folder; of what the path leads to, such as that of the current
    folder for `.`"""
    place = path.resolve()
    name = place.name if place.is_dir() else place.stem
    return name if name.strip(".") else "unnamed"


def content_digest(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal digits."""
    with naming(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(files: Iterable[tuple[str, Path]]) -> str:
    """sha256 over the names, sizes and contents of files. A file that does not exist counts as missing."""
    digest = hashlib.sha256()
    for name, path in files:
        content = path.read_bytes() if path.is_file() else b"missing"
        digest.update(f"{name} {len(content)}\n".encode(errors="surrogateescape") + content)
    return digest.hexdigest()


@contextmanager
def folder_aside(path: Path) -> Iterator[Path]:
    """Gives an empty temporary folder that replaces `path` at the end: `with folder_aside(path) as aside: …`

    Leftovers of a killed process are removed first. After an error the temporary folder is removed and `path` is
    unchanged. Two processes must not write to the same path.
    """
    aside, old = path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.rename(old)  # atomic: a half-removed folder would look complete
        aside.rename(path)
    finally:
        for leftover in (aside, old):
            shutil.rmtree(leftover, ignore_errors=True)
