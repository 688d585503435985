"""`vosbench new method=<name>`: writes a working method of one's own: a package with its code, a recipe and a test.

What it writes trains and predicts as it stands, and is meant to be changed.
"""

import keyword
import logging
import re
from dataclasses import dataclass
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path

from vosbench.cli import configuration
from vosbench.settings.options import FileName, Where
from vosbench.util.errors import UserError
from vosbench.util.files import folder_aside

log = logging.getLogger(__name__)
NAME = "my_method"  # in the skeleton, whose class is MyMethod


@dataclass(frozen=True, kw_only=True)
class Options:
    """The keys of conf/new.yaml, which explains them."""

    method: dict[str, str]
    output: Where[FileName]


def run(options: Options) -> None:
    """Raises UserError for a name that cannot be a method's, and for an existing folder."""
    name, output = options.method["name"], Path(options.output)
    _check(name)
    if output.exists():
        raise UserError(f"{output} exists: give output=<another folder>")
    with folder_aside(output) as folder, as_file(files("vosbench.skeleton") / NAME) as skeleton:
        for path in sorted(skeleton.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                _write(folder / _renamed(str(path.relative_to(skeleton)), name), path.read_text(encoding="utf-8"), name)
    log.info("wrote %s\n\ntry it:\n", output)
    log.info("  cd %s", output)
    log.info("  vosbench check --config-dir %s method=%s", name, name)
    log.info("  vosbench benchmark --config-dir %s method=%s checkpoint=none dataset=collage", name, name)


def _check(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UserError(f"method={name}: give a Python name in small letters, such as {NAME}")
    if name in configuration.groups(configuration.compose("benchmark"))["method"]:
        raise UserError(f"method={name} exists already: choose another name")
    if found := find_spec(name):
        where = found.origin or next(iter(found.submodule_search_locations or ()), "built in")
        raise UserError(f"method={name}: Python has a module of that name already ({where}): choose another one")


def _write(path: Path, text: str, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_renamed(text, name), encoding="utf-8")


def _renamed(text: str, name: str) -> str:
    title = "".join(part.capitalize() for part in name.split("_"))
    return text.replace(NAME, name).replace("MyMethod", title).replace("My method", name.replace("_", " ").capitalize())
