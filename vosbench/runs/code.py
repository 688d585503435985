"""Which source a result was made by: the modules that take part in it, found by following their imports, and the commit
of the checkout."""

import ast
import hashlib
import subprocess
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import vosbench

OWN = "vosbench"
ASIDE = ("vosbench.util", "vosbench.cli", "vosbench.runs")  # they say, write and name things, and compute nothing
INSTALLED = ("site-packages", "dist-packages")
LIBRARIES = ("torch", "torchvision", "lightning")  # whose classes configurations name; records list their versions


def sources(modules: Iterable[str]) -> dict[str, str]:
    """A digest of the source of each of these modules, and of all that they import of vosbench and of their own.

    A module's own are those of its package, or, of a single file in a user's folder, those beside it. Other packages
    (torch, numpy) do not count, nor where a configuration names their classes: torch alone would take a minute. A
    command that takes long asks when it starts: by its end the files may be others.
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
    """Whether an imported module is a part of vosbench, or of what was asked for."""
    top = name.partition(".")[0]
    return (top in tops or bool(folders and _folders([top]) & set(folders))) and not _is_aside(name)


def _is_aside(module: str) -> bool:
    return module == OWN or f"{module}.".startswith(tuple(f"{package}." for package in ASIDE))


def _folders(tops: Iterable[str]) -> set[Path]:
    """The folders in which a user's own modules and packages lie; not where packages are installed."""
    found = set()
    for top in set(tops) - {OWN}:
        if path := _file(top):
            folder = path.parent.parent if path.name == "__init__.py" else path.parent
            if not set(INSTALLED) & set(folder.parts) and folder != Path(ast.__file__).parent:
                found.add(folder)
    return found


def _file(module: str) -> Path | None:
    """The source file of a module; None for one that has none, or that does not exist."""
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
    """What relative imports are relative to."""
    return module if path.name == "__init__.py" else module.rpartition(".")[0]


def _read(path: Path, package: str) -> tuple[str, tuple[str, ...]]:
    """The digest of a file, and all that it may import."""
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
    """The commit of the checkout this code runs from, with "-dirty" when files differ from it; asked for once.

    A command that takes long asks when it starts: by its end the checkout may be another.
    """
    root = Path(vosbench.__file__).resolve().parents[1]
    if not (root / ".git").exists():  # installed, perhaps inside some other repository
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
