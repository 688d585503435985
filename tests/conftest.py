"""Shared by all tests: shapes and types are checked as they run, one thread each, and where the real video is."""

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep3119Exception
from jaxtyping import install_import_hook

# Tests share small machines; processes that tests start inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")


typed = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int will do for a float, as in mypy


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """beartype, but functions that take a protocol stay unchecked: a check reads properties, and so videos."""
    try:
        return typed(function)
    except BeartypeDecorHintPep3119Exception:
        return function


typechecker = ModuleType("vosbench_typechecker")  # the hook takes a name that can be imported
typechecker.checked = checked  # type: ignore[attr-defined]
sys.modules[typechecker.__name__] = typechecker
install_import_hook("vosbench", f"{typechecker.__name__}.checked")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real video, for tests marked `real`; skips when VOSBENCH_DATA does not name one."""
    folder = os.environ.get("VOSBENCH_DATA")
    if not folder:
        pytest.skip("needs real video: set VOSBENCH_DATA to its folder")
    return Path(folder)


@pytest.fixture(scope="session")
def reference() -> dict[str, Any]:
    """What tests/reference.py defines: sibling modules cannot be imported from tests."""
    return runpy.run_path(str(Path(__file__).with_name("reference.py")))
