"""Still images with masks, to pre-train on clips made from one image: folders of images and masks, as in ECSSD,
MSRA10K, PASCAL-S and PASCAL VOC 2012.

An image is a video of one frame. Its largest objects are kept and numbered 1, 2, … by decreasing size. Other objects
become background, and so does void. A file is opened when its frame is asked for. These data sets were not available
when this was written: the code follows published descriptions of their layouts.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from vosbench.datasets.folders import by_stem, check_root, choose, files, read_list
from vosbench.settings.options import FileName, Where
from vosbench.util.errors import HERE, Problems, UserError
from vosbench.util.wording import some
from vosbench.video.formats import USUAL_FRAMES, is_frame, is_mask, unread_frames
from vosbench.video.images import image_size, read_image, read_label_map
from vosbench.video.palette import VOID
from vosbench.video.video import Frames, Image, LabelMap, Video, check_size, initial_masks

log = logging.getLogger(__name__)

MOST = VOID - 1  # the most ids of a label map
HALF = 128  # grey value of a saliency mask from which a pixel belongs to the object


class Truth(Protocol):
    """A source of an image's label map."""

    def read(self, image: Path) -> LabelMap: ...


@dataclass(frozen=True)
class Still(Video):
    """An image as a video of one frame."""

    name: str
    image: Path
    truth: Truth
    frame_names = ("00000",)

    def frame(self, index: int) -> Image:
        return read_image(self.image)

    def frame_file(self, index: int) -> Path:
        return self.image

    def frame_size(self, index: int) -> tuple[int, int]:
        return image_size(self.image)

    def annotation(self, index: int) -> LabelMap:
        return self.truth.read(self.image)

    def given(self, index: int) -> LabelMap | None:
        return initial_masks(self).get(index)


class StaticImages:
    """A folder of images and a folder of masks of the same stems.

    root          folder of the data set
    images        folder in root with the images; masks may be in the same folder if images are not PNGs (MSRA10K)
    masks         folder in root with the masks (PNGs, or other formats that keep every value), or an absolute path
    masks_are     "objects": a pixel's value is the id of its object, 255 is void (VOC's SegmentationObject);
                  "saliency": grey from 0 to 255, thresholded at half, or black and white: one object
    lists, split  folder in root with lists <split>.txt of stems; None: every image that has a mask
    objects       most objects per image
    least         smallest object, as a share of the image
    sequences     only these stems; `exclude` leaves some out

    Raises UserError for missing folders and lists, and once for all listed images that lack a file.
    """

    frames: Frames = "all"

    def __init__(
        self,
        root: Where[str | Path],
        images: FileName = "images",
        masks: FileName = "masks",
        masks_are: str = "saliency",
        lists: FileName | None = None,
        split: str = "all",
        objects: int = MOST,
        least: float = 0.0,
        sequences: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        resolution: str = "original",
        protocol: str = "davis",
        name: str = "static_images",
    ) -> None:
        root = Path(root)
        check(name, objects, least)
        if masks_are not in ("objects", "saliency"):
            raise UserError(f"{HERE}masks_are={masks_are}: choose objects or saliency")
        self.name, self.split, self.resolution, self.protocol = name, split, resolution, protocol
        pairs = _pairs(folder(root, images, "images"), folder(root, masks, "masks"), warn=lists is None)
        if lists is not None:
            pairs = _listed(pairs, root / lists / f"{split}.txt")
        self.whole = len(pairs)
        chosen = choose(pairs, sequences, exclude, where=f"{name} {split}", kind="images")
        self.videos: tuple[Video, ...] = tuple(
            Still(stem, pairs[stem][0], Mask(pairs[stem][1], masks_are == "saliency", objects, least))
            for stem in chosen
        )


