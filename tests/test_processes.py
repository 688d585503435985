"""Several processes that each have a part of a batch learn what one process learns from all of it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vosbench.ops.processes import mean_of_all, share_buffers

# Each process has every second clip of a batch of four that differ: in padding, in void, and in what they show.
LEARNING = """
import sys
from datetime import timedelta
import torch
from torch import distributed, nn
from vosbench.contract import Clip
from vosbench.methods.mamp.method import MAMP
from vosbench.methods.mask_embedding.contrastive import Contrastive
from vosbench.methods.mask_embedding.crops import MultiCrop
from vosbench.methods.mask_embedding.cycle import Cycle
from vosbench.methods.mask_embedding.dino import Dino
from vosbench.methods.mask_embedding.method import MaskEmbedding
from vosbench.methods.mask_embedding.photometric import Photometric
from vosbench.methods.munet.method import MUNet
from vosbench.methods.munet.motion import MotionUncertaintyLayer
from vosbench.nn.optical_flow import NoFlow
from vosbench.ops.processes import share_buffers

rank, meeting = int(sys.argv[1]), sys.argv[2]
torch.manual_seed(0)
frames = torch.rand(4, 3, 3, 64, 64)
labels = torch.zeros(4, 3, 64, 64, dtype=torch.long)
labels[0, :, 8:30, 8:30], labels[0, :, 40:60, 8:30] = 1, 2
labels[1, :, 20:50, 20:50], labels[1, 1, :9] = 1, 255
labels[2, 1:, 20:50, 20:50] = 1  # an object that starts late: nothing to follow
valid = torch.ones(4, 3, 64, 64, dtype=torch.bool)
valid[3, ..., 40:] = valid[0, ..., 56:, :] = False
labels = labels.where(valid, 0)
indices = torch.tensor([[0, 1, 2], [0, 1, 7], [0, 5, 6], [0, 9, 10]])  # different numbers of distant pairs

def clips(which):
    part = torch.arange(4)[which]
    names = tuple(f"clip {i}" for i in part.tolist())
    pseudo, seeds = labels[part].clamp(max=2), tuple((10 + part).tolist())
    return Clip(frames[part], labels[part], indices[part], names, valid[part], pseudo, seeds)

def embedding(correspondence, decode=False):
    options = dict(widths=(8, 8), channels=(8, 8), decoder_widths=(8, 8, 8))
    return MaskEmbedding(correspondence, decode=decode, **options)

methods = {
    "mamp": lambda: MAMP(NoFlow(), widths=(8, 8, 8, 8), channels=8),
    "photometric": lambda: embedding(Photometric()),
    "contrastive": lambda: embedding(Contrastive(min_gap=5)),
    "cycle": lambda: embedding(Cycle(patch=2, step=2)),
    "segmentation": lambda: embedding(None, decode=True),
    "munet": lambda: MUNet(depth=18, width=8, channels=(8, 16), decoder_width=8, freeze_norm=True),
    "dino": lambda: Dino(MultiCrop(32, 16, 1), width=8, hidden=8, bottleneck=8, outputs=16),
}

def frozen(method):
    for module in method.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return method

def learned(clip, make):
    torch.manual_seed(1)
    method = frozen(make().train())
    torch.manual_seed(2)
    terms = method.loss(clip)
    sum(terms.values()).backward()
    gradients = {name: each.grad for name, each in method.named_parameters() if each.grad is not None}
    return {name: term.detach() for name, term in terms.items()}, gradients

alone = {name: learned(clips(slice(None)), make) for name, make in methods.items()}
distributed.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=2, timeout=timedelta(seconds=60))
for name, make in methods.items():
    terms, gradients = learned(clips(slice(rank, None, 2)), make)
    for part, (own, whole) in {"loss": (terms, alone[name][0]), "gradient": (gradients, alone[name][1])}.items():
        assert own.keys() == whole.keys(), (name, part, own.keys() ^ whole.keys())
        for key in own:
            distributed.all_reduce(own[key])
            own[key] /= 2
        scale = max(float(value.abs().max()) for value in whole.values())
        worst = max(float((own[key] - whole[key]).abs().max()) for key in own) / scale
        assert scale > 1e-6, (name, part, scale)
        assert worst < 1e-5, (name, part, worst)
        print(name, part, worst)
norm = nn.BatchNorm2d(2)
norm.running_mean.fill_(rank + 1)
share_buffers(norm)
assert norm.running_mean.tolist() == [1, 1]
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_have_the_losses_and_gradients_of_one(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", LEARNING, str(rank), str(tmp_path / "meeting")] for rank in (0, 1)]
    started = [subprocess.Popen(each, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for each in commands]
    ended = [(process.communicate(timeout=120), process.returncode) for process in started]
    for (out, error), status in ended:
        assert status == 0, out + error
        assert len(out.splitlines()) == 14


def test_alone_a_mean_is_a_mean() -> None:
    total, count = torch.tensor(6.0, requires_grad=True), torch.tensor(4)
    assert mean_of_all(total, count).item() == 1.5
    assert mean_of_all(total * 0, count * 0).item() == 0
    mean_of_all(total, count).backward()
    assert total.grad is not None
    assert total.grad.item() == pytest.approx(0.25)
    share_buffers(torch.nn.BatchNorm2d(2))
