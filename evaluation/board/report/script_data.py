"""What the script of the page is told, as plain data."""

from collections.abc import Sequence
from typing import Any

from vosbench.evaluation.board.report.videos import Video


def data_of(video: Video) -> dict[str, Any]:
    """What the script needs to know about a video. Pictures are given by their keys."""
    moments, curves = video.moments, video.curves
    return {
        "names": moments.names,
        "positions": moments.positions,
        "allNames": moments.all_names,
        "start": moments.start,
        "frames": moments.frames,
        "layers": [moments.annotations, *moments.predictions],
        "curves": curves
        and {"positions": curves.positions, "measures": list(curves.measures), "values": curves.values},
    }


def at_first(videos: Sequence[Video]) -> set[str]:
    """The keys of the pictures that the page shows before its script runs: the script finds them where they are."""
    keys: set[str] = set()
    for video in videos:
        moments = video.moments
        lists = [moments.frames, moments.annotations, *moments.predictions]
        keys |= {key for each in lists if each and (key := each[moments.start])}
        keys |= {worst.picture for worst in video.worst}
    return keys
