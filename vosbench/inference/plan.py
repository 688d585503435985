"""What predicting will take, estimated from the first frames of the video that needs most memory."""

import time
from collections.abc import Sequence
from itertools import islice
from statistics import median

import numpy as np

from vosbench.inference.device import autocast, peak_memory_mb, reset_peak_memory
from vosbench.inference.predictor import Predictor
from vosbench.inference.propagator import Propagator
from vosbench.util.progress import duration
from vosbench.video.video import Video

FRAMES = 30  # that are tried: enough to fill most memories


def plan(predictor: Predictor, videos: Sequence[Video]) -> dict[str, str]:
    """What predicting these videos will take, by name, for people to read. Nothing is written."""
    objects = {video.name: _objects(video) for video in videos}
    video = max(videos, key=lambda video: video.size[0] * video.size[1] * (1 + objects[video.name]))
    propagator = Propagator(predictor.method, predictor.memory(), predictor.inference, predictor.device)
    reset_peak_memory(predictor.device)
    began = time.monotonic()
    with autocast(predictor.device, predictor.precision):
        for index in islice(range(len(video.frame_names)), FRAMES):
            propagator.step(video.frame(index), video.given(index))
    tried = len(propagator.seconds)
    memory = peak_memory_mb(predictor.device)
    frames = sum(len(each.frame_names) for each in videos)
    seconds = median(propagator.seconds[-5:])
    return {
        "parameters": f"{sum(parameter.numel() for parameter in predictor.method.parameters()):,}",
        "videos": f"{len(videos):,}, {frames:,} frames, at most {max(objects.values())} objects",
        "tried": f"{tried} frames of {video.name}, {video.size[0]}×{video.size[1]} pixels, "
        f"{objects[video.name]} objects, in {duration(time.monotonic() - began)}",
        "memory": f"{memory:,.0f} MB of {'the GPU' if predictor.device.type == 'cuda' else 'the process'}",
        "time": f"about {duration(frames * seconds)} on {predictor.device} in {predictor.precision}, "
        f"{seconds:.3f} s a frame like these",
    }


def _objects(video: Video) -> int:
    """The number of objects that are given, in any frame."""
    given = (video.given(index) for index in range(len(video.frame_names)))
    return len({id_ for mask in given if mask is not None for id_ in np.unique(mask).tolist()} - {0})
