"""From one foreground probability per object to one distribution over background and objects (soft aggregation)."""

import torch
from jaxtyping import Float
from torch import Tensor

EPS = 1e-7  # probabilities stay this far from 0 and 1, so that their log-odds stay within ±16.1


def aggregated_logits(probabilities: Float[Tensor, "b n h w"]) -> Float[Tensor, "b n+1 h w"]:
    """Log-odds of background and of each object, whose softmax is `soft_aggregate`: what a cross-entropy takes.

    probabilities  in [0, 1], of each object against all else; an object that is absent has 0 everywhere

    The background is what no object claims, Π(1 − p), as in STM (Oh et al. 2019). Always in float32: half precision
    cannot tell 1 − 1e-7 from 1.
    """
    objects = probabilities.float()
    background = (1 - objects).prod(1, keepdim=True)
    return torch.cat([background, objects], 1).logit(EPS)


def soft_aggregate(probabilities: Float[Tensor, "b n h w"]) -> Float[Tensor, "b n+1 h w"]:
    """Scores of background and objects, which sum to 1; see `aggregated_logits`.

    One object of probability p becomes p² / (p² + (1 − p)²).
    """
    return aggregated_logits(probabilities).softmax(1)
