"""Everything that can run on a GPU, on a pretend one: no tensor is left on the CPU, and results are the CPU's."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor, nn
from torchvision.models.optical_flow import raft_small

from vosbench.cli import configuration
from vosbench.contract import Clip, Segmented
from vosbench.datasets.davis import Davis
from vosbench.datasets.pseudo_labels import PseudoLabels
from vosbench.evaluation.protocols.protocol import protocol_named
from vosbench.inference.propagator import Propagator
from vosbench.inference.visuals import ShowsIntermediateMaps, ShowsMatches
from vosbench.methods.mask_embedding.dino import Dino
from vosbench.methods.mask_embedding.ema import follow
from vosbench.methods.mask_embedding.pseudo_labels import ClusterVideos
from vosbench.ops.cluster import cluster_video
from vosbench.training.module import Engine
from vosbench.video.images import read_label_map
from vosbench.video.video import Image, LabelMap

Pretending = Callable[[], AbstractContextManager[torch.device]]
GROUPS = configuration.groups(configuration.compose("benchmark"))
# Narrow networks: here only where tensors lie counts.
NARROW = {
    "mamp": ["method.widths=[8,8,8,8]", "method.channels=8", "method.radius=4"],
    "mask_embedding": [
        *("method.widths=[8,8]", "method.channels=[8,16]", "method.decoder_widths=[16,8,8]"),
        *("method.rounds=2", "method.radius=4"),
    ],
    "munet": [
        *("method.depth=18", "method.width=8", "method.channels=[8,16]", "method.decoder_width=8"),
        "method.motion.radius=3",
    ],
}
SIZE = (46, 62)  # no multiple of any stride


@cache
def recipe(*overrides: str) -> dict[str, Any]:
    return configuration.resolve(configuration.compose("benchmark", overrides))


def narrow(method: str, *overrides: str) -> dict[str, Any]:
    return recipe(f"method={method}", "flow=dis", *NARROW.get(method, []), *overrides)


def made(settings: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    return instantiate(settings["method"], _convert_="all")


def equal(found: Any, expected: Any) -> None:
    """But for sums in another order: layouts in memory may differ."""
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5, equal_nan=True)


def picture(index: int, size: tuple[int, int] = SIZE) -> Image:
    """Two squares that move over noise, each of its own noise."""
    noise = np.random.default_rng(0).integers(0, 255, (3, *size, 3), np.uint8)
    image: Image = noise[0].copy()
    for number, (rows, columns) in enumerate(boxes(index, size), 1):
        image[rows, columns] = noise[number][: rows.stop - rows.start, : columns.stop - columns.start]
    return image


def boxes(index: int, size: tuple[int, int]) -> list[tuple[slice, slice]]:
    h, w = size[0] // 3, size[1] // 3
    return [(slice(0, h), slice(2 * index, 2 * index + w)), (slice(h + 3, 2 * h), slice(w + index, 2 * w + index))]


def labels(index: int, *ids: int, size: tuple[int, int] = SIZE) -> LabelMap:
    found: LabelMap = np.zeros(size, np.uint8)
    for id_, box in zip((5, 9), boxes(index, size), strict=True):
        if id_ in ids:
            found[box] = id_
    return found


def clip() -> Clip:
    """Two clips of three frames with padding, and a neighbour as well as a distant frame."""
    frames = torch.tensor(np.stack([picture(i) for i in range(6)]))[:, :44, :60].permute(0, 3, 1, 2) / 255
    maps = torch.tensor(np.stack([labels(i, 5, 9) for i in range(6)]))[:, :44, :60].long().unflatten(0, (2, 3))
    valid = torch.ones(maps.shape, dtype=torch.bool)
    valid[1, :, 40:] = False
    indices = torch.tensor([[0, 1, 9], [2, 3, 12]])
    return Clip(frames.unflatten(0, (2, 3)), maps, indices, ("a", "b"), valid, maps)


def trained(module: Any, batch: Clip) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The terms of the loss, and the gradients of all parameters, on the CPU."""
    torch.manual_seed(1)
    terms: dict[str, Tensor] = module.loss(batch)
    torch.stack(list(terms.values())).sum().backward()
    gradients = {name: each.grad.cpu() for name, each in module.named_parameters() if each.grad is not None}
    return {name: term.detach().cpu() for name, term in terms.items()}, gradients


