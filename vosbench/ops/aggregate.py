"""From one foreground probability per object to one distribution over background and objects (soft aggregation)."""

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor

EPS = 1e-7  # probabilities are kept this far from 0 and 1, and so their log-odds within ±16.1
LEAST = 1e-30  # the probability of any object is at least this, so that the log-odds of background stay below 69.1


def aggregated_logits(log_odds: Float[Tensor, "b n h w"]) -> Float[Tensor, "b n+1 h w"]:
    """Log-odds of background and of each object, for a cross-entropy: their softmax is `soft_aggregate`.

    log_odds  of each object against all else: the inverse sigmoid of its probability p, log(p / (1 − p))

    The background is what no object claims, Π(1 − p), as in STM (Oh et al. 2019). The input is log-odds because
    probabilities saturate: beyond ±17 they are 0 or 1 in float32 and have no gradient, however wrong they are.
    Always computed in float32.
    """
    objects = log_odds.float()
    nothing = nnf.logsigmoid(-objects).sum(1, keepdim=True).clamp_max(-LEAST)
    return torch.cat([nothing - (-nothing.expm1()).log(), objects], 1)


def soft_aggregate(probabilities: Float[Tensor, "b n h w"]) -> Float[Tensor, "b n+1 h w"]:
    """Scores of background and objects, which sum to 1, from probabilities whose log-odds are clamped to ±16.1.

    probabilities  in [0, 1], of each object against all else; 0 everywhere for an object that is absent

    A lone object of probability p gets p² / (p² + (1 − p)²). Computed in float32, since half precision cannot tell
    1 − 1e-7 from 1.
    """
    objects = probabilities.float()
    background = (1 - objects).prod(1, keepdim=True)
    return torch.cat([background, objects], 1).logit(EPS).softmax(1)
