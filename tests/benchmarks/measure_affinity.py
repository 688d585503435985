"""One measurement in a process of its own: `python measure_affinity.py <unfold|local|skip> <h> <w> <channels>` prints
JSON."""

import json
import resource
import runpy
import statistics
import sys
import time
from pathlib import Path

import torch

from vosbench.ops.affinity import local_readout

REFERENCES, RADIUS, TOP_K, REPEATS = 5, 12, 36, 3


def resident() -> float:
    """MiB in use now; where the system does not say, the most so far."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def masks(h: int, w: int) -> torch.Tensor:
    """Background and an ellipse on an eighth of the picture."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    inside = ((y / 0.5) ** 2 + (x / 0.32) ** 2 < 1).float()
    return torch.stack((1 - inside, inside)).unsqueeze(0)


def main(what: str, h: int, w: int, channels: int) -> dict[str, float]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    query, *keys = (torch.randn(1, channels, h, w) for _ in range(REFERENCES + 1))
    values = [masks(h, w).roll(i, 3) for i in range(REFERENCES)]
    options = {"radius": RADIUS, "scale": channels**-0.5, "top_k": TOP_K}
    if what == "unfold":
        run = runpy.run_path(str(Path(__file__).parents[1] / "reference.py"))["unfold_readout"]
    else:
        run, options["skip_uniform"] = local_readout, what == "skip"
    seconds, before = [], resident()
    with torch.inference_mode():
        for _ in range(REPEATS):
            start = time.process_time()
            run(query, keys, values, **options)
            seconds.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {"seconds": statistics.median(seconds), "mib": peak - before}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], *map(int, sys.argv[2:]))))
