"""Learning-rate schedules, counted in training samples."""

import math
from collections.abc import Sequence

from vosbench.settings.options import Natural, Positive, Rate, Share
from vosbench.util.errors import UserError


class Milestones:
    """Learning-rate multiplier: another `factor` after each milestone, counted in training samples, not steps (as in
    MAMP)."""

    def __init__(self, samples: Sequence[Natural] = (), factor: Rate = 0.5) -> None:
        self.samples, self.factor = tuple(samples), factor

    def __call__(self, sample: int) -> float:
        return self.factor ** sum(sample > milestone for milestone in self.samples)


class Cosine:
    """Learning-rate multiplier: rises linearly from 0 to 1 over `warm_up` samples, falls along half a cosine to `final`
    at `samples`, and stays there. All are counted in training samples (steps times batch), as in `Milestones`."""

    def __init__(self, samples: Positive, warm_up: Natural = 0, final: Share = 0.0) -> None:
        if not 0 <= warm_up < samples:
            raise UserError(f"schedule: warm_up={warm_up} of samples={samples}: give 0 or more, and fewer than samples")
        if not 0 <= final <= 1:
            raise UserError(f"schedule.final={final}: give the last learning rate as a share of optimizer.lr, 0 to 1")
        self.samples, self.warm_up, self.final = samples, warm_up, final

    def __call__(self, sample: int) -> float:
        if sample < self.warm_up:
            return sample / self.warm_up
        done = min(1.0, (sample - self.warm_up) / (self.samples - self.warm_up))
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2
