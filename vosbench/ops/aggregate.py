"""From one foreground probability per object to one distribution over background and objects (soft aggregation)."""

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor

EPS = 1e-7  # probabilities stay this far from 0 and 1, so that their log-odds stay within ±16.1
LEAST = 1e-30  # of the probability of any object, where the log-odds of none are sought: these stay below 69.1


def aggregated_logits(log_odds: Float[Tensor, "b n h w"]) -> Float[Tensor, "b n+1 h w"]:
    """Log-odds of background and of each object, whose softmax is `soft_aggregate`: what a cross-entropy takes.

    log_odds  of each object against all else: the inverse sigmoid of its probability, log(p / (1 - p))

    The background is what no object claims, Π(1 − p), as in STM (Oh et al. 2019). From log-odds and not from
    probabilities, since these are 0 or 1 in float32 beyond ±17 and have no gradient there, however wrong they are.
    Always in float32.
    """
    objects = log_odds.float()
    nothing = nnf.logsigmoid(-objects).sum(1, keepdim=True).clamp_max(-LEAST)
    return torch.cat([nothing - (-nothing.expm1()).log(), objects], 1)


def soft_aggregate(probabilities: Float[Tensor, "b n h w"]) -> Float[Tensor, "b n+1 h w"]:
    """Scores of background and objects, which sum to 1: of probabilities, with log-odds that stay within ±16.1.

    probabilities  in [0, 1], of each object against all else; an object that is absent has 0 everywhere

    One object of probability p becomes p² / (p² + (1 − p)²). In float32: half precision cannot tell 1 − 1e-7 from 1.
    """
    objects = probabilities.float()
    background = (1 - objects).prod(1, keepdim=True)
    return torch.cat([background, objects], 1).logit(EPS).softmax(1)
