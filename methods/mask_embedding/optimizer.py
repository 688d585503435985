"""The authors' optimizer: Adam with weight decay on weights alone, and twice the learning rate for biases."""

from collections.abc import Iterable

import torch
from torch import nn


def adam(
    named: Iterable[tuple[str, nn.Parameter]], lr: float, betas: tuple[float, float], weight_decay: float
) -> torch.optim.Adam:
    """Adam over parameters with their names, of which those that end in `bias` are biases."""
    parameters = [(name, parameter) for name, parameter in named if parameter.requires_grad]
    weights = [parameter for name, parameter in parameters if not name.endswith("bias")]
    biases = [parameter for name, parameter in parameters if name.endswith("bias")]
    groups = [{"params": weights, "weight_decay": weight_decay}, {"params": biases, "lr": 2 * lr, "weight_decay": 0.0}]
    return torch.optim.Adam(groups, lr=lr, betas=betas)