@dataclass(frozen=True)
class Mask:
    """A label map in a file. saliency: whether its values are grey levels; objects, least: as in StaticImages."""

    path: Path
    saliency: bool
    objects: int
    least: float

    def read(self, image: Path) -> LabelMap:
        labels = self._saliency() if self.saliency else self._objects()
        check_size(labels, self.path, image_size(image), image)
        sizes = np.bincount(labels.ravel(), minlength=256)
        sizes[[0, VOID]] = 0
        order = np.argsort(-sizes, kind="stable")[: self.objects]
        kept = [id_ for id_ in order if sizes[id_] > 0 and sizes[id_] >= self.least * labels.size]
        ids = np.zeros(256, np.uint8)
        ids[kept] = np.arange(1, len(kept) + 1)
        renumbered: LabelMap = ids[labels]
        return renumbered

    def _saliency(self) -> LabelMap:
        grey: LabelMap = read_image(self.path).max(axis=2)  # the brightest of R, G, B
        if grey.max() == 1:
            raise UserError(f"mask {self.path} has values 0 and 1, no grey up to 255: set {HERE}masks_are=objects")
        return (grey >= HALF).astype(np.uint8)

    def _objects(self) -> LabelMap:
        labels = read_label_map(self.path)
        if set(np.unique(labels).tolist()) == {0, VOID}:
            raise UserError(f"mask {self.path} has values 0 and 255 (void) only: set {HERE}masks_are=saliency")
        return labels


def check(name: str, objects: int, least: float) -> None:
    """Raises UserError for numbers out of range."""
    if not 1 <= objects <= MOST or not 0 <= least < 1:
        raise UserError(f"{name}: objects={objects}, least={least}: give 1 to {MOST} objects, and a share below 1")


def folder(root: Path, name: str, key: str) -> Path:
    """A folder in root. Raises UserError, which lists the existing folders, if it is missing."""
    check_root(root)
    if not (root / name).is_dir():
        there = some(sorted(path.name for path in root.iterdir() if path.is_dir())) or "none"
        raise UserError(f"{root} has no folder {name} of {key}: set {HERE}{key} (folders there: {there})")
    return root / name


def _pairs(images: Path, masks: Path, *, warn: bool) -> dict[str, tuple[Path, Path]]:
    """Image and mask by stem, in order. Raises UserError if there is no pair."""
    pictures, labels = _pictures(images, apart=images != masks), _masks(masks)
    pairs = {stem: (path, labels[stem]) for stem, path in sorted(pictures.items()) if stem in labels}
    if not pairs:
        kinds = USUAL_FRAMES if images != masks else ".jpg, .webp, …"
        raise UserError(
            f"no image ({kinds}) of {images} has a mask of its name (.png) in {masks}: set {HERE}images and {HERE}masks"
        )
    if warn and len(pairs) < max(len(pictures), len(labels)):
        found = f"{len(pictures)} images of {images} and {len(labels)} masks of {masks}"
        log.warning("%s make %d pairs: the others are left out", found, len(pairs))
    return pairs


def _pictures(folder: Path, *, apart: bool) -> dict[str, Path]:
    """The images of a folder by stem; those that could be masks only if masks are `apart`. Raises UserError for
    pictures that cannot be read."""
    if unread := unread_frames(files(folder)):
        raise UserError(f"{len(unread)} images cannot be read: {some(unread, 3)}: convert them ({USUAL_FRAMES})")
    return by_stem(folder, (path for path in files(folder) if is_frame(path) and (apart or not is_mask(path))))


def _masks(folder: Path) -> dict[str, Path]:
    return by_stem(folder, (path for path in files(folder) if is_mask(path)))


def _listed(pairs: Mapping[str, tuple[Path, Path]], path: Path) -> dict[str, tuple[Path, Path]]:
    if not path.is_file():
        there = some(sorted(each.stem for each in path.parent.glob("*.txt"))) or "none"
        raise UserError(f"list file {path} does not exist: set {HERE}split to one of: {there}")
    stems = read_list(path, pairs)
    if missing := [stem for stem in stems if stem not in pairs]:
        raise Problems(
            f"{len(missing)} images of {path} are not there with their masks; add or unlist them", [some(missing)]
        )
    return {stem: pairs[stem] for stem in stems}
