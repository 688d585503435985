"""Options of how a method's networks compute: they change speed and memory, and not the label maps."""

import os
import shutil
import sys

import torch
from torch import nn

from vosbench.util.errors import UserError


def arranged(method: nn.Module, *, channels_last: bool, compiled: bool) -> None:
    """Changes how the method's networks compute; weights and their names stay the same.

    channels_last  weights of convolutions, and with them all maps, have their channels adjacent in memory
    compiled       torch compiles each network at its first use. Only networks: what a method does between them
                   depends on the video, and would be compiled again and again

    Raises UserError without a C++ compiler, which torch would miss only at the first frame.
    """
    if channels_last:
        method.to(memory_format=torch.channels_last)
    if compiled:
        _check_compiler()
        for network in method.children():
            network.compile()


def _check_compiler() -> None:
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # as torch chooses it
    if shutil.which(name) is None:
        raise UserError(
            f"compile=true needs a C++ compiler, and there is no {name} here: install it, name another with "
            "CXX=<path>, or set compile=false"
        )
