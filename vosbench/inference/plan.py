"""What predicting will take, estimated from the first frames of the video that needs most memory."""

from collections.abc import Sequence
from itertools import islice
from statistics import median

import numpy as np

from vosbench.inference.device import peak_memory_mb, reset_peak_memory
from vosbench.inference.predictor import Predictor
from vosbench.inference.propagator import Propagator, follow, propagate
from vosbench.util.progress import duration
from vosbench.util.wording import counted, rows_columns
from vosbench.video.video import Video

FRAMES = 30  # that are tried: enough to fill most memories


def plan(predictor: Predictor, videos: Sequence[Video]) -> dict[str, str]:
    """What predicting these videos will take, by name, for people to read. Nothing is written."""
    objects = {video.name: _objects(video) for video in videos}
    video = max(videos, key=lambda video: video.size[0] * video.size[1] * (1 + objects[video.name]))
    reset_peak_memory(predictor.device)
    tried = _tried(predictor, video)
    memory, seconds = peak_memory_mb(predictor.device), median([*tried.seconds][-5:])
    frames = sum(len(each.frame_names) for each in videos)
    count = sum(parameter.numel() for parameter in predictor.method.parameters())
    return {
        "parameters": f"{count:,}",
        "videos": f"{len(videos):,}, {counted(frames, 'frame')}, at most {counted(max(objects.values()), 'object')}",
        "tried": f"{counted(tried.steps, 'frame')} of {video.name}, {rows_columns(video.size)} pixels "
        f"(rows×columns), {counted(len(tried.ids), 'object')}",
        "memory": f"{memory:,.0f} MB of {'the GPU' if predictor.device.type == 'cuda' else 'the process'}",
        "time": f"about {duration(frames * seconds)} on {predictor.device} in {predictor.precision}, "
        f"{seconds:.3f} s for each frame like the last ones tried",
    }


def _tried(predictor: Predictor, video: Video) -> Propagator[object, object]:
    """The method after the first frames of a video."""
    propagator = predictor.propagator()
    run = propagate if video.joints(0) is None else follow
    for _ in islice(run(propagator, video), FRAMES):
        pass
    return propagator


def _objects(video: Video) -> int:
    """The number of objects that are given, in any frame, or of joints."""
    if (joints := video.joints(0)) is not None:
        return len(joints)
    given = (video.given(index) for index in range(len(video.frame_names)))
    return len({id_ for mask in given if mask is not None for id_ in np.unique(mask).tolist()} - {0})
