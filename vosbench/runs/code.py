"""The source code that made a result: digests of the modules involved, found by following imports, and the commit."""

import ast
import hashlib
import subprocess
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import vosbench

OWN = "vosbench"
# Messages, files, names and declarations: they do not change results.
ASIDE = ("vosbench.util", "vosbench.settings", "vosbench.cli", "vosbench.runs")
INSTALLED = ("site-packages", "dist-packages")
LIBRARIES = ("torch", "torchvision", "lightning")  # configurations name their classes; records list their versions


def sources(modules: Iterable[str]) -> dict[str, str]:
    """A digest of the source of each of these modules, and of every module they import from vosbench or their own code.

    A module's own code is its package or, for a single file in a user's folder, the files beside it. Other packages
    (torch, numpy) do not count, even if a configuration names their classes: torch alone would take a minute. A long
    command calls this when it starts, because the files may have changed by its end.
    """
    modules, found = [each for each in modules if each.partition(".")[0] not in LIBRARIES], dict[str, str]()
    folders = _folders(module.partition(".")[0] for module in modules)
    tops = {module.partition(".")[0] for module in modules} | {OWN}
    waiting = [module for module in modules if not _is_aside(module)]
    while waiting:
        module = waiting.pop()
        path = _file(module)
        if module in found or path is None:
            continue
        found[module], imported = _read(path, _package(module, path))
        waiting += [name for name in imported if _counts(name, tops, folders)]
    return dict(sorted(found.items()))


def _counts(name: str, tops: Collection[str], folders: Collection[Path]) -> bool:
    """Whether an imported module belongs to vosbench or to the code that was asked for."""
    top = name.partition(".")[0]
    return (top in tops or bool(folders and _folders([top]) & set(folders))) and not _is_aside(name)


def _is_aside(module: str) -> bool:
    return module == OWN or f"{module}.".startswith(tuple(f"{package}." for package in ASIDE))


def _folders(tops: Iterable[str]) -> set[Path]:
    """The folders of a user's own modules and packages, as opposed to installed ones."""
    found = set()
    for top in set(tops) - {OWN}:
        if path := _file(top):
            folder = path.parent.parent if path.name == "__init__.py" else path.parent
            if not set(INSTALLED) & set(folder.parts) and folder != Path(ast.__file__).parent:
                found.add(folder)
    return found


def _file(module: str) -> Path | None:
    """The source file of a module; None if the module has none or does not exist."""
    if module.partition(".")[0] == OWN:
        place = Path(vosbench.__file__).parent.joinpath(*module.split(".")[1:])
        return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    path = Path(spec.origin) if spec and spec.origin else None
    return path if path and path.suffix == ".py" and path.is_file() else None


def _package(module: str, path: Path) -> str:
    """The package that the module's relative imports start from."""
    return module if path.name == "__init__.py" else module.rpartition(".")[0]


def _read(path: Path, package: str) -> tuple[str, tuple[str, ...]]:
    """The digest of a file, and every module that it may import."""
    source = path.read_bytes()
    return hashlib.sha256(source).hexdigest()[:12], tuple(_imported(ast.parse(source), package))


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)  # a module, or a name that has no file


@cache
def commit() -> str | None:
    """The commit of the checkout this code runs from, with "-dirty" if files differ from it. Git is asked only once.

    A long command calls this when it starts, because the checkout may have changed by its end.
    """
    root = Path(vosbench.__file__).resolve().parents[1]
    if not (root / ".git").exists():  # installed, perhaps inside some other repository
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
