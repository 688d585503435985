"""The pretend accelerator of these tests. They run in processes of their own: torch has to know of it before it
computes any gradients."""

import runpy
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture(scope="session")
def pretending() -> Callable[[], AbstractContextManager[torch.device]]:
    """A pretend accelerator, for as long as its context lasts: see pretend_device.py."""
    found: Any = runpy.run_path(str(Path(__file__).with_name("pretend_device.py")))["pretending"]
    return found  # type: ignore[no-any-return]
