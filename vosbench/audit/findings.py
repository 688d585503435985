"""The findings of `vosbench check`: problems to fix, notes for information, and the lines that report them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from vosbench.util.wording import printable, some
from vosbench.video.formats import USUAL_FRAMES


class Problem(Enum):
    """Findings that keep a data set from being predicted or scored correctly, with the remedy."""

    BROKEN_LINK = "broken links", "restore what they point to, or remove them"
    FRAME_UNREADABLE = "frames that cannot be read", "restore or remove these files"
    MASK_UNREADABLE = "masks that cannot be read", "restore these files"
    COLOUR = "masks in colour or with transparency", "save object ids, not colours: indexed PNGs (mode P)"
    SIXTEEN_BIT = "16-bit masks", "save object ids as 8-bit indexed PNGs"
    ABOVE_254 = "ids above 254", "a mask holds ids 1 to 254: number the objects of each video from 1"
    LOW_BIT = "2- or 4-bit grey masks", "reading scales their ids (1 becomes 85 or 17): save 8-bit indexed PNGs"
    ANTIALIASED = "antialiased masks (grey levels between 0 and 255)", "draw them without smoothing, one id a pixel"
    MASK_SIZE = "masks of another size than their frame", "give masks of the frame's size, or the right resolution"
    FRAME_SIZE = "frames of another size than the first of their video", "bring the frames of a video to one size"
    CUT = "video files that end early or are damaged", "restore them, or convert them to keep what is there"
    SAME_NUMBER = "frames with the same number", "their order is undefined: rename or remove all but one"
    ORPHAN = "annotations without an image", "add the images, or remove these files"
    UNREAD = "images in a format that is not read", f"give frames as {USUAL_FRAMES}, masks as .png"
    NO_START = "no object to start from", "label the first frame (objects 1, 2, …), or leave these videos out"
    TOO_SHORT = "too few frames to be scored", "leave these videos out"

    def __init__(self, what: str, advice: str) -> None:
        self.what, self.advice = what, advice


class Note(Enum):
    """Findings worth knowing about a data set, with advice that protocols may replace."""

    BINARY = "masks of 0 and 255", "255 is void: save object ids 1, 2, …"
    MERGED = "masks of several ids read as one object", "dataset.binary=false or year=2017 keeps objects apart"
    GREY = "grey masks", "their values are read as ids; saved as indexed PNGs, they could also be viewed"
    PALETTE = "palettes that are not the VOC colour map", "harmless: only ids count, not colours"
    CONTRADICTED = (
        "palettes that contradict their indices",
        "indices are read as ids: if an optimizer of PNGs renumbered them, save the masks anew",
    )
    TURNED = "EXIF orientations", "frames and masks are turned and mirrored as viewers show them"
    DEEP = "frames of more than 8 bits", "these are scaled to 8 bits: 16 bits from 0 to 65,535, others by their range"
    MATRIX = "video files with a display matrix", "their frames are turned and mirrored as players show them"
    FEWER = "video files with fewer frames than they promise", "harmless if these were dropped while recording"
    UNLABELLED = (
        "no annotations",
        "usable for training without labels; prediction needs a first mask, scoring all masks",
    )
    FEW = "1 or 2 annotated frames", "enough to predict and submit; only annotated frames are scored"
    SPARSE = "annotated in part", "only annotated frames are scored; dataset.frames=annotated keeps only these"
    GAPS = "gaps in object ids", "harmless: objects keep their ids"
    LATE = "late objects", "these are scored from where they first appear"
    VANISHING = "objects that vanish for good", "what is predicted after that counts as wrong"
    EMPTY = "empty masks", "there an empty prediction scores 1, any other 0"
    VOID = "void pixels (255)", "these are taken for background"
    MANY = "more than 20 objects", "time and memory grow with each"
    UNLISTED = "ids in masks that meta.json does not list, or not yet", "these are ignored"
    NEVER_SHOWN = "objects of meta.json that no mask shows", "these are neither given nor scored"
    JUMPS = "frame numbers that jump", "if frames were lost, restore them"
    SHORT = "1 or 2 frames", "there is hardly any motion to follow"
    STRIDE = "sizes not divisible by the stride", "methods pad these frames, and crop the result"
    STRAY = "stray files and folders", "these are ignored: remove them"
    LEFT_OUT = "folders that the list leaves out", "list them if they belong to the split"

    def __init__(self, what: str, advice: str) -> None:
        self.what, self.advice = what, advice


Advice = Mapping[Problem | Note, str | None]  # a protocol's advice by finding; None: not reported


def advice(kind: Problem | Note, own: Advice) -> str | None:
    """The advice for a kind of finding, which the protocol's `own` replaces. None: the finding is not reported."""
    return own.get(kind, kind.advice)


class Finding(NamedTuple):
    """One thing found at `place`, for example "bear/00003.png"; `video` is empty for the data set as a whole."""

    kind: Problem | Note
    place: str
    video: str = ""


@dataclass
class VideoFacts:
    """Facts about one video, as plain data.

    size     (height, width) of its first readable frame
    objects  ids that its annotations show
    digest   sha256 over names and contents of its frames and annotations (over names and sizes unless `full`)
    """

    name: str
    frames: int = 0
    annotated: int = 0
    size: tuple[int, int] | None = None
    objects: frozenset[int] = frozenset()
    digest: str = ""
    found: list[Finding] = field(default_factory=list)

    def add(self, kind: Problem | Note, place: str = "") -> None:
        """Adds a finding. `place` is "/<file>" or empty, followed by any detail."""
        self.found.append(Finding(kind, f"{self.name}{place}", self.name))


def lines(kinds: type[Problem] | type[Note], found: Iterable[Finding], videos: int, own: Advice) -> list[str]:
    """One line for all findings of a kind, in the order of `kinds`: what, how many, where, what to do."""
    by_kind: dict[Problem | Note, list[Finding]] = {}
    for finding in found:
        by_kind.setdefault(finding.kind, []).append(finding)
    said = ((kind, advice(kind, own)) for kind in kinds if kind in by_kind)
    return [_line(kind.what, by_kind[kind], videos, remedy) for kind, remedy in said if remedy]


def _line(what: str, found: list[Finding], videos: int, remedy: str) -> str:
    places = printable(some(finding.place for finding in found))
    return f"{what}: {_count(found, videos)} ({places}); {remedy}"


def _count(found: list[Finding], videos: int) -> str:
    """The number of findings, and of the videos that have them."""
    concerned = {finding.video for finding in found}
    if "" in concerned:
        return str(len(found))
    several = f"{len(found)} in " if len(found) > len(concerned) else ""
    return f"{several}{len(concerned)} of {videos} videos"
