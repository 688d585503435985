"""Pre-training of the backbone: DINO's self-distillation without labels (Caron et al. 2021; section 4 names it).

This is not a `Method`, since it segments nothing. The engine trains it like one, and the mask-embedding method starts
from its `teacher.trunk`. Its training also needs the callbacks in ema.py.
"""

import copy
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor, distributed, nn

from vosbench.contract import Clip
from vosbench.methods.mask_embedding.correspondence import full_precision
from vosbench.methods.mask_embedding.crops import MultiCrop
from vosbench.methods.mask_embedding.networks import Depth
from vosbench.nn.resnet import ResNet, normalise
from vosbench.ops.processes import count_of_processes
from vosbench.util.errors import Problems


class Network(nn.Module):
    """E's residual network, with the strides that E omits, and a head that ends in `outputs` prototypes.

    ResNet-50 stops after its third stage, as E does. hidden, bottleneck: widths of the head's layers; batch_norm:
    whether the hidden ones are normalised.
    """

    def __init__(self, depth: Depth, width: int, hidden: int, bottleneck: int, outputs: int, batch_norm: bool) -> None:
        super().__init__()
        self.trunk = ResNet(depth, width, (1, 2, 2, 2) if depth == 18 else (1, 2, 2))
        layers: list[nn.Module] = []
        for inputs, units in pairwise((self.trunk.stage_channels[-1], hidden, hidden)):
            layers += [_linear(inputs, units), nn.BatchNorm1d(units) if batch_norm else nn.Identity(), nn.GELU()]
        self.head = nn.Sequential(*layers, _linear(hidden, bottleneck))
        self.last = nn.Linear(bottleneck, outputs, bias=False)

    def forward(self, groups: Sequence[Float[Tensor, "_ n 3 _ _"]]) -> Float[Tensor, "views n k"]:
        """Cosines between each crop and the prototypes, in float32. `groups`: crops of one size each, RGB in [0, 1]."""
        # Crops of each size are a batch by themselves, with batch statistics of their own.
        maps = [self.trunk(normalise(crops.flatten(0, 1)))[-1] for crops in groups]
        vectors = self.head(torch.cat([each.float().mean((2, 3)) for each in maps]))
        with full_precision(vectors):
            # The prototypes also have unit norm: weight normalisation with a fixed gain.
            cosines = nnf.linear(nnf.normalize(vectors.float()), nnf.normalize(self.last.weight))
        views: Tensor = cosines.unflatten(0, (-1, groups[0].shape[1]))
        return views


def _linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.trunc_normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer


class Dino(nn.Module):
    """A student that learns to predict, from every crop of an image, what the teacher makes of its large crops.

    Every frame of a clip is an image of its own. The teacher is a slow copy of the student, without gradients; its
    batch normalisation keeps its own statistics. `centre` is a running mean of the teacher's output. It is subtracted
    so that no prototype wins everywhere; a loss of almost 0 shows that one does. The teacher's low temperature keeps
    its output from becoming uniform; a loss that stays at ln(outputs) shows that it is.

    depth, width         of the residual network, as in the method that will start from it
    crops                the augmentation
    hidden, bottleneck   widths of the head; `batch_norm`: of its hidden layers
    outputs              prototypes
    student_temperature, teacher_temperature: of the two softmaxes
    centre_momentum      share of the old centre that each step keeps

    Raises UserError naming the keys that make no sense.
    """

    name = "dino"
    supervision = "self-supervised"
    centre: Tensor

    def __init__(
        self,
        crops: MultiCrop,
        depth: Depth = 18,
        width: int = 64,
        hidden: int = 2048,
        bottleneck: int = 256,
        outputs: int = 65536,
        batch_norm: bool = False,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        centre_momentum: float = 0.9,
    ) -> None:
        sizes = {"width": width, "hidden": hidden, "bottleneck": bottleneck, "outputs": outputs}
        temperatures = {"student_temperature": student_temperature, "teacher_temperature": teacher_temperature}
        found = [f"{key}={value}: give 1 or more" for key, value in sizes.items() if value < 1]
        found += [f"{key}={value}: give more than 0" for key, value in temperatures.items() if value <= 0]
        if not 0 <= centre_momentum < 1:
            found.append(f"centre_momentum={centre_momentum}: give 0 or more and less than 1")
        if found:
            raise Problems("method", found)
        super().__init__()
        self.crops = crops
        self.student = Network(depth, width, hidden, bottleneck, outputs, batch_norm)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.student_temperature, self.teacher_temperature = student_temperature, teacher_temperature
        self.centre_momentum = centre_momentum
        self.register_buffer("centre", torch.zeros(outputs))

    def loss(self, clip: Clip) -> dict[str, Tensor]:
        with torch.no_grad(), full_precision(clip.frames):
            crops = self.crops(clip.frames.flatten(0, 1), clip.valid.flatten(0, 1), clip.draws())
        with torch.no_grad():
            wanted = self.teacher(crops[:1])
        given = self.student(crops)
        with full_precision(given):
            targets = ((wanted - self.centre) / self.teacher_temperature).softmax(2)
            loss = distillation(given / self.student_temperature, targets)
        self._recentre(wanted)
        return {"distillation": loss}

    @torch.no_grad()
    def _recentre(self, said: Float[Tensor, "2 n k"]) -> None:
        """Moves the centre towards the mean over the batches of all processes, which thus keep the same centre."""
        mean = said.mean((0, 1))
        if (processes := count_of_processes()) > 1:
            distributed.all_reduce(mean)
            mean /= processes
        self.centre.lerp_(mean, 1 - self.centre_momentum)


def distillation(logits: Float[Tensor, "views n k"], targets: Float[Tensor, "2 n k"]) -> Float[Tensor, ""]:
    """Mean cross-entropy over all pairs of a target and a view that are not the same crop: the targets are the
    teacher's distributions for the first two views."""
    pairs = -torch.einsum("ink,vnk->iv", targets, logits.log_softmax(2)) / logits.shape[1]
    return (pairs.sum() - pairs.diagonal().sum()) / (pairs.numel() - len(targets))
