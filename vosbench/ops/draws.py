"""Random numbers that belong to a clip, so that a clip is treated alike whatever process trains on it."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 1024  # numbers drawn at a time; a call for each small draw of each clip would cost more than the loss


class Draws:
    """Uniform random numbers for a batch of clips, each drawn from the clip's own generator.

    A batch that is divided among processes thus gets the same numbers as a whole one. They are on the CPU, so that
    every device gets the same ones.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._left = torch.empty(len(seeds), 0)

    def rand(self, count: int, *shape: int) -> Tensor:
        """Numbers in [0, 1) for `count` things, such as all frames: as many of each clip, those of a clip together."""
        clips = len(self._generators)
        each = count // clips
        if each * clips != count:
            raise ValueError(f"{count} is not a multiple of {clips} clips")
        return self._take(each * torch.Size(shape).numel()).reshape(count, *shape)

    def uniform(self, low: float, high: float, count: int, *shape: int) -> Tensor:
        """The same in [low, high)."""
        return low + (high - low) * self.rand(count, *shape)

    def _take(self, count: int) -> Float[Tensor, "clips count"]:
        if count > self._left.shape[1]:
            more = max(BLOCK, count - self._left.shape[1])
            drawn = torch.stack([torch.rand(more, generator=generator) for generator in self._generators])
            self._left = torch.cat([self._left, drawn], 1)
        taken, self._left = self._left[:, :count], self._left[:, count:]
        return taken
