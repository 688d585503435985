"""Reading files with libraries: whatever they raise becomes one line that names the file. It imports nothing
heavy: scoring processes import it."""

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from vosbench.util.errors import UserError

KINDS = {  # what cannot be read as a file; reading from a pipe would wait for ever
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
LETTERS = 200  # of a library's explanation: some repeat what they read


@contextmanager
def reading(path: Path, what: str, remedy: str) -> Iterator[None]:
    """Raises UserError as `naming_reader` does, and before the body for what is not a file, such as a pipe."""
    with naming_reader(path, what, remedy):
        _refuse_others(path)
        yield


@contextmanager
def naming_reader(path: Path, what: str, remedy: str) -> Iterator[None]:
    """Raises UserError "cannot read <what> <path>: <why>; <remedy>" for anything that the body raises. `what` may be
    empty.

    Libraries raise what they like for a damaged file. So the body holds the calls into the library and nothing of our
    own, whose mistakes would be taken for the file's.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"cannot read {f'{what} ' * bool(what)}{path}: {_why(error)}; {remedy}") from error


def read_json(path: Path, what: str, remedy: str) -> Any:
    """The content of a JSON file in UTF-8, UTF-16 or UTF-32. Raises UserError as `reading` does, also for a file that
    nests too deeply."""
    with reading(path, what, remedy):
        return _parsed(content_of(path))


def _parsed(content: bytes) -> Any:
    """The content of JSON. orjson is several times as fast, but knows UTF-8 alone and explains less."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return json.loads(content)


def content_of(path: Path) -> bytes:
    """The bytes of a file. Raises EOFError for an empty one."""
    content = path.read_bytes()
    if not content:
        raise EOFError("it is empty")
    return content


def _refuse_others(path: Path) -> None:
    """Raises OSError for a path that is missing or no regular file."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise OSError(f"it is {KINDS.get(stat.S_IFMT(mode), 'no regular file')}, not a file")


def _why(error: Exception) -> str:
    """What a library says, as the rest of one line: some say nothing, some say a page."""
    if system := getattr(error, "strerror", None):
        return str(system)
    if isinstance(error, RecursionError):
        return "it nests too deeply"
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if not said:
        return "it ends too early" if isinstance(error, EOFError) else type(error).__name__
    return said if len(said) <= LETTERS else f"{said[:LETTERS]}…"
