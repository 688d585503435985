"""Means and buffers that are the same in all processes of a training; without other processes, nothing changes."""

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn


def count_of_processes() -> int:
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def mean_of_all(total: Float[Tensor, ""], count: Tensor) -> Float[Tensor, ""]:
    """This process's part of the mean over what all processes count: `total` / `count`, 0 without any.

    The mean of all parts is the mean over everything, whereas the mean of each process's own mean would weigh clips by
    chance. Gradients are averaged over processes likewise. Every process must call this equally often.
    """
    everything = count.detach().to(torch.float64)
    processes = count_of_processes()
    if processes > 1:
        everything = everything.clone()
        distributed.all_reduce(everything)
    return total * processes / everything.clamp(min=1).to(total.dtype)


@torch.no_grad()
def share_buffers(module: nn.Module) -> None:
    """Gives every process the buffers of the first one: batch normalisation gathers statistics of its own in each."""
    if count_of_processes() > 1:
        for buffer in module.buffers():
            distributed.broadcast(buffer, 0)
