"""Sampling: which frames make up a training clip, and which clips a process takes."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Int
from torch.utils.data import Sampler

from vosbench.util.errors import UserError


class FrameSampler(Protocol):
    """Divides videos into clips, differently in every epoch: a random gap and start per video determine its clips."""

    def draw(self, lengths: Int[np.ndarray, " v"], rng: np.random.Generator) -> Int[np.ndarray, "v 2"]:
        """One epoch's draw for videos with these numbers of frames: the gap and first frame of each."""

    def counts(self, lengths: Int[np.ndarray, " v"], drawn: Int[np.ndarray, "v 2"]) -> Int[np.ndarray, " v"]:
        """The number of clips of each video."""

    def frames(self, gap: int, start: int, k: int, rng: np.random.Generator) -> list[int]:
        """Frame indices of clip k of a video. `rng` is specific to the clip."""


class Strided:
    """Takes every `gap`-th frame of a video and divides these into windows that do not overlap. A clip is the frames at
    some positions of one window.

    positions     of a clip's frames in its window. [0, 1] are MAMP's pairs (reference, query); [0, 1, 6] are two
                  neighbours and a distant frame
    gaps          in frames; `probabilities` of each, for every video and epoch
    random_start  start at a random frame, so that short videos give other clips in every epoch; else at frame 0
    most          most clips per video and epoch; null: no limit
    shuffled      a clip has this many of the positions, drawn in random order; null: all positions in order

    An incomplete window at the end is dropped. A video too short for its gap gives no clips.
    """

    def __init__(
        self,
        positions: Sequence[int] = (0, 1),
        gaps: Sequence[int] = (2, 5, 8),
        probabilities: Sequence[float] = (0.4, 0.4, 0.2),
        random_start: bool = False,
        most: int | None = None,
        shuffled: int | None = None,
    ) -> None:
        if (
            len(gaps) != len(probabilities)
            or min(gaps) < 1
            or min(probabilities) < 0
            or abs(sum(probabilities) - 1) > 1e-6
        ):
            given = f"gaps={list(gaps)} with probabilities={list(probabilities)}"
            raise UserError(f"data.clips.sampler: {given}: give one probability per gap of 1 or more, adding up to 1")
        if not positions or min(positions) < 0 or len(set(positions)) < len(positions):
            raise UserError(f"data.clips.sampler.positions={list(positions)}: give different places from 0 on")
        if shuffled is not None and not 1 <= shuffled <= len(positions):
            raise UserError(
                f"data.clips.sampler.shuffled={shuffled}: give from 1 to {len(positions)}, or null: there are no more "
                "positions"
            )
        kept = [(gap, probability) for gap, probability in zip(gaps, probabilities, strict=True) if probability > 0]
        self.positions, self.stretch, self.random_start = tuple(positions), max(positions) + 1, random_start
        if most is not None and most < 1:
            raise UserError(f"data.clips.sampler.most={most}: give 1 or more, or null")
        self.most, self.shuffled = most, shuffled
        self.gaps = np.array([gap for gap, _ in kept])
        self.probabilities = np.array([probability for _, probability in kept])

    def draw(self, lengths: Int[np.ndarray, " v"], rng: np.random.Generator) -> Int[np.ndarray, "v 2"]:
        gaps = rng.choice(self.gaps, size=len(lengths), p=self.probabilities / self.probabilities.sum())
        starts = np.zeros_like(gaps)
        if self.random_start:  # any start that gives as many clips as frame 0 does
            counts = self.counts(lengths, np.stack([gaps, starts], axis=1))
            needed = gaps * (counts * self.stretch - 1) + 1
            starts = rng.integers(np.where(counts > 0, lengths - needed + 1, 1))
        return np.stack([gaps, starts], axis=1)

    def counts(self, lengths: Int[np.ndarray, " v"], drawn: Int[np.ndarray, "v 2"]) -> Int[np.ndarray, " v"]:
        gaps, starts = drawn.T
        counts: Int[np.ndarray, " v"] = -(-(lengths - starts) // gaps) // self.stretch
        return counts if self.most is None else counts.clip(max=self.most)

    def frames(self, gap: int, start: int, k: int, rng: np.random.Generator) -> list[int]:
        positions = self.positions
        if self.shuffled is not None:
            positions = tuple(rng.permutation(positions)[: self.shuffled].tolist())
        return [start + gap * (k * self.stretch + position) for position in positions]


class Stills:
    """A clip repeats one frame: for still images, and for video frames used as still images.

    length   number of frames per clip
    gap      take every `gap`-th frame of a video, starting at a random offset below `gap`. A still image is a video of
             one frame
    """

    def __init__(self, length: int = 6, gap: int = 1) -> None:
        if length < 1 or gap < 1:
            raise UserError(f"data.clips.sampler: length={length}, gap={gap}: give 1 or more")
        self.length, self.gap = length, gap

    def draw(self, lengths: Int[np.ndarray, " v"], rng: np.random.Generator) -> Int[np.ndarray, "v 2"]:
        starts = rng.integers(lengths.clip(1, self.gap))
        return np.stack([np.full_like(starts, self.gap), starts], axis=1)

    def counts(self, lengths: Int[np.ndarray, " v"], drawn: Int[np.ndarray, "v 2"]) -> Int[np.ndarray, " v"]:
        gaps, starts = drawn.T
        counts: Int[np.ndarray, " v"] = -(-(lengths - starts) // gaps)
        return counts

    def frames(self, gap: int, start: int, k: int, rng: np.random.Generator) -> list[int]:
        return [start + gap * k] * self.length


class ClipTable:
    """Every clip of a run: sample i → (video, frame indices), a pure function of (seed, i).

    Epochs follow one another; their lengths vary with the draws. Raises UserError if no video is long enough.
    """

    def __init__(self, lengths: Sequence[int], sampler: FrameSampler, seed: int) -> None:
        self.lengths, self.sampler, self.seed = np.asarray(lengths, dtype=np.int64), sampler, seed
        self._ends: list[int] = []
        self._epoch, self._clips = -1, np.empty((0, 4), np.int64)
        # One draw may give no clips of short videos where another gives some: 64 empty epochs in a row cannot be bad
        # luck.
        if not any(self._counts(epoch)[1].sum() for epoch in range(64)):
            longest = max(lengths, default=0)
            raise UserError(
                f"data.sources: no video is long enough for a clip (longest: {longest} frames); use smaller gaps"
            )

    def epoch(self, index: int) -> int:
        """The epoch of sample `index`, counted from 0."""
        while not self._ends or self._ends[-1] <= index:
            self._ends.append((self._ends[-1] if self._ends else 0) + self.samples(len(self._ends)))
        return int(np.searchsorted(self._ends, index, side="right"))

    def samples(self, epoch: int) -> int:
        """The number of samples of an epoch."""
        return int(self._counts(epoch)[1].sum())

    def other(self, index: int, rng: np.random.Generator) -> int:
        """Another sample of the same epoch; `index` itself if it is the only one."""
        epoch = self.epoch(index)
        first, end = self._ends[epoch - 1] if epoch else 0, self._ends[epoch]
        drawn = int(rng.integers(first, max(first + 1, end - 1)))
        return drawn + (drawn >= index and end - first > 1)

    def __getitem__(self, index: int) -> tuple[int, list[int]]:
        epoch = self.epoch(index)
        if epoch != self._epoch:
            self._epoch, self._clips = epoch, self._shuffled(epoch)
        start = self._ends[epoch - 1] if epoch else 0
        video, k, gap, first = (int(value) for value in self._clips[index - start])
        own = np.random.default_rng(np.random.SeedSequence((self.seed, index), spawn_key=(2,)))
        return video, self.sampler.frames(gap, first, k, own)

    def _rng(self, epoch: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence((self.seed, epoch), spawn_key=(purpose,)))

    def _counts(self, epoch: int) -> tuple[Int[np.ndarray, "v 2"], Int[np.ndarray, " v"]]:
        drawn = self.sampler.draw(self.lengths, self._rng(epoch, 0))
        return drawn, self.sampler.counts(self.lengths, drawn)

    def _shuffled(self, epoch: int) -> Int[np.ndarray, "n 4"]:
        """(video, clip of the video, gap, start) of an epoch's clips, shuffled over all videos."""
        drawn, counts = self._counts(epoch)
        videos = np.repeat(np.arange(len(counts)), counts)
        within = np.arange(len(videos)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self._rng(epoch, 1).permutation(np.column_stack([videos, within, drawn[videos]]))


class StepSampler(Sampler[list[int]]):
    """Batches of clip indices for optimizer steps `start` … `stop`-1 of one process.

    Step s uses clips s·batch … (s+1)·batch − 1 for any number of processes: rank r takes those with i ≡ r modulo
    `world`. `batch` is the number of clips per step over all processes, so a run resumed at its global step continues
    exactly. With `parts`, a process takes its clips of a step in that many batches, whose gradients are accumulated.
    Raises UserError if the batch does not divide among the processes and parts.
    """

    def __init__(self, start: int, stop: int, batch: int, rank: int = 0, world: int = 1, parts: int = 1) -> None:
        if batch < 1 or batch % (world * parts):
            raise UserError(_indivisible(batch, world, parts))
        self.start, self.stop, self.batch, self.rank, self.world, self.parts = start, stop, batch, rank, world, parts

    def __len__(self) -> int:
        """The number of batches of the whole training: a resumed loop continues its count, and ends at this number."""
        return self.stop * self.parts

    def __iter__(self) -> Iterator[list[int]]:
        size = self.batch // (self.world * self.parts)
        for step in range(self.start, self.stop):
            clips = list(range(step * self.batch + self.rank, (step + 1) * self.batch, self.world))
            yield from (clips[part * size : (part + 1) * size] for part in range(self.parts))


def _indivisible(batch: int, world: int, parts: int) -> str:
    """What is wrong with a number of clips per step, and which settings would be right."""
    what = f"data.batch_size={batch}, the clips of one step, must be a positive multiple of the {world} processes"
    if parts > 1:
        return f"{what} × trainer.accumulate_grad_batches={parts}: change one of them"
    fewer = max(number for number in range(1, world + 1) if batch % number == 0) if batch > 0 else 1
    more = max(world, -(-batch // world) * world)
    return f"{what}: set trainer.devices={fewer}, or data.batch_size={more} and an optimizer.lr for it"
