"""Label propagation of frozen features in the plain, dense way, one function per family of scripts, and PCK.

Written from the descriptions of the protocols: every query against every cell of every reference, masked to its window.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import PIL.Image
import torch
import torch.nn.functional as nnf
from torch import Tensor

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Encode = Callable[[Tensor], Tensor]
Images = Sequence[np.ndarray[Any, Any]]
Labels = np.ndarray[Any, Any]


def dino(frames: Images, first: Labels, encode: Encode, **how: Any) -> list[Labels]:
    """DINO, RSP and DIFT: a square window in all references, ties kept, min-max at the network's size.

    size, kernel, mean, std, last, radius, k, temperature
    """
    height, width = how["size"]
    labels = np.asarray(PIL.Image.fromarray(first).resize((width // 16, height // 16), 0))
    soft = [one_hot(labels, np.arange(labels.max() + 1))]
    keys = [encoded(cv2.resize(each, (width, height), interpolation=how["kernel"]), encode, how) for each in frames]
    found = [first]
    for t in range(1, len(frames)):
        references = [0, *range(max(1, t - how["last"]), t)]
        near = window(keys[0].shape[1:], how["radius"], square=True).repeat(1, len(references))
        affinity = torch.exp(cosines(keys, t, references) / how["temperature"]) * near
        affinity[affinity < affinity.topk(how["k"], 1)[0][:, -1:]] = 0
        soft.append(carried(affinity / affinity.sum(1, keepdim=True), soft, references))
        scores = nnf.interpolate(soft[-1][None], (height, width), mode="bilinear")[0]
        best = min_max(scores).argmax(0).numpy().astype(np.uint8)
        found.append(np.asarray(PIL.Image.fromarray(best).resize(first.shape[::-1], 0)))
    return found


def crw(frames: Images, first: Labels, encode: Encode, **how: Any) -> list[Labels]:
    """CRW and CropMAE: all of frame 0, disks in the last ones, which copies of frame 0 fill up.

    size (None: as it is), last, radius, k, temperature
    """
    height, width = how["size"] or frames[0].shape[:2]
    ids = np.unique(first)
    keys = [encoded(cv2.resize(each, (width, height)), encode, how) for each in frames]
    grid = keys[0].shape[1:]
    pixels = (first[..., None] == ids).astype(np.float32)
    soft = [torch.from_numpy(cv2.resize(pixels, (grid[1], grid[0]))).movedim(2, 0)]
    found = []
    for t in range(len(frames)):
        if t:
            recent = [max(0, t - how["last"] + place) for place in range(how["last"])]
            far = torch.zeros(grid[0] * grid[1], grid[0] * grid[1])
            beyond = torch.where(window(grid, how["radius"], square=False) > 0, 0.0, -torch.inf).repeat(1, how["last"])
            logits = (cosines(keys, t, [0, *recent]) + torch.cat([far, beyond], 1)) / how["temperature"]
            soft.append(carried(best_of(logits, how["k"]), soft, [0, *recent]))
        scores = cv2.resize(soft[t].movedim(0, 2).contiguous().numpy(), first.shape[::-1])
        found.append(ids[scores.argmax(2)])
    return found


def disk(frames: Images, first: Labels, encode: Encode, **how: Any) -> list[Labels]:
    """VFS and DINOv3: disks in all references, min-max at the original size.

    resize, labels (of the first mask on the grid), last, radius, closed, twice, k, temperature
    """
    keys = [encoded(how["resize"](each), encode, how) for each in frames]
    grid = keys[0].shape[1:]
    ids = np.unique(first)
    soft = [one_hot(how["labels"](first, (grid[0], grid[1])), ids)]
    found = [first]
    for t in range(1, len(frames)):
        references = [0, *range(max(1, t - how["last"]), t)]
        references += [0] if how["twice"] and t <= how["last"] else []
        near = window(grid, how["radius"], square=False, closed=how["closed"]).repeat(1, len(references))
        logits = cosines(keys, t, references).masked_fill(near == 0, -torch.inf) / how["temperature"]
        soft.append(carried(best_of(logits, how["k"]), soft, references))
        scores = nnf.interpolate(soft[-1][None], first.shape, mode="bilinear")[0]
        found.append(ids[min_max(scores).argmax(0).numpy()])
    return found


def encoded(image: Labels, encode: Encode, how: dict[str, Any]) -> Tensor:
    mean, std = (
        torch.tensor(how.get(key, own)).view(3, 1, 1) for key, own in zip(("mean", "std"), IMAGENET, strict=True)
    )
    pixels = (torch.from_numpy(image).movedim(2, 0) / 255 - mean) / std
    return nnf.normalize(encode(pixels[None])[0], dim=0)


def cosines(keys: Sequence[Tensor], t: int, references: Sequence[int]) -> Tensor:
    return keys[t].flatten(1).T @ torch.cat([keys[r].flatten(1) for r in references], 1)


def carried(weights: Tensor, soft: Sequence[Tensor], references: Sequence[int]) -> Tensor:
    return (weights @ torch.cat([soft[r].flatten(1) for r in references], 1).T).T.view_as(soft[0])


def best_of(logits: Tensor, k: int) -> Tensor:
    values, places = logits.topk(k, 1)
    return torch.zeros_like(logits).scatter(1, places, values.softmax(1))


def window(grid: Sequence[int], radius: float, *, square: bool, closed: bool = False) -> Tensor:
    y, x = (
        each.flatten().float() for each in torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    )
    dy, dx = (y[:, None] - y).abs(), (x[:, None] - x).abs()
    if square:
        return ((dy <= radius) & (dx <= radius)).float()
    distance = dy**2 + dx**2
    return (distance <= radius**2 if closed else distance < radius**2).float()


def one_hot(labels: Labels, ids: Labels) -> Tensor:
    return torch.from_numpy((labels[None] == ids[:, None, None]).astype(np.float32))


def min_max(scores: Tensor) -> Tensor:
    scores = scores.clone()
    for channel in scores:
        if channel.max() > 0:
            channel -= channel.min().clone()
            channel /= channel.max().clone()
    return scores


def raised(image: Labels, short: int, patch: int) -> Labels:
    """DINOv3's frame: both sides raised to a multiple of the patch, Pillow's bicubic kernel."""
    h, w = image.shape[:2]
    scale = short / min(h, w)
    size = [math.ceil(side * scale / patch) * patch for side in (w, h)]
    return np.array(PIL.Image.fromarray(image).resize((size[0], size[1]), PIL.Image.Resampling.BICUBIC))


def crw_pck(truths: Mapping[str, Labels], found: Mapping[str, Labels], first: int, limit: float) -> float:
    """`eval_pck.py` of CRW, with -1 for lost joints; `first`: 0 counts the given frame, as VFS does."""
    distances: dict[int, list[float]] = {}
    for name, annotated in truths.items():
        for t in range(first, len(annotated)):
            seen = [j for j in range(15) if found[name][t, j, 0] >= 0]
            corners = [(pick(annotated[t, j, axis] for j in seen)) for pick in (min, max) for axis in (0, 1)]
            diagonal = np.hypot(corners[2] - corners[0], corners[3] - corners[1])
            for j in seen:
                distance = np.hypot(*(found[name][t, j] - annotated[t, j])) / (0.6 * diagonal)
                distances.setdefault(j, []).append(distance)
    return float(np.mean([np.mean(np.array(values) <= limit) for values in distances.values()]))
