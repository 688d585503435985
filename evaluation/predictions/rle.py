"""Label maps as COCO RLE: one JSON file for all sequences, laid out like the annotation files of YouTube-VIS.

    {"videos": [{"id", "name", "file_names": [of each frame], "height", "width"}],
     "annotations": [{"id", "video_id", "object_id", "segmentations": [RLE or null, of each frame]}]}

`object_id` is not part of YouTube-VIS: without it, a video's objects are numbered 1, 2, … in order of their `id`. A
video without a name gets the name of its frames' folder.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vosbench.evaluation.metrics import ids_of
from vosbench.util.errors import Problems, UserError
from vosbench.util.files import replace_file
from vosbench.util.reading import read_json
from vosbench.util.wording import some
from vosbench.video.formats import is_image
from vosbench.video.opening import MOST_PIXELS
from vosbench.video.run_lengths import decode
from vosbench.video.video import LabelMap

Rle = dict[str, Any]
Entry = dict[str, Any]
VIDEO_KEYS: Mapping[str, type] = {"id": int, "file_names": list, "height": int, "width": int}
ANNOTATION_KEYS: Mapping[str, type] = {"video_id": int, "segmentations": list}


@dataclass(frozen=True)
class RleSequence:
    """The label maps of one video of the file at `path`. frames: by frame name, the RLE of each object id, as it is in
    the file."""

    path: Path
    name: str
    size: tuple[int, int]
    frames: dict[str, dict[int, Any]] = field(repr=False)
    problems: list[str]

    @property
    def names(self) -> Collection[str]:
        return self.frames.keys()

    def read(self, frame: str) -> LabelMap:
        """Raises UserError naming file, video and frame if an RLE does not decode or two objects share pixels."""
        labels = np.zeros(self.size, np.uint8)
        problems = []
        for id_, rle in self.frames[frame].items():
            try:
                mask = decode(rle, self.size)
            except UserError as error:
                problems.append(f"object {id_}: {error}")
                continue
            if taken := set(labels[mask].tolist()) - {0}:
                both = " and ".join(map(str, sorted({*taken, id_})))
                problems.append(f"objects {both} share pixels, but a label map gives each pixel to one object")
            labels[mask] = id_
        if problems:
            raise UserError(f"{self.path}: {self.name}/{frame}: {'; '.join(problems)}")
        return labels

    def file(self, frame: str) -> Path | None:
        return None

    def digest(self) -> str:
        return hashlib.sha256(json.dumps([self.size, self.frames], sort_keys=True).encode()).hexdigest()


class RleFile:
    """Such a file. Raises Problems that list everything that makes the whole file unusable; problems of one video are
    in its sequence."""

    def __init__(self, path: Path) -> None:
        self.path = path
        content = _load(path)
        problems: list[str] = []
        videos = _entries(content, "videos", VIDEO_KEYS, problems)
        annotations = _entries(content, "annotations", ANNOTATION_KEYS, problems)
        known = {video["id"] for video in videos}
        if lost := sorted({entry["video_id"] for entry in annotations} - known) if not problems else []:
            problems.append(f"annotations of videos that do not exist: video_id {some([*map(str, lost)])}")
        if bad := [_name(video) for video in videos if not _is_size(*_size(video))]:
            problems.append(f"height and width are not sizes of an image: videos {some(bad)}")
        problems += _repeated("videos have the id", (video["id"] for video in videos))
        problems += _repeated("annotations have the id", (entry["id"] for entry in annotations if "id" in entry))
        problems += _repeated("videos have the name", (_name(video) for video in videos))
        if not any("object_id" in entry for entry in annotations):
            problems += _number(annotations)
        if problems:
            raise Problems(f"{path} is no usable file of COCO RLE; mend it, or write it anew", problems)
        objects: dict[int, list[Entry]] = {id_: [] for id_ in known}
        for entry in annotations:
            objects[entry["video_id"]].append(entry)
        self._sequences = {_name(video): _sequence(path, video, objects[video["id"]]) for video in videos}

    def sequence(self, name: str) -> RleSequence | None:
        return self._sequences.get(name)

    def problems(self, known: Collection[str]) -> list[str]:
        extra = [name for name in self._sequences if name not in known]
        return [f"{len(extra)} sequence(s) that the data set does not have: {some(extra)}"] if extra else []


def write_rle(path: Path, videos: Iterable[tuple[str, Iterable[tuple[str, LabelMap]]]]) -> None:
    """Writes such a file, never half of it. videos: the name of each, and the names and label maps of its frames.

    Equal label maps give equal bytes. RLEs are built for one video at a time; its objects are all ids that occur.
    Raises UserError naming a video whose label maps differ in size.
    """
    content: dict[str, list[Entry]] = {"videos": [], "annotations": []}
    for number, (name, frames) in enumerate(videos, start=1):
        sizes: set[tuple[int, ...]] = set()
        rles: dict[str, dict[int, Rle]] = {}
        for frame, labels in frames:
            sizes.add(labels.shape)
            rles[frame] = encode(labels)
        if len(sizes) > 1:
            raise UserError(f"video {name} has label maps of several sizes, {sorted(sizes)}: COCO RLE allows one")
        height, width = next(iter(sizes), (0, 0))
        content["videos"].append(
            {"id": number, "name": name, "file_names": [*rles], "height": height, "width": width},
        )
        for id_ in sorted(set().union(*rles.values())):
            segmentations = [objects.get(id_) for objects in rles.values()]
            entry = {"id": len(content["annotations"]) + 1, "video_id": number, "object_id": id_}
            content["annotations"].append({**entry, "segmentations": segmentations})
    replace_file(path, (json.dumps(content, separators=(",", ":"), ensure_ascii=False) + "\n").encode())


def encode(labels: LabelMap) -> dict[int, Rle]:
    """The compressed RLE of each object of a label map, by id."""
    from pycocotools import mask

    found = {id_: mask.encode(np.asfortranarray(labels == id_, dtype=np.uint8)) for id_ in sorted(ids_of(labels))}
    return {id_: {"size": rle["size"], "counts": rle["counts"].decode("ascii")} for id_, rle in found.items()}


def _load(path: Path) -> Entry:
    content = read_json(path, "", "give a JSON file of COCO RLE")
    if not isinstance(content, dict):
        layout = '{"videos": […], "annotations": […]}, as in the annotation files of YouTube-VIS'
        raise UserError(f"{path} holds a {type(content).__name__}: give a JSON file of COCO RLE that holds {layout}")
    return content


def _entries(content: Entry, key: str, keys: Mapping[str, type], problems: list[str]) -> list[Entry]:
    """The entries of a list that have these keys; keys missing from others are added to the problems."""
    if not isinstance(content.get(key), list):
        problems.append(f'it has no list "{key}"')
        return []
    good: list[Entry] = []
    bad: dict[str, list[str]] = {}
    for index, entry in enumerate(content[key]):
        lacking = [name for name, kind in keys.items() if type(entry) is not dict or type(entry.get(name)) is not kind]
        if lacking:
            bad.setdefault(", ".join(f"{name} ({keys[name].__name__})" for name in lacking), []).append(str(index))
        else:
            good.append(entry)
    problems += [f"{len(where)} of {key} lack {lacking}: number {some(where)}" for lacking, where in bad.items()]
    return good


def _repeated(what: str, values: Iterable[Any]) -> list[str]:
    counts = Counter(json.dumps(value) for value in values)
    return [f"{count} {what} {value}" for value, count in counts.items() if count > 1]


def _number(annotations: Iterable[Entry]) -> list[str]:
    """Gives object ids, in order of `id`, to annotations that have none, or adds a problem saying why it cannot."""
    if lacking := sum(type(entry.get("id")) is not int for entry in annotations):
        return [f"{lacking} of annotations have neither object_id nor id"]
    seen: Counter[int] = Counter()
    for entry in sorted(annotations, key=lambda entry: int(entry["id"])):
        seen[entry["video_id"]] += 1
        entry["object_id"] = seen[entry["video_id"]]
    return []


def _name(video: Entry) -> str:
    """The video's name, else the folder of its frames, else its id."""
    if video.get("name"):
        return str(video["name"])
    folder = PurePosixPath(str(next(iter(video["file_names"]), ""))).parent.name
    return folder or str(video["id"])


