"""Sources of predicted label maps: any folder of indexed PNGs, or a JSON file of COCO RLE."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from vosbench.evaluation.predictions.joints import JointFolder
from vosbench.evaluation.predictions.rle import RleFile
from vosbench.util.errors import UserError
from vosbench.util.files import hash_files
from vosbench.util.wording import some
from vosbench.video.formats import is_image, is_mask
from vosbench.video.images import read_label_map
from vosbench.video.video import Dataset, LabelMap, Video


class LabelMaps(Protocol):
    """The predicted label maps of one sequence; it is sent to scoring processes.

    names     of the frames that have a label map
    problems  found before any label map is read, one sentence each
    size      (height, width) of all label maps, where it is known before one is read: none of another size than the
              frame's need be read; None: each label map has its own
    """

    @property
    def names(self) -> Collection[str]: ...

    @property
    def problems(self) -> list[str]: ...

    @property
    def size(self) -> tuple[int, int] | None: ...

    def read(self, frame: str) -> LabelMap:
        """The label map of one of `names`. Raises UserError naming the file if it is not a label map."""

    def file(self, frame: str) -> Path | None:
        """The image file whose pixels are the object ids of one of `names`, or None."""

    def digest(self) -> str:
        """sha256 over names and contents."""


class Source(Protocol):
    """The predictions that `predictions=` names; `path` is the folder or file."""

    path: Path

    def sequence(self, name: str) -> LabelMaps | None:
        """The label maps of a sequence, or None if there are none."""

    def problems(self, known: Collection[str]) -> list[str]:
        """Entries that should not be there; `known`: the sequences of the data set."""


@dataclass(frozen=True)
class PngSequence:
    """`<folder>/<frame>.png`."""

    folder: Path
    paths: dict[str, Path] = field(repr=False)
    problems: list[str]
    size = None

    @property
    def names(self) -> Collection[str]:
        return self.paths.keys()

    def read(self, frame: str) -> LabelMap:
        return read_label_map(self.paths[frame])

    def file(self, frame: str) -> Path | None:
        return self.paths[frame]

    def digest(self) -> str:
        return hash_files(sorted((path.name, path) for path in self.paths.values()))


class PngFolder:
    """`<path>/<sequence>/<frame>.png`. Raises UserError for a missing folder.

    Hidden and stray files are ignored. A stray image is an error, since it was probably meant for a sequence.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise UserError(f"predictions folder {path} does not exist: give the folder that holds <sequence>/*.png")
        self.path = path

    def sequence(self, name: str) -> PngSequence | None:
        folder = self.path / name
        if not folder.is_dir():
            return None
        entries = sorted(folder.glob("[!.]*"))
        paths = {path.stem: path for path in entries if path.suffix == ".png" and not path.is_dir()}
        strays = [path.name for path in entries if path not in paths.values()]
        problems = [f"{len(strays)} stray file(s), not <frame>.png: {some(strays)}"] if strays else []
        return PngSequence(folder, paths, problems)

    def problems(self, known: Collection[str]) -> list[str]:
        entries = sorted(path for path in self.path.glob("[!.]*") if path.name not in known)
        folders = [path.name for path in entries if path.is_dir() and any(map(is_mask, path.rglob("[!.]*")))]
        images = [path.name for path in entries if is_image(path) and path.is_file()]
        strays = "image(s) outside of the sequences' folders"
        found = (("sequence(s) that the data set does not have", folders), (strays, images))
        problems = [f"{len(names)} {what}: {some(names)}" for what, names in found if names]
        return [*self._elsewhere(known), *problems]

    def _elsewhere(self, known: Collection[str]) -> list[str]:
        """If no sequence is here, the folder where they seem to be: one or two levels below, or one above."""
        if any((self.path / name).is_dir() for name in known):
            return []
        below = [*sorted(self.path.glob("[!.]*")), *sorted(self.path.glob("[!.]*/[!.]*"))]
        for folder in [*below, self.path.absolute().parent]:
            if any((folder / name).is_dir() for name in known):
                return [f"the sequences seem to lie in {folder}: give that folder"]
        return []


def open_source(path: Path) -> Source:
    """A folder of PNGs, or a .json file of COCO RLE. Raises UserError if it is missing or cannot be read."""
    if path.is_file() and path.suffix != ".json":
        raise UserError(
            f"predictions {path} is a file: give a folder <sequence>/*.png (unpacked), or a .json of COCO RLE"
        )
    if path.suffix == ".json":
        return RleFile(path)
    return PngFolder(path)


def read_as_scored(maps: LabelMaps, video: Video, frame: str) -> LabelMap:
    """The predicted label map of a frame; with one object, any nonzero pixel is that object."""
    labels = maps.read(frame)
    return (labels > 0).view(np.uint8) if video.binary else labels


def hash_predictions(source: Source | JointFolder, sequences: Iterable[str]) -> str:
    """sha256 over the label maps, or the joints, of these sequences."""
    digest = hashlib.sha256()
    for name in sorted(sequences):
        maps = source.sequence(name)
        digest.update(f"{name} {maps.digest() if maps else 'missing'}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def hash_annotations(dataset: Dataset) -> str:
    """sha256 over the annotations of all videos, and over which objects' categories occur in the training set."""
    digest = hashlib.sha256()
    for video in sorted(dataset.videos, key=lambda video: video.name):
        digest.update(
            f"{video.name} {sorted(video.seen.items())} {video.annotation_fingerprint()}\n".encode(
                errors="surrogateescape"
            )
        )
    return digest.hexdigest()
