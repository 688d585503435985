"""What an installation of vosbench has, fact by fact, for `vosbench doctor`."""

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

import torch
from packaging.requirements import Requirement

import vosbench
from vosbench.runs.code import commit
from vosbench.util.errors import UserError
from vosbench.weights.index import index

GIB = 2**30


class Fact(NamedTuple):
    """One line. `problem`: something cannot work as it is."""

    name: str
    text: str
    problem: bool = False


def versions() -> Iterator[Fact]:
    """vosbench, Python, and every package that it needs."""
    yield Fact(
        "vosbench",
        f"{vosbench.__version__}, commit {(commit() or 'unknown')[:12]}, in {Path(vosbench.__file__).parent}",
    )
    yield Fact("python", f"{platform.python_version()}, {platform.system()} {platform.machine()}, {sys.executable}")
    needed = [each for each in _requirements() if each.marker is None]
    yield Fact("packages", ", ".join(f"{each.name} {_version(each.name) or 'missing'}" for each in needed))
    for each in needed:
        found = _version(each.name)
        if found is None or not each.specifier.contains(found, prereleases=True):
            text = f"{found or 'missing'}, but vosbench needs {each.specifier}: pip install '{each}'"
            yield Fact(each.name, text, problem=True)


def extras() -> Iterator[Fact]:
    """What optional parts of vosbench need."""
    optional = [(each, re.search(r"extra == ['\"](\w+)", str(each.marker))) for each in _requirements()]
    for each, extra in optional:
        if extra and extra[1] != "dev":
            missing = f"missing: pip install 'vosbench[{extra[1]}]'"
            yield Fact(extra[1], f"{each.name} {_version(each.name) or missing}")


def devices() -> Iterator[Fact]:
    """The processor and its memory, and GPUs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    able = torch.backends.cpu.get_cpu_capability()
    yield Fact("cpu", f"{os.cpu_count()} cores, {able}, torch uses {torch.get_num_threads()} threads, {memory:.0f} GiB")
    for number in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(number)
        half = "bf16" if torch.cuda.is_bf16_supported() else "no bf16: use 16-mixed"
        yield Fact(f"cuda:{number}", f"{gpu.name}, {gpu.total_memory / GIB:.0f} GiB, {half}")
    if not torch.cuda.is_available():
        built = f"is built for CUDA {torch.version.cuda}" if torch.version.cuda else "is built without CUDA"
        yield Fact("cuda", f"none: torch {built}" + (", and sees no GPU or driver" if torch.version.cuda else ""))


def weights() -> Iterator[Fact]:
    """The weights that ship with vosbench, compared with their index."""
    for name, shipped in index().items():
        try:
            yield Fact(name, f"whole, {shipped.checked().stat().st_size / 1e6:.1f} MB, {shipped.facts.licence}")
        except UserError as error:
            yield Fact(name, str(error), problem=True)


def places(runs: Path) -> Iterator[Fact]:
    """Whether results can be written, and the free space."""
    above = next(folder for folder in (runs, *runs.absolute().parents) if folder.is_dir())
    free = f"{shutil.disk_usage(above).free / GIB:.0f} GiB free"
    if os.access(above, os.W_OK):
        yield Fact("runs", f"{runs}, writable, {free}")
    else:
        yield Fact("runs", f"{above} cannot be written: give runs=<another folder>", problem=True)


def _requirements() -> list[Requirement]:
    return [Requirement(each) for each in requires("vosbench") or ()]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