def _frame(file_name: object) -> str:
    """The frame's name without an image suffix; other dots are part of the name."""
    path = PurePosixPath(str(file_name))
    return path.stem if is_image(Path(path)) else path.name


def _sequence(path: Path, video: Entry, objects: Sequence[Entry]) -> RleSequence:
    names = [_frame(file_name) for file_name in video["file_names"]]
    problems = _repeated("frames have the name", names)
    problems += _repeated("annotations have the object_id", (entry.get("object_id") for entry in objects))
    frames: dict[str, dict[int, Any]] = {name: {} for name in names}
    for entry in objects:
        id_, rles = entry.get("object_id"), entry["segmentations"]
        if type(id_) is not int or not 1 <= id_ <= 255:
            problems.append(f"object_id {id_} is not 1 to 255")
            continue
        if len(rles) != len(names):
            problems.append(f"object {id_} has {len(rles)} segmentations, the video {len(names)} frames")
        for name, rle in zip(names, rles, strict=False):
            if rle is not None:
                frames[name][id_] = rle
    return RleSequence(path, _name(video), _size(video), frames, problems)


def _is_size(height: int, width: int) -> bool:
    return 0 <= min(height, width) <= max(height, width) < 2**16 and height * width <= MOST_PIXELS


def _size(video: Entry) -> tuple[int, int]:
    return video["height"], video["width"]
