"""Under mixed precision, only networks are coarse: colours, affinities, scores and losses have all bits of float32."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vosbench.cli import configuration
from vosbench.contract import Clip, Segmented
from vosbench.datasets.davis import Davis
from vosbench.evaluation.protocols.protocol import protocol_named
from vosbench.inference.device import autocast
from vosbench.inference.memory import FrameMemory
from vosbench.inference.propagator import Propagator
from vosbench.inference.resizing import ShortSide
from vosbench.methods.mamp.method import MAMP
from vosbench.methods.mask_embedding.contrastive import Contrastive
from vosbench.methods.mask_embedding.crops import MultiCrop
from vosbench.methods.mask_embedding.cycle import Cycle
from vosbench.methods.mask_embedding.dino import Dino
from vosbench.methods.mask_embedding.method import MaskEmbedding
from vosbench.methods.mask_embedding.photometric import Photometric
from vosbench.methods.munet.method import MUNet
from vosbench.methods.munet.motion import MotionUncertaintyLayer
from vosbench.nn.optical_flow import Dis
from vosbench.ops.cluster import cluster_video
from vosbench.training.validation import means, score_video
from vosbench.video.folder_video import FolderVideo
from vosbench.video.video import LabelMap, Video
from vosbench.weights.loading import restore

mamp = partial(MAMP, Dis(), widths=(8, 8, 8, 8), channels=8, radius=4)
mask_embedding = partial(MaskEmbedding, widths=(8, 8), channels=(8, 16), decoder_widths=(16, 8, 8), radius=4)
munet = partial(
    MUNet, depth=18, width=8, channels=(8, 16), decoder_width=8, motion=partial(MotionUncertaintyLayer, radius=3)
)
crops = MultiCrop(global_size=32, local_size=16, local_crops=2)
TRAINED: dict[str, Callable[[], Any]] = {
    "mamp": mamp,
    "photometric": partial(mask_embedding, Photometric()),
    "contrastive": partial(mask_embedding, Contrastive()),
    "cycle": partial(mask_embedding, Cycle(patch=2, step=1)),
    "munet": munet,
    "dino": partial(Dino, crops, width=4, hidden=8, bottleneck=8, outputs=16),
}
PREDICTS: dict[str, Callable[[], Any]] = {
    "mamp": mamp,
    "mamp, all candidates": partial(mamp, top_k=None),
    "mamp, as mast": partial(mamp, matching="mast"),
    "mask_embedding": mask_embedding,
    "mask_embedding, all candidates": partial(mask_embedding, top_k=None),
    "munet": munet,
}
DECIDES = ("softmax", "log_softmax", "topk", "sort", "pow", "log", "smooth_l1_loss", "cumsum")


class Decisions(TorchDispatchMode):
    """Notes what softmaxes, choices, colour conversions and losses are made from."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[tuple[str, Tensor]] = []
        self.coarse = 0  # convolutions in half precision

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__.lstrip("_")
        if "conv" in name and isinstance(args[0], Tensor):
            self.coarse += args[0].dtype == torch.bfloat16
        if name in DECIDES and args[0].is_floating_point():
            self.seen.append((name, args[0].detach().clone()))
        return func(*args, **(kwargs or {}))


@contextmanager
def checked(*needed: str) -> Iterator[None]:
    """Mixed precision, in which convolutions are coarse and all that is noted is not."""
    decisions = Decisions()
    with torch.autocast("cpu", torch.bfloat16), decisions:
        yield
    assert decisions.coarse > 0
    assert {name for name, _ in decisions.seen} >= set(needed)
    for name, tensor in decisions.seen:
        assert fine(tensor), f"{name} of {tuple(tensor.shape)} in half precision"


def fine(tensor: Tensor) -> bool:
    """Whether these are float32, and were not bfloat16 on their way. Whole and equal numbers are all the same."""
    if tensor.dtype not in (torch.float32, torch.float64):
        return False
    known = tensor[tensor.isfinite() & (tensor.abs() < 1e8)]
    rounded = known.bfloat16().to(known.dtype) == known
    return bool((known == known.round()).all()) or not rounded.all()