DINO = [
    *("method.width=4", "method.hidden=8", "method.bottleneck=8", "method.outputs=16", "method.crops.global_size=32"),
    *("method.crops.local_size=16", "method.crops.local_crops=2", "method.batch_norm=true"),
]


def dino() -> dict[str, Any]:
    composed = configuration.compose("train", ["experiment=mask_embedding/small_dino", *DINO])
    return configuration.resolve(composed)


NODES = ("correspondence=cycle", "method.correspondence.patch=2", "method.correspondence.step=1")
LOSSES: dict[str, Callable[[], dict[str, Any]]] = {
    "mamp": lambda: narrow("mamp"),
    "mamp, bilinear": lambda: narrow("mamp", "method.alignment=bilinear", "method.mask_oob=true"),
    "photometric": lambda: narrow("mask_embedding", "correspondence=photometric"),
    "contrastive": lambda: narrow("mask_embedding", "correspondence=contrastive"),
    "cycle": lambda: narrow("mask_embedding", *NODES),
    "cycle alone": lambda: narrow("mask_embedding", *NODES, "method.decode=false"),
    "released": lambda: narrow("mask_embedding", "method.variant=released"),
    "munet": lambda: narrow("munet"),
    "munet, added": lambda: narrow("munet", "method.fusion=add", "method.motion.outside=never", "method.shared=true"),
    "munet, of timm": lambda: narrow("munet", "method.network=test_efficientnet", "method.depth=50", "method.width=64"),
    "munet, without motion": lambda: narrow("munet", "method.motion=null"),
    "dino": dino,
}


@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradients(name: str, pretending: Pretending) -> None:
    settings = LOSSES[name]()
    expected = trained(made(settings).train(), clip())
    with pretending() as device:
        found = trained(made(settings).train().to(device), clip().to(device))
    assert found[1].keys() == expected[1].keys()
    assert any(gradient.any() for gradient in expected[1].values())
    equal(found, expected)


@pytest.mark.parametrize("name", ["mask_embedding", "munet"])
def test_clips_without_anything_to_follow(name: str, pretending: Pretending) -> None:
    nothing = torch.zeros_like(clip().valid).long()
    batch = replace(clip(), labels=nothing, pseudo_labels=nothing)
    expected = trained(made(narrow(name)).train(), batch)
    with pretending() as device:
        equal(trained(made(narrow(name)).train().to(device), batch.to(device)), expected)


def test_a_step_of_the_optimizer_and_of_the_teacher(pretending: Pretending) -> None:
    def after(device: torch.device | str) -> dict[str, Tensor]:
        module: Dino = made(dino()).train().to(device)
        optimizer = torch.optim.Adam(module.student.parameters(), 1e-3)
        torch.manual_seed(1)
        torch.stack(list(module.loss(clip().to(device)).values())).sum().backward()
        optimizer.step()
        follow(module, 0.9)
        return {name: each.detach().cpu() for name, each in module.state_dict().items()}

    expected = after("cpu")
    with pretending() as device:
        equal(after(device), expected)


