"""The index of the pictures beside a record, and what it says about their videos.

An index may be of somebody else, and what it names is shown: whatever is odd is left out.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from vosbench.evaluation.results.schema import cleaned
from vosbench.util.errors import UserError
from vosbench.util.files import replace_file
from vosbench.util.plain import fits, misfits
from vosbench.util.reading import read_json
from vosbench.video.images import read_image

INDEX = "pictures.json"
VERSION = 2  # the first was a list of pictures, with strips of five moments
Kind = Literal["frame", "annotation", "prediction", "worst"]
FIELDS: dict[str, Any] = {"kind": str, "file": str, "sequence": str, "caption": str}  # of an entry
FACTS: dict[str, Any] = {"attributes": list[str], "frames": dict[str, int]}
TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png"}  # by the first bytes
LARGEST = 2**21  # bytes of a picture: thirty times those of the largest here
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """One picture of a folder, as its index lists it.

    kind     a moment of a video (its frame, its annotation, the prediction), or worst
    file     relative to the folder
    caption  of a moment: the name of the frame
    data     the content of the file
    """

    kind: Kind
    file: str
    sequence: str
    caption: str
    data: bytes = field(default=b"", repr=False)

    @property
    def type(self) -> str:
        """Its media type; "": it is neither a JPEG nor a PNG."""
        return next((kind for start, kind in TYPES.items() if self.data.startswith(start)), "")


@dataclass(frozen=True)
class Facts:
    """What a report says about a video: its attributes, and its scored frames by name, with the positions at which
    curves have them."""

    attributes: Sequence[str] = ()
    frames: Mapping[str, int] = field(default_factory=dict)


def write_index(folder: Path, pictures: Sequence[Picture], videos: Mapping[str, Facts]) -> None:
    listed = [{name: getattr(picture, name) for name in FIELDS} for picture in pictures]
    facts = {name: asdict(each) for name, each in videos.items()}
    text = json.dumps({"version": VERSION, "videos": facts, "pictures": listed}, indent=1) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / INDEX, text.encode())


def is_current(folder: Path) -> bool:
    """Whether the folder has an index of this version."""
    if not (folder / INDEX).is_file():
        return False
    content = _content(folder)
    return isinstance(content, dict) and content.get("version") == VERSION


def read_pictures(folder: Path, known: set[bytes] | None = None) -> list[Picture]:
    """The pictures of the folder's index. Missing and broken ones are left out, and those elsewhere.

    known  contents that are whole, because they were decoded before; others are added
    """
    content, known = _content(folder), set() if known is None else known
    if content is None:
        return []
    listed = content.get("pictures") if isinstance(content, dict) else content
    if not isinstance(listed, list) or any(misfits(each, FIELDS) for each in listed if isinstance(each, dict)):
        log.warning("no pictures: %s is no list of pictures", folder / INDEX)
        return []
    entries = [each for each in listed if isinstance(each, dict) and each.keys() == FIELDS.keys()]
    if any(each["kind"] in ("sheet", "truth") for each in entries):
        log.warning("%s is of an earlier version: score again for overlays over time", folder / INDEX)
    pictures = [Picture(**cleaned(each) | {"file": each["file"]}) for each in entries if fits(each["kind"], Kind)]
    whole = (_read(folder, picture, known) for picture in pictures if _is_inside(folder, picture.file))
    return [picture for picture in whole if picture is not None]


def read_facts(folder: Path) -> dict[str, Facts]:
    """What the folder's index says about videos, by name."""
    content = _content(folder)
    videos = content.get("videos") if isinstance(content, dict) else None
    if videos is None or not fits(videos, dict[str, dict[str, Any]]):
        return {}
    good = {name: each for name, each in videos.items() if each.keys() == FACTS.keys() and not misfits(each, FACTS)}
    return {name: Facts(**each) for name, each in cleaned(good).items()}


def _content(folder: Path) -> Any:
    """What is in the index; None if there is none, or none that can be read, which is said."""
    if not (folder / INDEX).exists():
        return None
    try:
        return read_json(folder / INDEX, "", "score again with overwrite=true, or remove it")
    except UserError as error:
        log.warning("no pictures: %s", error)
        return None


def _is_inside(folder: Path, file: str) -> bool:
    """Whether a file lies in the folder, with all links followed. That it does not is said."""
    try:
        inside = (folder / file).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # links in a circle, or no name that a file could have
        inside = False
    if not inside:
        log.warning("%s names a picture outside of its folder, which is left out: %s", folder / INDEX, file)
    return inside


def _read(folder: Path, picture: Picture, known: set[bytes]) -> Picture | None:
    """The picture with its content; None unless it is a JPEG or PNG that can be decoded to the end."""
    path = folder / picture.file
    if not path.is_file() or path.stat().st_size > LARGEST:
        return None
    read = Picture(picture.kind, picture.file, picture.sequence, picture.caption, path.read_bytes())
    if read.data not in known:
        try:
            read_image(path)
        except UserError:
            return None
        known.add(read.data)
    return read if read.type else None