def scene(index: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    noise = np.random.default_rng(0).integers(0, 255, (46, 80, 3), np.uint8)
    return noise[:, 2 * index : 2 * index + 62]


def clip() -> Clip:
    frames = torch.tensor(np.stack([scene(index)[:44, :60] for index in range(6)])).permute(0, 3, 1, 2) / 255
    labels = torch.zeros(2, 3, 44, 60, dtype=torch.long)
    labels[..., 4:24, 4:30], labels[..., 26:42, 30:56] = 1, 2
    indices = torch.tensor([[0, 1, 9], [2, 3, 12]])
    return Clip(frames.unflatten(0, (2, 3)), labels, indices, ("a", "b"), torch.ones_like(labels).bool(), labels)


@pytest.mark.parametrize("name", TRAINED)
def test_losses(name: str) -> None:
    torch.manual_seed(0)
    module = TRAINED[name]().train()
    with checked("log_softmax" if name in ("munet", "dino") else "softmax"):
        terms = module.loss(clip())
    assert {term.dtype for term in terms.values()} == {torch.float32}


@pytest.mark.parametrize("name", PREDICTS)
def test_scores(name: str) -> None:
    """Each with a memory that makes it search all over it; MAST's coarse search begins 16 frames on."""
    torch.manual_seed(0)
    method, masks = PREDICTS[name]().eval(), np.zeros((46, 62), np.uint8)
    masks[4:24, 4:30], masks[26:42, 30:56] = 1, 2
    segment, scores = method.segment, []

    def noted(query: Any, context: Any) -> Any:
        found = segment(query, context)
        scores.append(found.scores if isinstance(found, Segmented) else found)
        return found

    method.segment = noted
    run = Propagator(method, FrameMemory(first=True, recent=(1,)), ShortSide())
    with checked("softmax"):
        for index in range(18 if "mast" in name else 3):
            run.step(scene(index % 9), masks if index == 0 else None)
    assert all(fine(each) for each in scores)


def test_distances_of_clusters() -> None:
    keys = torch.rand(4, 8, 12, 16)
    expected = cluster_video(keys, 4, largest=1.0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(cluster_video(keys, 4, largest=1.0).labels, expected.labels)


def test_what_counts_as_coarse() -> None:
    numbers = torch.rand(100)
    assert fine(numbers)
    assert fine(torch.ones(5))
    assert not fine(numbers.bfloat16())
    assert not fine(numbers.bfloat16().float())


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("method", ["mamp", "mask_embedding_small", "munet_small", "munet_narrow"])
def test_half_precision_costs_nothing(method: str, real_data: Path) -> None:
    """What is promised of bf16, on the first frames of a real video of three objects, with the shipped weights."""
    (video,) = Davis(real_data / "davis2017-240p", "val", 2017, "240p").videos
    annotations = {name: video.annotations[name] for name in video.frame_names[:6]}
    short = FolderVideo(video.name, video.frames[:6], annotations)
    exact, coarse = (predicted(method, precision, short) for precision in ("32-true", "bf16-mixed"))
    assert np.mean(np.equal(exact, coarse)) >= 0.995
    assert score(short, coarse) == pytest.approx(score(short, exact), abs=0.003)
    assert not np.array_equal(exact, coarse)  # bf16 was used


def predicted(method: str, precision: str, video: Video) -> list[LabelMap]:
    settings = configuration.resolve(configuration.compose("predict", [f"method={method}"]))
    network = instantiate(settings["method"], _convert_="all").eval()
    restore(network, settings["checkpoint"], seed=0)
    run = Propagator(network, instantiate(settings["memory"]), ShortSide(128))
    with autocast(torch.device("cpu"), precision):
        return [run.step(video.frame(index), video.given(index)) for index in range(len(video.frame_names))]


def score(video: Video, maps: list[LabelMap]) -> float:
    protocol = protocol_named("davis")
    return means(score_video(video, maps, protocol), protocol)["J&F"]