class Watched:
    """What a method makes of a video with a late object: label maps, scores, and the maps and matches to draw."""

    def __init__(self, settings: dict[str, Any], device: torch.device | str, size: tuple[int, int]) -> None:
        self.scores: list[Tensor] = []
        self.drawn: list[Any] = []
        method = made(settings).eval().to(device)
        segment = method.segment

        def noted(query: Any, context: Any) -> Any:
            found = segment(query, context)
            self.scores.append((found.scores if isinstance(found, Segmented) else found).cpu())
            return found

        method.segment = noted
        run = Propagator(method, instantiate(settings["memory"]), instantiate(settings["inference"]), device)
        run.watch = partial(self._draw, method, size)
        given = {0: labels(0, 5, size=size), 2: labels(2, 9, size=size)}
        self.maps = [run.step(picture(index, size), given.get(index)) for index in range(5)]

    def _draw(self, method: Any, size: tuple[int, int], query: Any, context: Any) -> None:
        if isinstance(method, ShowsIntermediateMaps):
            self.drawn += [list(vars(each).values()) for each in method.intermediate_maps(query, context).values()]
        if isinstance(method, ShowsMatches):
            rows = method.matches(query, context, (size[1] // 2, size[0] // 2))
            self.drawn += [list(vars(each).values()) for row in rows for each in row.values()]


def check_propagation(pretending: Pretending, settings: dict[str, Any], size: tuple[int, int] = SIZE) -> None:
    expected = Watched(settings, "cpu", size)
    with pretending() as device:
        found = Watched(settings, device, size)
        drawn = [[part.cpu() if isinstance(part, Tensor) else part for part in parts] for parts in found.drawn]
    equal(found.scores, expected.scores)
    assert np.mean(np.not_equal(found.maps, expected.maps)) < 0.001  # but for pixels whose labels tie
    assert drawn == [] or len(drawn) == len(expected.drawn)
    for ours, theirs in zip(drawn, expected.drawn, strict=True):
        equal(ours, theirs)


@pytest.mark.parametrize("method", [name for name in GROUPS["method"] if not name.endswith("_small")])
def test_a_video_with_a_late_object(method: str, pretending: Pretending) -> None:
    check_propagation(pretending, narrow(method))


OPTIONS = [
    ("mamp", "method.matching=mast", "memory.long=[0]"),
    ("mamp", "method.matching=none", "method.mask_oob=true", "method.top_k=null"),
    ("mamp", "method.alignment=mast", "method.upsample=released"),
    ("mask_embedding", "method.variant=released", "method.output=mean"),
    ("mask_embedding", "method.propagate=coarse", "method.window=square", "method.top_k=null"),
    ("mask_embedding", "method.decode=false", "memory.prefilled=true"),
    ("features", "propagation=crw", "backbone=resnet", "method.stride=4"),
    (
        *("features", "backbone=timm", "backbone.name=vit_tiny_patch16_224", "backbone.pretrained=false"),
        *("backbone.layers=[5,-1]", "inference.short_side=64"),
    ),
    ("munet", "method.motion=null"),
    ("munet", "method.motion.outside=never", "method.motion.sign=paper", "method.shared=true"),
]


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_other_options_of_the_methods(options: tuple[str, ...], pretending: Pretending) -> None:
    check_propagation(pretending, narrow(*options))


@pytest.mark.parametrize("memory", GROUPS["memory"])
def test_memories(memory: str, pretending: Pretending) -> None:
    """MUNet's entries have the tokens that `adaptive` needs."""
    budget = ["memory.budget=60", "memory.similarity=0.5"] if memory == "adaptive" else []  # merges and evicts
    check_propagation(pretending, narrow("munet", f"memory={memory}", *budget))


@pytest.mark.parametrize("flow", [name for name in GROUPS["flow"] if name != "raft_large"])
def test_flows(flow: str, pretending: Pretending, tmp_path: Path) -> None:
    """RAFT-large is RAFT-small's class with more channels."""
    size, weights = SIZE, []
    if flow == "raft_small":
        torch.manual_seed(0)
        torch.save(raft_small().state_dict(), tmp_path / "raft.pth")
        size, weights = (128, 128), [f"flow.weights={tmp_path / 'raft.pth'}", "flow.far=2"]
    check_propagation(pretending, narrow("mamp", f"flow={flow}", *weights), size)


@pytest.mark.parametrize("inference", GROUPS["inference"])
def test_sizes(inference: str, pretending: Pretending) -> None:
    smaller = {
        "cells": ["inference.cells=10"],
        "halved": ["inference.short_side=40", "inference.halve_from=50"],
        "long_side": ["inference.long_side=56", "inference.multiple=4"],
        "mamp_ytvos_released": [],
        "rounded_down": ["inference.short_side=40", "inference.multiple=4"],
        "square": ["inference.square=40"],
        "stretched": ["inference.height=40", "inference.width=56"],
    }
    overrides = smaller.get(inference, ["inference.short_side=40"])
    check_propagation(pretending, narrow("mamp", f"inference={inference}", *overrides))


@pytest.mark.parametrize("finer", [1, 2])
def test_clusters_of_a_video(finer: int, pretending: Pretending) -> None:
    torch.manual_seed(0)
    keys = torch.rand(8, 16, 12, 16)
    settings: dict[str, Any] = {"clusters": 4, "largest": 0.9, "finer": finer, "most_points": 600}
    expected = cluster_video(keys, **settings)
    with pretending() as device:
        found = cluster_video(keys.to(device), **settings)
        assert found.labels.device == device
        equal(found.labels.cpu(), expected.labels)
    assert found.sizes == expected.sizes
    assert len(found.sizes) == 4


@pytest.mark.parametrize("motion", [0.0, 1.0])
def test_pseudo_labels(motion: float, davis: Path, tmp_path: Path, pretending: Pretending) -> None:
    (video, *_) = Davis(davis, "val", 2017).videos

    def labelled(device: torch.device | str, root: Path) -> list[LabelMap]:
        callback = ClusterVideos(clusters=3, motion=motion, largest=0.9, short_side=40)
        callback.labels = PseudoLabels(root, None)
        callback._label(made(narrow("mask_embedding")).eval().to(device), 0, video.name, video)
        return [read_label_map(path) for path in sorted((callback.labels.folder(0) / video.name).iterdir())]

    with torch.no_grad():
        expected = labelled("cpu", tmp_path / "cpu")
        with pretending() as device:
            np.testing.assert_array_equal(labelled(device, tmp_path / "pretend"), expected)
    assert np.unique(expected).size > 1


def validated(device: torch.device | str, davis: Path) -> dict[Any, dict[str, float]]:
    settings = narrow("munet")
    memory, inference = (instantiate(settings[key], _partial_=key == "memory") for key in ("memory", "inference"))
    method: nn.Module = made(settings)
    engine = Engine(method, torch.optim.Adam, float, 1, memory, inference, protocol_named("youtube-vos"), 0, {})
    engine.to(device).eval()
    for video in Davis(davis, "val", 2017, late_objects=True).videos:
        engine.validation_step(video, 0)
    return engine._scored


def test_validation(davis: Path, pretending: Pretending) -> None:
    expected = validated("cpu", davis)
    assert len(expected) == 4
    with pretending() as device:
        assert validated(device, davis) == expected


@pytest.fixture(params=["operation", "index", "numpy"])
def fault(request: pytest.FixtureRequest) -> Callable[[Tensor], object]:
    """What a GPU refuses, too."""
    faults: dict[str, Callable[[Tensor], object]] = {
        "operation": lambda maps: maps + torch.zeros(maps.shape),
        "index": lambda maps: torch.zeros(maps.shape)[maps.long()],
        "numpy": lambda maps: maps.numpy(),
    }
    return faults[request.param]


def test_the_pretend_device_refuses_what_a_gpu_refuses(
    fault: Callable[[Tensor], object], pretending: Pretending
) -> None:
    with pretending() as device:
        maps = torch.ones(2, 3, device=device)
        with pytest.raises((RuntimeError, TypeError), match=r"two devices|not supported"):
            fault(maps)


def test_the_pretend_device_allows_what_a_gpu_allows(pretending: Pretending) -> None:
    with pretending() as device:
        maps = torch.tensor([1.0, 2.0], device=device)
        assert (maps * torch.tensor(2.0)).tolist() == [2, 4]
        assert maps[torch.tensor([1])].item() == 2
        assert (maps.new_tensor([3, 4]) + maps).cpu().numpy().tolist() == [4, 6]
        assert maps.device == (maps > 1).device == torch.arange(2, device=device).device == device
