"""Files on the Hugging Face Hub: `hf:<owner>/<repo>/<file>`, which are downloaded once. It imports no packages until
one is asked for."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from vosbench.util.errors import FULL, UserError, one_line

PREFIX = "hf:"
NAMED = re.compile(r"hf:(?P<repo>[^/@]+/[^/@]+)/(?P<file>[^@]+)(@(?P<revision>.+))?")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HubFile:
    """A file of the Hub on this machine, in the cache of huggingface_hub. `name`: hf:<owner>/<repo>/<file>@<commit>"""

    path: Path
    name: str


def is_on_hub(name: str) -> bool:
    return name.startswith(PREFIX)


def local(name: str) -> Path:
    """The file that `name` means: a path, or `hf:<owner>/<repo>/<file>`, which is downloaded unless it is in the cache.
    Raises UserError as `fetched` does."""
    return fetched(name).path if is_on_hub(name) else Path(name)


@cache
def fetched(name: str) -> HubFile:
    """The file that `hf:<owner>/<repo>/<file>`, maybe with `@<branch, tag or commit>`, means; in one process always the
    same. Without a network, the one in the cache.

    Raises UserError for a name of another form, without huggingface_hub, and for what cannot be had.
    """
    match = NAMED.fullmatch(name)
    if match is None:
        raise UserError(f"{name} names no file of the Hub: give hf:<owner>/<repo>/<file>, maybe with @<revision>")
    hub = _library(name)
    wanted = {"repo_id": match["repo"], "filename": match["file"], "revision": match["revision"]}
    with quiet_hub(), _explained(name, hub, **wanted):
        found = hub.hf_hub_download(**wanted, dry_run=True)
        if found.will_download:
            log.info("downloading %s%s", name, f" ({found.file_size / 1e6:.1f} MB)" if found.file_size else "")
        path = Path(hub.hf_hub_download(**wanted))
    commit = path.parents[match["file"].count("/")].name
    return HubFile(path, f"{PREFIX}{match['repo']}/{match['file']}@{commit}")


@contextmanager
def quiet_hub() -> Iterator[None]:
    """huggingface_hub tells each attempt of a download twice. The error at the end says it, too."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _library(name: str) -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError as error:
        raise UserError(f"{name} needs huggingface_hub ({one_line(error)}): pip install 'vosbench[hf]'") from error
    return huggingface_hub


@contextmanager
def _explained(name: str, hub: ModuleType, *, repo_id: str, filename: str, revision: str | None) -> Iterator[None]:
    """Turns the errors of huggingface_hub into a line with a remedy. A full disk stays what it is."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        why = _why(error, hub, repo_id, filename, revision or "main")
        raise UserError(f"cannot get {name}: {why}") from error


def _why(error: Exception, hub: ModuleType, repo: str, file: str, revision: str) -> str:
    """What is wrong, and what to do. Some classes of errors are special cases of later ones."""
    errors, place = hub.errors, f"{hub.constants.ENDPOINT}/{repo}"
    match error:
        case errors.GatedRepoError():
            return f"its authors share {repo} on conditions: accept them at {place}, then `hf auth login`"
        case errors.RepositoryNotFoundError():
            return f"there is no {place}, or it is private: mend the name, or `hf auth login`"
        case errors.RevisionNotFoundError():
            return f"{repo} has no revision {revision}: give another after @, or none; {place}/tree/main lists them"
        case errors.LocalEntryNotFoundError() if isinstance(error.__cause__, errors.OfflineModeIsEnabled):
            return "it is not in the cache, and HF_HUB_OFFLINE forbids to download it: unset that, or give a file"
        case errors.LocalEntryNotFoundError():
            reason = one_line(error.__cause__ or error)[:200]
            return f"{hub.constants.ENDPOINT} does not give it ({reason}): repeat the command later, or give a file"
        case errors.EntryNotFoundError():
            return f"{repo} has no file {file} in revision {revision}: {place}/tree/{revision} lists those it has"
    said = one_line(error)
    return f"{said[:200] or type(error).__name__}: repeat the command, or give a file"
