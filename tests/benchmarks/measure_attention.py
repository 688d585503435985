"""What closes MUNet's attention: `python measure_attention.py <checkpoint> <steps> <share>` prints JSON.

munet_narrow goes on from a checkpoint (or none), on the clips of experiment=munet/small_davis; its motion layer and its
attention begin anew, and learn at this share of the others' rate. `constant`: the checkpoint's losses on other clips,
with these numbers in place of the attention. `training`: at every tenth step, the mean attention over objects and over
all else, and the loss of the ten steps.
"""

import json
import sys
from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as nnf
from hydra.utils import instantiate
from torch import Tensor, nn

from vosbench.cli import configuration
from vosbench.contract import Clip
from vosbench.datasets.clips import Clips, collate
from vosbench.methods.munet.method import MUNet
from vosbench.weights.loading import initialise

CONSTANTS = (0.0, 0.25, 0.5, 1.0)
OWN = ("motion.", "attention.")


def clips(config: dict[str, Any], seed: int) -> Iterator[Clip]:
    data, size = config["data"], config["data"]["batch_size"]
    table = Clips(instantiate(data["sources"], _convert_="all"), **instantiate(data["clips"]), seed=seed)
    for first in range(0, sys.maxsize, size):
        yield collate([table[index] for index in range(first, first + size)])


def loss(method: MUNet, clip: Clip) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return torch.stack(list(method.loss(clip).values())).sum()


@torch.no_grad()
def constant(config: dict[str, Any], method: MUNet) -> dict[float, float]:
    """The mean loss of 64 clips; leaves the attention changed."""
    assert method.attention is not None
    assert isinstance(method.attention.weigh, nn.Conv2d)
    method.eval()
    batches, found = list(islice(clips(config, seed=1), 8)), {}
    method.attention.weigh.weight.zero_()
    assert method.attention.weigh.bias is not None
    for attention in CONSTANTS:
        method.attention.weigh.bias.fill_(torch.tensor(attention).logit())
        found[attention] = round(torch.stack([loss(method, clip) for clip in batches]).mean().item(), 4)
    return found


@torch.no_grad()
def over_objects(method: MUNet, clip: Clip) -> tuple[float, float]:
    """Mean attention over objects, and over all else."""
    assert method.motion is not None
    assert method.attention is not None
    assert clip.labels is not None
    method.eval()
    maps = method.encode(clip.frames.flatten(0, 1)).semantic.unflatten(0, clip.frames.shape[:2])
    query, previous = maps[:, 1:].flatten(0, 1), maps[:, :-1].flatten(0, 1)
    attention = method.attention.weights(method.motion(method.motion.estimate(query, previous)))
    assert attention is not None
    shown = (clip.labels[:, 1:].flatten(0, 1) > 0).float().unsqueeze(1)
    objects = nnf.adaptive_avg_pool2d(shown, (attention.shape[2], attention.shape[3]))
    inside, outside = ((attention * share).sum() / share.sum() for share in (objects, 1 - objects))
    method.train()
    return round(inside.item(), 3), round(outside.item(), 3)


def main(checkpoint: str, steps: int, share: float) -> dict[str, Any]:
    torch.set_num_threads(1)
    config = configuration.resolve(configuration.compose("train", ["experiment=munet/small_davis"]))
    torch.manual_seed(0)
    method: MUNet = instantiate(config["method"])
    motion, attention = deepcopy(method.motion), deepcopy(method.attention)
    found: dict[str, Any] = {}
    if checkpoint != "none":
        initialise(method, checkpoint)
        found["constant"] = constant(config, method)
    method.motion, method.attention = motion, attention
    slow = [parameter for name, parameter in method.named_parameters() if name.startswith(OWN)]
    others = [parameter for name, parameter in method.named_parameters() if not name.startswith(OWN)]
    rate = share * config["optimizer"]["lr"]
    optimizer = instantiate(config["optimizer"])([{"params": others}, {"params": slow, "lr": rate}])
    method.train()
    training: list[dict[str, float | None]] = []
    losses: list[float] = []
    for step, clip in enumerate(clips(config, seed=0)):
        if step % 10 == 0:
            inside, outside = over_objects(method, clip)
            mean = round(sum(losses[-10:]) / 10, 3) if losses else None
            training.append({"step": step, "objects": inside, "elsewhere": outside, "loss": mean})
        if step == steps:
            break
        optimizer.zero_grad()
        error = loss(method, clip)
        error.backward()
        optimizer.step()
        losses.append(error.item())
    return found | {"training": training}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))))
