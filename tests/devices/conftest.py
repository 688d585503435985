"""The pretend accelerator of these tests. They run in processes of their own: torch has to know of it before it
computes any gradients."""

import runpy
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def pretending() -> Callable[[], AbstractContextManager[torch.device]]:
    """A pretend accelerator, for as long as its context lasts: see pretend_device.py."""
    found: Callable[[], AbstractContextManager[torch.device]]
    found = runpy.run_path(str(Path(__file__).with_name("pretend_device.py")))["pretending"]
    return found
