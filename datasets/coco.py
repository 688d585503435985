"""COCO (Lin et al. 2014), and any data set with annotations in its format, as still images: see static_images.

COCO was not available when this was written: the code follows its documentation.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from vosbench.datasets.folders import choose
from vosbench.datasets.static_images import MOST, Still, check, folder
from vosbench.settings.options import FileName, Where
from vosbench.util.errors import HERE, UserError
from vosbench.util.reading import read_json
from vosbench.util.wording import rows_columns
from vosbench.video.images import image_size
from vosbench.video.run_lengths import decode
from vosbench.video.video import Frames, LabelMap, Video

Segments = tuple[Float64[np.ndarray, " n"], ...] | dict[str, Any]  # polygons x, y, x, y, …; or run lengths

FARTHEST = 4  # how far from its image's corner an outline may be, in sides of the image


class Coco:
    """COCO (Lin et al. 2014), or any data set in its format: annotations in `annotations/instances_<split>.json`,
    images in `<split>/` or `images/<split>/`.

    root       folder of the data set
    split      train2017, val2017, …
    images     folder of the images in root; None: one of the above
    file       annotation file in root; None: the above
    objects    most objects per image; the largest are kept
    least      smallest object, as a share of the image
    sequences  only images with these stems; `exclude` leaves some out

    Every annotation except those of crowds is an object. Images without objects are left out. The annotations stay in
    memory. Raises UserError for missing folders and files, and for annotations in another format.
    """

    frames: Frames = "all"

    def __init__(
        self,
        root: Where[str | Path],
        split: str = "train2017",
        images: FileName | None = None,
        file: FileName | None = None,
        objects: int = MOST,
        least: float = 0.0,
        sequences: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        resolution: str = "original",
        protocol: str = "davis",
        name: str = "coco",
    ) -> None:
        check(name, objects, least)
        self.name, self.split, self.resolution, self.protocol = name, split, resolution, protocol
        root = Path(root)
        there = (root / place for place in (split, f"images/{split}"))
        where = next((path for path in there if images is None and path.is_dir()), None)
        where = where or folder(root, images or split, "images")
        truths = _read_coco(root / (file or f"annotations/instances_{split}.json"), objects, least)
        stills = {Path(name).stem: Still(Path(name).stem, where / name, truth) for name, truth in truths.items()}
        self.whole = len(stills)
        chosen = choose(stills, sequences, exclude, where=f"{name} {split}", kind="images")
        self.videos: tuple[Video, ...] = tuple(stills[stem] for stem in chosen)


@dataclass(frozen=True)
class Outlines:
    """A label map in COCO's form: outlines or run lengths of its objects, the largest first."""

    height: int
    width: int
    objects: tuple[Segments, ...]

    def read(self, image: Path) -> LabelMap:
        size, expected = image_size(image), (self.height, self.width)
        if size != expected:
            sizes = f"{rows_columns(size)} (rows×columns), its annotations are for {rows_columns(expected)}"
            raise UserError(f"image {image} is {sizes}: restore the image that the annotations were made for")
        labels = np.zeros((self.height, self.width), np.uint8)
        for id_, segments in enumerate(self.objects, 1):
            try:
                labels[self._mask(segments)] = id_  # small objects are drawn over large ones
            except UserError as error:
                raise UserError(f"annotations of image {image}: {error}; mend them, or leave the image out") from error
        return labels

    def _mask(self, segments: Segments) -> Bool[np.ndarray, "h w"]:
        from pycocotools import mask

        if not isinstance(segments, tuple):
            return decode(segments, (self.height, self.width))
        runs = mask.merge(mask.frPyObjects([outline.tolist() for outline in segments], self.height, self.width))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "__array__ implementation")  # pycocotools' own use of NumPy
            decoded: Bool[np.ndarray, "h w"] = mask.decode(runs).astype(bool)
        return decoded


def _read_coco(path: Path, objects: int, least: float) -> dict[str, Outlines]:
    """By file name of the image. Raises UserError naming the file."""
    content = read_json(path, "", f"set {HERE}root and {HERE}split to COCO's, or restore it")
    found: dict[Any, list[tuple[float, Segments]]] = {}
    try:
        for entry in content["annotations"]:
            segments = _segments(entry.pop("segmentation"))  # popped, because as lists they need ten times the memory
            if segments and not entry.get("iscrowd"):
                found.setdefault(entry["image_id"], []).append((float(entry["area"]), segments))
        outlines = {}
        for image in content["images"]:
            height, width = int(image["height"]), int(image["width"])
            large = [each for each in found.pop(image["id"], ()) if each[0] >= least * height * width]
            large = sorted(large, key=lambda each: -each[0])[:objects]
            if large:
                shown = tuple(segments for _, segments in large)
                _check(shown, height, width)
                outlines[str(image["file_name"])] = Outlines(height, width, shown)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise UserError(
            f"{path} has no instances of COCO's kind (what failed: {error!r}): give an instances_*.json"
        ) from error
    if not outlines:
        raise UserError(f"{path} has no image with an object: give an instances_*.json, or check {HERE}least")
    return outlines


def _segments(segmentation: Any) -> Segments:
    """Run lengths, or polygons as arrays, without polygons of fewer than three points."""
    if isinstance(segmentation, dict):
        return segmentation
    return tuple(np.array(outline, np.float64) for outline in segmentation if len(outline) >= 6)


def _check(objects: Sequence[Segments], height: int, width: int) -> None:
    """Raises ValueError for outlines that are not points in or near an image of this size. pycocotools would need
    memory in proportion to their length."""
    outlines = [outline for segments in objects if isinstance(segments, tuple) for outline in segments]
    if any(outline.ndim != 1 or not (np.abs(outline) <= FARTHEST * max(height, width)).all() for outline in outlines):
        raise ValueError("an outline is not a list of points in its image")
