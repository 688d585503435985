"""A long video's memory in a process of its own: `python measure_memory.py <stm|adaptive> <frames>` prints JSON.

Two objects, 100 cells a frame, 64 channels a key and 256 a value. Of ten frames, the content of nine is much like the
first's and one shows something new, so that tokens are merged, added and dropped. The bank has 3,000 tokens and not its
default of 300,000, so that it is full by frame 100. `seconds` is the median of a step (read, then memorize)
around frame 100 and around the last one, `mib` the process at both.
"""

import json
import resource
import statistics
import sys
import time
from dataclasses import dataclass

import torch

from vosbench.contract import Entry
from vosbench.inference.memory import FrameMemory, Memory
from vosbench.inference.token_bank import TokenBank
from vosbench.ops.tokens import Tokens, read_tokens

OBJECTS, CELLS, KEY, VALUE = 2, 100, 64, 256
EARLY, SPAN = 100, 50


@dataclass(frozen=True)
class Kept:
    """What a method keeps of a frame."""

    tokens: Tokens


def frame(index: int) -> Tokens:
    generator = torch.Generator().manual_seed(index if index % 10 == 0 else 0)
    keys = torch.randn(OBJECTS, KEY, CELLS, generator=generator)
    return Tokens(keys + 0.05 * torch.randn_like(keys), torch.randn(OBJECTS, VALUE, CELLS))


@torch.inference_mode()
def main(policy: str, frames: int) -> dict[str, list[float]]:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the products are too small to share: waiting for other threads would be measured
    memory: Memory[Kept] = FrameMemory(recent=(1,), every=5) if policy == "stm" else TokenBank(budget=3000)
    memory.add(Entry(0, True, Kept(frame(0))))
    times, mib = [], []
    for index in range(1, frames + 1):
        new = frame(index)
        start = time.perf_counter()
        parts = [entry.value.tokens for entry in memory.references(index)]
        _, usage = read_tokens(new.keys[0], parts, scale=KEY**-0.5)
        memory.note_usage(usage)
        memory.add(Entry(index, False, Kept(new)))
        times.append(time.perf_counter() - start)
        if index in (EARLY + SPAN, frames):
            mib.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
    spans = (times[EARLY : EARLY + SPAN], times[-SPAN:])
    return {"seconds": [statistics.median(span) for span in spans], "mib": mib}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
