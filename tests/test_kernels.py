"""`channels_last` and `compile`: options that change how networks compute, and not the label maps."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vosbench.inference.kernels import arranged
from vosbench.inference.memory import FrameMemory
from vosbench.inference.propagator import Propagator
from vosbench.inference.resizing import ShortSide
from vosbench.method import Method
from vosbench.methods.mamp.method import MAMP
from vosbench.methods.mask_embedding.method import MaskEmbedding
from vosbench.methods.munet.method import MUNet
from vosbench.methods.munet.motion import MotionUncertaintyLayer
from vosbench.nn.optical_flow import Dis
from vosbench.util.errors import UserError
from vosbench.video.video import LabelMap

Command = Callable[..., Any]
METHODS: dict[str, Callable[[], Method[Any, Any]]] = {
    "mamp": lambda: MAMP(Dis(), widths=(8, 8, 8, 8), channels=8, radius=4),
    "mask_embedding": lambda: MaskEmbedding(
        widths=(8, 8), channels=(8, 16), decoder_widths=(16, 8, 8), rounds=2, radius=4
    ),
    "munet": lambda: MUNet(
        depth=18, width=8, channels=(8, 16), decoder_width=8, motion=partial(MotionUncertaintyLayer, radius=3)
    ),
}


def predicted(name: str, **options: bool) -> tuple[Sequence[LabelMap], Method[Any, Any]]:
    """Label maps of squares over noise, one of which starts late."""
    torch.manual_seed(0)
    method = METHODS[name]().eval()
    arranged(method, **{"channels_last": False, "compiled": False, **options})
    images = np.random.default_rng(0).integers(0, 255, (4, 46, 62, 3), np.uint8)
    masks = np.zeros((2, 46, 62), np.uint8)
    masks[0, 5:20, 5:20], masks[1, 25:40, 30:50] = 1, 2
    given = {0: masks[0], 2: masks[1]}
    run = Propagator(method, FrameMemory(recent=[1]), ShortSide())
    return [run.step(image, given.get(index)) for index, image in enumerate(images)], method


@pytest.mark.parametrize("name", METHODS)
def test_channels_last(name: str) -> None:
    expected, before = predicted(name)
    found, after = predicted(name, channels_last=True)
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(expected)) == 3
    weights = [each for each in after.parameters() if each.dim() == 4 and each.shape[1] > 1]
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in weights)
    for key, value in before.state_dict().items():
        assert torch.equal(after.state_dict()[key], value), key


# The others' networks are traced as for compiling, and then run as they are: compiling them takes minutes.
@pytest.mark.slow
@pytest.mark.parametrize(("name", "backend"), [("mamp", "inductor"), ("mask_embedding", "eager"), ("munet", "eager")])
def test_compiled(name: str, backend: str) -> None:
    """In a process of its own: the checks of shapes in this one fail on the numberless shapes that torch traces."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, __file__, name, backend]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def compare(name: str, backend: str) -> None:
    expected, before = predicted(name)
    nn.Module.compile = partialmethod(nn.Module.compile, backend=backend)  # type: ignore[method-assign,assignment]
    found, after = predicted(name, compiled=True)
    np.testing.assert_array_equal(found, expected)
    assert after.state_dict().keys() == before.state_dict().keys()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0


def on(davis: Path, *options: str) -> list[str]:
    tiny = ["method=mamp", "checkpoint=none", "method.widths=[4,4,4,4]", "method.channels=4", "method.radius=3"]
    return ["predict", "dataset=davis2017", f"dataset.root={davis}", "device=cpu", *tiny, *options]


def test_no_compiler(command: Command, davis: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/g++")
    done = command(*on(davis, "compile=true"))
    done.error(1, "compile=true needs a C++ compiler", "/nowhere/g++", "compile=false")
    assert command(*on(davis, "channels_last=true")).status == 0


def test_a_missing_compiler_is_said_before_the_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UserError, match=r"there is no (clang|g)\+\+ here"):
        predicted("mamp", compiled=True)


if __name__ == "__main__":
    compare(*sys.argv[1:])
