"""Frames under `channels_last` and `compile` in a process of its own: `python measure_kernels.py <method> <option>`.

<method>  mamp | mask_embedding | munet, of the width that trains on a CPU (MAMP: the paper's), with random weights
<option>  plain | channels_last | compiled

Prints JSON: the seconds of CPU time of a frame of 240×432 pixels and two objects, and of the first two together, which
compile.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from vosbench.inference.kernels import arranged
from vosbench.inference.memory import FrameMemory
from vosbench.inference.propagator import Propagator
from vosbench.inference.resizing import ShortSide
from vosbench.method import Method
from vosbench.methods.mamp.method import MAMP
from vosbench.methods.mask_embedding.method import MaskEmbedding
from vosbench.methods.munet.method import MUNet
from vosbench.methods.munet.motion import MotionUncertaintyLayer
from vosbench.nn.optical_flow import NoFlow

SIZE, FRAMES = (240, 432), 8
METHODS: dict[str, Callable[[], Method[Any, Any]]] = {
    "mamp": partial(MAMP, NoFlow()),
    "mask_embedding": partial(
        MaskEmbedding, widths=(32, 16), channels=(128, 128), decoder_widths=(128, 96, 64), decoder_kernel=3
    ),
    "munet": partial(
        MUNet,
        depth=18,
        width=32,
        channels=(64, 128),
        decoder_width=64,
        motion=partial(MotionUncertaintyLayer, temperature=0.005, outside="never"),
    ),
}


def main(name: str, option: str) -> dict[str, float]:
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    method = METHODS[name]().eval()
    arranged(method, channels_last=option == "channels_last", compiled=option == "compiled")
    picture = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    masks = np.zeros(SIZE, np.uint8)
    masks[40:120, 40:160], masks[130:220, 200:340] = 1, 2
    run = Propagator(method, FrameMemory(first=True, recent=(1,)), ShortSide())
    seconds = []
    for index in range(FRAMES):
        began = time.process_time()
        run.step(np.roll(picture, 2 * index, 1), None if index else masks)
        seconds.append(time.process_time() - began)
    return {"frame": statistics.median(seconds[2:]), "first": sum(seconds[:2])}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
