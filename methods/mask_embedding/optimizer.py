"""Adam with learning rates of their own for E, which stage 2 finds trained, and for biases, as the authors have it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Annotated

import torch
from torch import nn

from vosbench.settings.options import Range
from vosbench.util.errors import UserError

Factor = Annotated[float, Range(0)]


def adam(
    named: Iterable[tuple[str, nn.Parameter]],
    lr: Factor,
    betas: Sequence[Factor] = (0.9, 0.999),
    weight_decay: Factor = 0.0,
    bias_rate: Factor = 1.0,
    key_rate: Factor = 1.0,
) -> torch.optim.Adam:
    """Adam over named parameters: names that end in `bias` are biases, and those that start with `key_encoder` are E's.

    weight_decay  of all but biases
    bias_rate     factor of lr for biases; 2 in the authors' code
    key_rate      factor of lr for E
    """
    if len(betas) != 2:
        raise UserError(f"optimizer.betas={list(betas)}: give two numbers below 1")
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in named:
        if parameter.requires_grad:
            groups[name.startswith("key_encoder."), name.endswith("bias")].append(parameter)
    if not groups:
        raise UserError("optimizer: there is nothing to train")
    of_group = [
        {
            "params": parameters,
            "lr": lr * (key_rate if of_keys else 1) * (bias_rate if biases else 1),
            "weight_decay": 0.0 if biases else weight_decay,
        }
        for (of_keys, biases), parameters in sorted(groups.items(), key=lambda group: group[0])
    ]
    return torch.optim.Adam(of_group, lr=lr, betas=(betas[0], betas[1]))
