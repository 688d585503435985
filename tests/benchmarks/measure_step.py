"""A step of the whole mask-embedding method in a process of its own: `python measure_step.py <depth> <objects>` prints
JSON.

480×856 pixels, 21 references, three rounds; the memory is that of the process, with all libraries and the network.
"""

import json
import resource
import statistics
import sys
import time

import torch

from vosbench.contract import Context, Entry, Previous
from vosbench.methods.mask_embedding.method import MaskEmbedding

SIZE, REFERENCES, REPEATS = (480, 856), 21, 3


@torch.inference_mode()
def main(depth: int, objects: int) -> dict[str, float]:
    torch.manual_seed(0)
    method = MaskEmbedding(depth=depth).eval()  # type: ignore[arg-type]
    entries = []
    for index in range(REFERENCES):
        features = method.encode(torch.rand(1, 3, *SIZE))
        masks = torch.rand(1, objects + 1, *SIZE).softmax(1)
        entries.append(Entry(index, index == 0, method.memorize(features, masks)))
    context = Context(REFERENCES, Previous(REFERENCES - 1, features, entries[-1].value), tuple(entries))
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        query = method.encode(torch.rand(1, 3, *SIZE))
        method.memorize(query, method.segment(query, context).scores)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {"seconds": statistics.median(seconds), "mib": peak}


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:]))))
