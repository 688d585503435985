"""One measurement in a process of its own: `python measure_matching.py <full|blocked> <setting> <h> <w> <references>
<values>` prints JSON."""

import json
import resource
import runpy
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as nnf

from vosbench.ops.matching import global_local_readout

REPEATS = 3
CHANNELS = {"mask_embedding": 128, "vit": 384}
SETTINGS: dict[str, dict[str, Any]] = {
    "mask_embedding": {"radius": 12, "temperature": 0.05, "top_k": 10, "window": "disk"},
    "vit": {"radius": 12, "temperature": 0.1, "top_k": 5, "window": "square"},
}
SIBLINGS = Path(__file__).parent


def main(what: str, setting: str, h: int, w: int, references: int, values: int) -> dict[str, float]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    query, *keys = (nnf.normalize(torch.randn(1, CHANNELS[setting], h, w), dim=1) for _ in range(references + 1))
    held = [torch.rand(1, values, h, w) for _ in range(references)]
    unrestricted = [i == 0 and setting == "mask_embedding" for i in range(references)]
    plain = runpy.run_path(str(SIBLINGS.parent / "test_matching.py"))["full_readout"]
    resident = runpy.run_path(str(SIBLINGS / "measure_affinity.py"))["resident"]
    run = plain if what == "full" else global_local_readout
    seconds, before = [], resident()
    with torch.inference_mode():
        for _ in range(REPEATS):
            start = time.process_time()
            run(query, keys, held, unrestricted=unrestricted, **SETTINGS[setting])
            seconds.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {"seconds": statistics.median(seconds), "mib": peak - before}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))))
