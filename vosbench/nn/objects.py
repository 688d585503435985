"""Helpers of networks that process each object of a frame separately, a few objects at a time."""

import torch
from jaxtyping import Float
from torch import Tensor

AT_A_TIME = 4  # limits memory outside training


def in_groups(objects: Float[Tensor, "b n *rest"], training: bool) -> tuple[Float[Tensor, "b _ *rest"], ...]:
    """Objects split into groups that are processed together; one group in training, for the batch statistics.

    There is at least one group, which is empty if there are no objects.
    """
    groups: tuple[Tensor, ...] = objects.split(max(1, objects.shape[1]) if training else AT_A_TIME, 1)
    return groups


def with_masks(images: Float[Tensor, "b 3 h w"], masks: Float[Tensor, "b n h w"]) -> Float[Tensor, "bn 4 h w"]:
    """Each image with each of its masks as a fourth channel; the n objects of an image are consecutive."""
    repeated = images.unsqueeze(1).expand(-1, masks.shape[1], -1, -1, -1)
    return torch.cat([repeated, masks.unsqueeze(2)], 2).flatten(0, 1)
