"""Networks that see each object of a frame by itself: its picture and mask, a few objects at a time."""

import torch
from jaxtyping import Float
from torch import Tensor

AT_A_TIME = 4  # other than in training, so that no maps are larger


def in_groups(objects: Float[Tensor, "b n *rest"], training: bool) -> tuple[Float[Tensor, "b _ *rest"], ...]:
    """Objects split into groups that go through a network together: all at once in training, for its batch statistics.

    There is one group at least, which is empty if there are no objects.
    """
    groups: tuple[Tensor, ...] = objects.split(max(1, objects.shape[1]) if training else AT_A_TIME, 1)
    return groups


def with_masks(images: Float[Tensor, "b 3 h w"], masks: Float[Tensor, "b n h w"]) -> Float[Tensor, "bn 4 h w"]:
    """Each picture with each of its masks as a fourth channel; the n objects of a picture follow each other."""
    repeated = images.unsqueeze(1).expand(-1, masks.shape[1], -1, -1, -1)
    return torch.cat([repeated, masks.unsqueeze(2)], 2).flatten(0, 1)
