"""What only a real GPU can tell, in minutes: `python tests/gpu/measure.py --output gpu.json`.

Equality with the CPU in float32, half precisions, training at the papers' sizes, the most references that fit in 24 GB,
and training with two GPUs. It needs neither Hydra nor Lightning nor data; in a folder that is not installed, set
PYTHONPATH=. A section that fails is recorded with its error, and the others go on. `--device cpu --quick` tries the
script out.
"""

import argparse
import json
import platform
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn

from vosbench.contract import Clip, Context, Entry, Previous
from vosbench.datasets.collage.dataset import Collage
from vosbench.inference.device import AUTOCAST, autocast, peak_memory_mb, reset_peak_memory
from vosbench.inference.memory import FrameMemory
from vosbench.inference.propagator import Propagator
from vosbench.inference.resizing import ShortSide
from vosbench.methods.mamp.method import MAMP
from vosbench.methods.mask_embedding.contrastive import Contrastive
from vosbench.methods.mask_embedding.crops import MultiCrop
from vosbench.methods.mask_embedding.dino import Dino
from vosbench.methods.mask_embedding.method import MaskEmbedding
from vosbench.methods.mask_embedding.photometric import Photometric
from vosbench.methods.munet.method import MUNet
from vosbench.methods.munet.motion import MotionUncertaintyLayer
from vosbench.nn.optical_flow import NoFlow
from vosbench.nn.weight_files import read
from vosbench.video.video import Image, LabelMap, Video

Rows = list[dict[str, Any]]
Shown = list[tuple[Image, LabelMap | None]]
LIMIT_MB = 24_000  # of the papers' GPU
small_motion = partial(MotionUncertaintyLayer, temperature=0.005, outside="never")
# The shipped weights, with the memories of their recipes.
TRAINED: dict[str, tuple[Callable[[], Any], Callable[[], FrameMemory[Any]]]] = {
    "mamp": (partial(MAMP, NoFlow()), partial(FrameMemory, long=(0, 5), recent=(1, 3, 5))),
    "mask_embedding_small": (
        partial(
            MaskEmbedding,
            Photometric(),
            widths=(32, 16),
            channels=(128, 128),
            decoder_widths=(128, 96, 64),
            decoder_kernel=3,
        ),
        partial(FrameMemory, last_n=20),
    ),
    "munet_narrow": (
        partial(MUNet, depth=18, width=32, channels=(64, 128), shared=True, decoder_width=64, motion=small_motion),
        partial(FrameMemory, recent=(1,), every=5, max_frames=20),
    ),
}
# The papers' networks, with frames a clip, the side of a frame, and clips a step.
PAPERS: dict[str, tuple[Callable[[], Any], int, int, int]] = {
    "mamp": (partial(MAMP, NoFlow()), 2, 256, 24),
    "mask embedding, correspondence": (partial(MaskEmbedding, Contrastive(), decode=False), 2, 256, 16),
    "mask embedding, full": (partial(MaskEmbedding, Contrastive()), 2, 256, 16),
    "munet": (partial(MUNet, motion=MotionUncertaintyLayer), 3, 400, 4),
    "dino": (partial(Dino, MultiCrop()), 1, 256, 128),
}


def frames(quick: bool, length: int) -> Shown:
    shape = (64, 96) if quick else (480, 848)
    (shown,) = Collage("val", 1, max(length, 4), shape, objects=(3, 3)).videos
    return [(shown.frame(index), shown.given(index)) for index in range(2 if quick else length)]


def trained(name: str, device: torch.device | str) -> Any:
    method = TRAINED[name][0]().eval()
    with resources.as_file(resources.files("vosbench.weights") / f"{name}.safetensors") as path:
        method.load_state_dict(read(path)[0])
    return method.to(device)


def predicted(name: str, device: torch.device, precision: str, shown: Shown) -> tuple[list[LabelMap], list[float]]:
    """Label maps, and the seconds that each took."""
    run = Propagator(trained(name, device), TRAINED[name][1](), ShortSide(), device)
    with autocast(device, precision):
        return [run.step(image, given) for image, given in shown], list(run.seconds)


