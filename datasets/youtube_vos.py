"""YouTube-VOS (Xu et al. 2018; the 2019 edition has the same layout), and any folder like it. Objects may start late.

Only two of its videos were available when this was written, from `valid` and without meta.json. Reading meta.json
follows its documentation.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vosbench.datasets.folders import (
    check_annotations,
    check_frames,
    check_root,
    choose,
    cut,
    list_images,
    scan_folders,
    scan_video,
    subfolders,
)
from vosbench.settings.options import Content, Where
from vosbench.util.errors import HERE, Problems, UserError
from vosbench.util.reading import read_json
from vosbench.util.wording import some
from vosbench.video.folder_video import FolderVideo
from vosbench.video.leftovers import Leftovers, without_mask
from vosbench.video.video import Frames


class YoutubeVos:
    """Videos in `<split>/JPEGImages/<video>/`, masks in `<split>/Annotations/<video>/`, and `<split>/meta.json`.

    root          folder that holds the splits
    split         train, valid, test, or any folder name
    sequences     only these; `exclude` leaves some out
    max_frames    keep at most this many frames of each video
    frames        "annotated": only the frames to evaluate (6 fps); "all": the images of
                  `<split>_all_frames/JPEGImages` (30 fps) if that exists, else all of `<split>/JPEGImages`
    annotations   folder of <sequence>/<frame>.png instead of the data set's own, for example pseudo-labels. meta.json
                  does not list their ids, so these objects start where they first appear
    seen          the categories of the training set: a list of them, or a meta.json; None: those of
                  `train/meta.json`, if that exists
    resolution    what records call the size of the images

    meta.json lists the objects and their frames. The frames to evaluate are those listed for any object. An object
    starts at the first frame listed for it or, if the annotation there does not show it, at the next one that does.
    Annotations of an object before its start are ignored, and so are ids that are not listed. Without meta.json, the
    annotations define the objects, and the frames to evaluate are those of `<split>/JPEGImages`. Folders missing in
    `<split>` are looked for in `<split>_all_frames`.

    No image is opened here. Raises UserError for a missing folder, for numbers out of range, and once for all problems
    of a meta.json.
    """

    def __init__(
        self,
        root: Where[str | Path],
        split: str = "valid",
        sequences: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        max_frames: int | None = None,
        frames: Frames = "annotated",
        annotations: Content[str | Path | None] = None,
        seen: Content[str | Path | Sequence[str] | None] = None,
        resolution: str = "original",
        protocol: str = "youtube-vos",
        name: str = "youtube_vos",
    ) -> None:
        check_frames(frames, max_frames)
        self.name, self.split, self.resolution, self.protocol = name, split, resolution, protocol
        self.frames: Frames = frames
        folders = _Folders.find(Path(root), split, frames, annotations)
        meta = None if folders.meta is None else _read_meta(folders.meta)
        there = subfolders(folders.images)
        listed = there if meta is None else sorted(meta)
        self.whole = len(listed)
        chosen = choose(listed, sequences, exclude, where=f"{name} {split}")
        if folders.meta is None or meta is None:
            self.videos = tuple(_unlisted_video(sequence, folders, max_frames) for sequence in chosen)
            return
        problems: list[str] = []
        missing = set(chosen) - set(there)
        if missing:
            problems.append(f"{len(missing)} videos are not in {folders.images}: {some(sorted(missing))}")
        categories = None if seen is None and split == "train" else _categories(seen, Path(root))
        videos = []
        for sequence in (sequence for sequence in chosen if sequence not in missing):
            objects = _objects(sequence, meta[sequence], problems)
            video = _listed_video(sequence, objects, folders, frames, max_frames, problems)
            videos.append(replace(video, seen=_seen(objects, categories)))
        if problems:
            raise Problems(f"{folders.meta} does not fit; mend it, or leave videos out with {HERE}exclude", problems)
        self.videos = tuple(videos)


@dataclass(frozen=True)
class _Folders:
    """The folders and files of a split.

    images  folder of the frames that methods see
    slow    folder of the frames at 6 fps
    labels  folder of the annotations, if there is one
    meta    the meta.json, if there is one
    own     the labels are the data set's own
    """

    images: Path
    slow: Path
    labels: Path | None
    meta: Path | None
    own: bool

    @classmethod
    def find(cls, root: Path, split: str, frames: Frames, annotations: str | Path | None) -> "_Folders":
        check_root(root)
        places = [root / split, root / f"{split}_all_frames"]
        slow = _first(places, "JPEGImages")
        images = _first(places[::-1], "JPEGImages") if frames == "all" else slow
        if slow is None or images is None:
            there = ", ".join(subfolders(root)) or "none"
            raise UserError(f"{root} has no {split}/JPEGImages: set {HERE}root, or {HERE}split to one of: {there}")
        labels = _first(places, "Annotations")
        if annotations is not None:
            labels = Path(annotations)
            check_annotations(labels)
        return cls(images, slow, labels, _first(places, "meta.json"), own=annotations is None)

    def scan(self, sequence: str) -> tuple[list[Path], dict[str, Path], Leftovers]:
        return scan_folders(self.images / sequence, self.labels and self.labels / sequence)


@dataclass(frozen=True)
class _Object:
    """An object in meta.json."""

    category: str | None
    frames: frozenset[str]


def _unlisted_video(sequence: str, folders: _Folders, max_frames: int | None) -> FolderVideo:
    """A video that no meta.json describes."""
    labels = folders.labels and folders.labels / sequence
    video = scan_video(
        folders.images / sequence, labels, max_frames=max_frames, late_objects=True, any_size=not folders.own
    )
    slow = folders.slow / sequence
    if folders.slow == folders.images or not slow.is_dir():
        return video
    return replace(video, listed=frozenset(path.stem for path in list_images(slow)))


def _listed_video(
    sequence: str,
    objects: Mapping[int, _Object],
    folders: _Folders,
    frames: Frames,
    max_frames: int | None,
    problems: list[str],
) -> FolderVideo:
    """A video as meta.json describes it; contradictions are added to the problems."""
    paths, masks, leftovers = folders.scan(sequence)
    listed = frozenset[str]().union(*(entry.frames for entry in objects.values()))
    if lost := sorted(listed - {path.stem for path in paths}):
        problems.append(f"video {sequence}: {len(lost)} listed frames have no image: {some(lost)}")
    leftovers = leftovers._replace(bare=without_mask([path for path in paths if path.stem in listed], masks))
    if frames == "annotated":
        paths = [path for path in paths if path.stem in listed]
    if not paths:
        problems.append(f"video {sequence}: it has no frames")
    order = {path.stem: index for index, path in enumerate(paths)}
    starts = {id_: min(order.get(stem, len(paths)) for stem in entry.frames) for id_, entry in objects.items()}
    if folders.own:
        masks = {stem: path for stem, path in masks.items() if stem in listed}
        if folders.labels and (lost := _without_mask(starts, [order[stem] for stem in masks if stem in order])):
            problems.append(f"video {sequence}: no mask from their first frames on, of objects {some(lost)}")
    paths = cut(paths, max_frames)
    kept = {path.stem: masks[path.stem] for path in paths if path.stem in masks}
    return FolderVideo(
        sequence,
        tuple(paths),
        kept,
        late_objects=True,
        any_size=not folders.own,
        listed=listed & {path.stem for path in paths},
        starts={id_: start for id_, start in starts.items() if start < len(paths)} if folders.own else None,
        leftovers=leftovers,
    )


def _without_mask(starts: Mapping[int, int], annotated: Sequence[int]) -> list[str]:
    """The objects that start after the last of the annotated frames."""
    last = max(annotated, default=-1)
    return [str(id_) for id_, start in sorted(starts.items()) if start > last]


def _read_meta(path: Path) -> dict[str, Any]:
    """The content of a meta.json, by video. Raises UserError naming a file that cannot be read or is not a
    meta.json."""
    content = read_json(path, "", "restore this file")
    videos = content.get("videos") if isinstance(content, dict) else None
    if not isinstance(videos, dict) or not videos:
        raise UserError(f'{path} is no meta.json of YouTube-VOS, which starts with {{"videos": …}}: restore this file')
    return videos


def _objects(sequence: str, content: Any, problems: list[str]) -> dict[int, _Object]:
    """The objects of a video that list any frames; entries that cannot be understood are added to the problems."""
    entries = content.get("objects") if isinstance(content, dict) else None
    if not isinstance(entries, dict):
        problems.append(f"video {sequence}: it has no objects")
        return {}
    objects = {}
    for key, entry in entries.items():
        frames = entry.get("frames") if isinstance(entry, dict) else None
        category = entry.get("category") if isinstance(entry, dict) else None
        if not (re.fullmatch(r"0*[0-9]{1,3}", key) and 1 <= int(key) <= 254):
            problems.append(f"video {sequence}: object id {key[:20]} is not 1 to 254")
        elif not (isinstance(frames, list) and all(isinstance(stem, str) for stem in frames)):
            problems.append(f"video {sequence}: object {key} has no list of frame names")
        elif not isinstance(category, str | None):
            problems.append(f"video {sequence}: object {key} has a category that is no text")
        elif frames:
            objects[int(key)] = _Object(category, frozenset(frames))
    return objects


def _categories(seen: str | Path | Sequence[str] | None, root: Path) -> frozenset[str]:
    """The categories of the training set; empty if they are unknown."""
    if seen is not None and not isinstance(seen, str | Path):
        return frozenset(seen)
    path = Path(seen) if seen is not None else root / "train" / "meta.json"
    if seen is None and not path.is_file():
        return frozenset()
    videos = _read_meta(path)
    objects = [entry for name, content in videos.items() for entry in _objects(name, content, []).values()]
    found = frozenset(entry.category for entry in objects if entry.category)
    if seen is not None and not found:
        raise UserError(f"{path} names no categories: give the training set's meta.json, or a list of categories")
    return found


def _seen(objects: Mapping[int, _Object], categories: frozenset[str] | None) -> dict[int, bool]:
    """For each object, whether its category occurs in the training set.

    categories  those of the training set; empty: unknown, and so is the answer; None: all categories occur
    """
    if categories is None:
        return dict.fromkeys(objects, True)
    return {id_: entry.category in categories for id_, entry in objects.items() if entry.category and categories}


def _first(places: Sequence[Path], name: str) -> Path | None:
    return next((place / name for place in places if (place / name).exists()), None)
