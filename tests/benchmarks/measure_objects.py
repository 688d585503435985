"""Many objects in a process of its own: `python measure_objects.py <method> <policy> <objects> <past>` prints JSON.

A network of the paper's size (munet, or mask_embedding18 and 50 for its two depths) with random weights segments a
frame of noise, 480×854 pixels, by the loop that predict uses. Policies are stm, first_last and adaptive as they are by
default, each with what it would hold after `past` frames: copies of what was kept of the first. `mb` is the peak of the
process, with all libraries and the network; `seconds` are its CPU's for the frame.
"""

import json
import runpy
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vosbench.contract import Entry
from vosbench.inference.memory import FrameMemory, Memory
from vosbench.inference.propagator import Propagator
from vosbench.inference.resizing import ShortSide
from vosbench.inference.token_bank import TokenBank
from vosbench.method import Method
from vosbench.methods.mask_embedding.method import MaskEmbedding
from vosbench.methods.munet.method import MUNet
from vosbench.methods.munet.motion import MotionUncertaintyLayer
from vosbench.video.video import LabelMap

SIZE = (480, 854)
METHODS: dict[str, Callable[[], Method[Any, Any]]] = {
    "munet": lambda: MUNet(motion=MotionUncertaintyLayer),
    "mask_embedding18": lambda: MaskEmbedding(depth=18),
    "mask_embedding50": lambda: MaskEmbedding(depth=50),
}
POLICIES: dict[str, Callable[[], Memory[Any]]] = {
    "stm": lambda: FrameMemory(recent=(1,), every=5),
    "first_last": lambda: FrameMemory(last_n=20),
    "adaptive": TokenBank,
}


class Aged:
    """A memory that takes the loop's first frame for the last of `past` ones, which are two or more."""

    def __init__(self, memory: Memory[Any], past: int) -> None:
        self.memory, self.past = memory, past
        self.replace, self.note_usage, self.forget = memory.replace, memory.note_usage, memory.forget

    def references(self, index: int) -> tuple[Entry[Any], ...]:
        return self.memory.references(index + self.past - 1)

    def add(self, entry: Entry[Any]) -> None:
        for index in range(self.past - 1 if entry.index == 0 else 0):
            self.memory.add(Entry(index, index == 0, another(entry.value)))
        self.memory.add(Entry(entry.index + self.past - 1, False, entry.value))


def another(value: Any) -> Any:
    """A copy; tokens have keys of their own, so that no bank merges them."""
    copied = deepcopy(value)
    if hasattr(copied, "tokens"):
        keys = torch.randn_like(copied.tokens.keys)
        return replace(copied, tokens=replace(copied.tokens, keys=keys))
    return copied


def given(objects: int) -> LabelMap:
    """Squares of 60 pixels in rows of five."""
    labels = np.zeros(SIZE, np.uint8)
    for index in range(objects):
        row, column = 100 * (index // 5) + 40, 160 * (index % 5) + 40
        labels[row : row + 60, column : column + 60] = index + 1
    return labels


def main(method: str, policy: str, objects: int, past: int) -> dict[str, float]:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # random weights make many, which take a CPU a hundred times longer
    torch.manual_seed(0)
    noise, memory = np.random.default_rng(0), Aged(POLICIES[policy](), past)
    propagator = Propagator(METHODS[method]().eval(), memory, ShortSide())
    first, second = (noise.integers(0, 255, (*SIZE, 3), np.uint8) for _ in range(2))
    propagator.step(first, given(objects))
    references, start = len(memory.references(1)), time.process_time()
    propagator.step(second)
    seconds = time.process_time() - start
    peak_mb = runpy.run_path(str(Path(__file__).with_name("measure_scoring.py")))["peak_mb"]
    return {"seconds": seconds, "mb": peak_mb(), "references": references}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))))