def equal(ours: list[LabelMap], theirs: list[LabelMap]) -> float:
    return round(float(np.mean([(one == other).mean() for one, other in zip(ours, theirs, strict=True)])), 5)


def equality(device: torch.device, quick: bool) -> Rows:
    """The share of equal pixels on device and CPU. TF32, torch's default for convolutions, is coarser than float32."""
    shown, rows = frames(quick, 4), []
    for name in TRAINED:
        expected, _ = predicted(name, torch.device("cpu"), "32-true", shown)
        for tf32 in (False, True):
            torch.backends.cudnn.allow_tf32 = tf32
            found, _ = predicted(name, device, "32-true", shown)
            rows.append({"method": name, "tf32": tf32, "equal": equal(found, expected)})
    return rows


def precisions(device: torch.device, quick: bool) -> Rows:
    """Frames a second of 480×848 pixels and three objects once memory is full, and pixels equal to those of float32."""
    shown, rows = frames(quick, 24), []
    for name in TRAINED:
        exact: list[LabelMap] = []
        for precision in ("32-true", "bf16-mixed") if quick else AUTOCAST:
            reset_peak_memory(device)
            maps, seconds = predicted(name, device, precision, shown)
            exact = exact or maps
            speed = 1 / statistics.median(seconds[len(maps) // 2 :])
            row = {"method": name, "precision": precision, "fps": round(speed, 2), "equal": equal(maps, exact)}
            rows.append({**row, "peak_mb": round(peak_memory_mb(device))})
    return rows


def clips(count: int, length: int, side: int, device: torch.device | str) -> Clip:
    """Crops of one collage, with its true masks for labels and pseudo-labels alike."""
    (shown,) = Collage("train", 1, length + 3, (side, side + 32), objects=(2, 2)).videos
    starts = [index % 3 for index in range(count)]
    pictures, masks = (
        torch.from_numpy(np.stack([[maps[start + i][:, :side] for i in range(length)] for start in starts]))
        for maps in zip(*[(shown.frame(i), _annotation(shown, i)) for i in range(length + 3)], strict=True)
    )
    indices = torch.tensor([[start + 6 * i for i in range(length)] for start in starts])
    labels, names = masks.long(), tuple(map(str, range(count)))
    valid = torch.ones(labels.shape, dtype=torch.bool)
    made = Clip(pictures.movedim(-1, 2) / 255, labels, indices, names, valid, labels, tuple(range(count)))
    return made.to(device)


def _annotation(shown: Video, index: int) -> LabelMap:
    labels = shown.annotation(index)
    assert labels is not None
    return labels


def step(module: nn.Module, batch: Clip) -> None:
    module.zero_grad()
    torch.stack(list(module.loss(batch).values())).sum().backward()  # type: ignore[operator]


def training(device: torch.device, quick: bool) -> Rows:
    """Clips a second of loss and gradients, and peak memory, at the papers' sizes."""
    rows = []
    for name, (make, length, side, count) in PAPERS.items():
        batch = clips(*(2, length, 64) if quick else (count, length, side), device)
        for precision in ("32-true",) if quick else ("32-true", "bf16-mixed"):
            torch.manual_seed(0)
            module = make().train().to(device)
            reset_peak_memory(device)
            seconds = []
            for _ in range(1 if quick else 5):
                began = time.perf_counter()
                with autocast(device, precision):
                    step(module, batch)
                synchronised(device)
                seconds.append(time.perf_counter() - began)
            row = {"method": name, "clips": len(batch.videos), "side": batch.frames.shape[-1], "precision": precision}
            speed = round(len(batch.videos) / statistics.median(seconds[-3:]), 2)
            rows.append({**row, "clips_s": speed, "peak_mb": round(peak_memory_mb(device))})
            del module
    return rows


def synchronised(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.inference_mode()
def references(device: torch.device, quick: bool) -> Rows:
    """The most references that MAMP reads within 24 GB, at 480×856 pixels and three objects. The paper says 18, and 5
    for MAST."""
    method = trained("mamp", device)
    size = (64, 96) if quick else (480, 856)
    features = method.encode(torch.rand(1, 3, *size, device=device))
    entry = method.memorize(features, torch.rand(1, 4, *size, device=device))
    first, most, peaks = 2 if quick else 18, 4 if quick else 512, {}

    def fits(count: int) -> bool:
        reset_peak_memory(device)
        copies = [replace(entry, features=replace(features, key=features.key.clone())) for _ in range(count)]
        entries = tuple(Entry(index, False, copy) for index, copy in enumerate(copies))
        method.segment(features, Context(count, Previous(count - 1, features, entries[-1].value), entries))
        peaks[count] = round(peak_memory_mb(device))
        return peaks[count] <= LIMIT_MB

    low, high = 0, first
    while high <= most and fits(high):
        low, high = high, 2 * high
    while high - low > 1 and high <= most:  # beyond `most`, `low` is at least what fits
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return [{"method": "mamp", "references": low, "more_tried": high <= most, "peak_mb": peaks.get(low)}]


def two_devices(device: torch.device, quick: bool) -> Rows:
    """Gradients of two GPUs, with half of the clips each and batch norm in common, against those of one."""
    if device.type == "cuda" and torch.cuda.device_count() < 2:
        return [{"result": "only one GPU here: not measured"}]
    if device.type != "cuda":
        return [{"result": "needs GPUs: batch norm in common does not work on a CPU"}]
    with TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(half, (folder,), nprocs=2)  # type: ignore[attr-defined,no-untyped-call]
        found = torch.load(Path(folder, "gradients.pt"))
    torch.manual_seed(0)
    module = MAMP(NoFlow()).train().to(device)
    torch.manual_seed(1)
    step(module, clips(8, 2, 128, device))
    expected = [each.grad.cpu() for each in module.parameters() if each.grad is not None]
    off = max(float((a - b).norm() / b.norm()) for a, b in zip(found, expected, strict=True) if b.norm() > 0)
    return [{"method": "mamp", "largest relative difference of a gradient": off}]


def half(rank: int, folder: str) -> None:
    device = torch.device("cuda", rank)
    torch.cuda.set_device(device)
    distributed.init_process_group("nccl", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(0)
    module = nn.SyncBatchNorm.convert_sync_batchnorm(MAMP(NoFlow())).train().to(device)
    whole, part = clips(8, 2, 128, device), slice(4 * rank, 4 * rank + 4)
    torch.manual_seed(1)
    mine = Clip(whole.frames[part], None, whole.indices[part], whole.videos[part], whole.valid[part])
    step(module, mine)
    gradients: list[Tensor] = [each.grad for each in module.parameters() if each.grad is not None]
    for gradient in gradients:
        distributed.all_reduce(gradient)
    if rank == 0:
        torch.save([gradient.cpu() / 2 for gradient in gradients], Path(folder, "gradients.pt"))
    distributed.destroy_process_group()


SECTIONS = (equality, precisions, training, references, two_devices)


def measured(section: Callable[[torch.device, bool], Rows], device: torch.device, quick: bool) -> dict[str, Any]:
    began = time.monotonic()
    try:
        found: dict[str, Any] = {"rows": section(device, quick)}
    except Exception as error:  # recorded by name, and the program's status says so
        traceback.print_exc()
        found = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    return {**found, "about": section.__doc__, "seconds": round(time.monotonic() - began, 1)}


def table(found: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown, for docs/performance.md."""
    lines = []
    for name, section in found.items():
        lines += ["", f"{name}: {' '.join(section['about'].split())}", ""]
        if "error" in section:
            lines.append(f"failed: {section['error']}")
            continue
        keys = list(section["rows"][0])
        cells = [keys, ["---"] * len(keys), *([str(row[key]) for key in keys] for row in section["rows"])]
        lines += [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that the script works")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("measure.py: torch sees no GPU here: nothing measured", file=sys.stderr)
        return 1
    torch.set_flush_denormal(True)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    found = {section.__name__: measured(section, device, options.quick) for section in SECTIONS}
    record = {"device": name, "torch": torch.__version__, "quick": options.quick, "sections": found}
    options.output.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{name}, torch {torch.__version__}", table(found), sep="\n")
    return int(any("error" in section for section in found.values()))


if __name__ == "__main__":
    sys.exit(main())
