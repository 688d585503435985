"""Judges what a video file says of itself: how long it is, and how its frames are to be shown."""

from vosbench.audit.findings import Note, Problem, VideoFacts
from vosbench.util.wording import rows_columns
from vosbench.video.display_matrix import Turn
from vosbench.video.video_file import OtherSize, VideoFile


def judge_file(video: VideoFile, facts: VideoFacts) -> None:
    """Notes files that are not whole, and frames that are turned or mirrored to be shown."""
    if video.index.lost:
        facts.add(Problem.CUT, f" ({video.index.lost})")
    elif video.index.fewer:
        facts.add(Note.FEWER, f" ({video.index.fewer})")
    if video.index.turn != Turn():
        facts.add(Note.MATRIX, f" ({video.index.turn})")


def judge_size(error: OtherSize, facts: VideoFacts) -> None:
    """Notes a frame of another size than the first one."""
    facts.size = facts.size or error.first
    sizes = f"{rows_columns(error.size)}, not {rows_columns(error.first)}"
    facts.add(Problem.FRAME_SIZE, f"/{error.name} is {sizes}")
