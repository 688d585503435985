"""The embedded data set: cut-outs of photographs that move over photographs, with exact label maps and exact flow.

Videos are generated on the fly, from random numbers and the photographs of an installed package. Nothing is downloaded
or stored, and the same arguments give the same videos.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Float32, UInt8

from vosbench.datasets.collage.photographs import PHOTOGRAPHS
from vosbench.datasets.collage.scene import Scene
from vosbench.datasets.collage.script import Script, draw_scene
from vosbench.datasets.folders import check_annotations, check_frames, choose, list_masks, mask_leftovers
from vosbench.settings.options import Content, Hint
from vosbench.util.errors import UserError
from vosbench.video.images import read_label_map
from vosbench.video.video import Frames, Image, LabelMap, Video, initial_masks

DEFAULT_VIDEOS = {"train": 24, "val": 6}

# Digests of frames by everything they depend on: several commands in one process (the demo) render them only once.
_DIGESTS: dict[tuple[object, ...], str] = {}


class Collage:
    """Videos of two to four objects over a background under a moving camera, all cut from photographs.

    An object is a real thing or an irregular patch. Objects move, turn, grow, bend and pass in front of each other;
    some enter late, from the side or from behind another, and some leave. Frames have motion blur, shadows, changing
    light and noise. The splits share no photograph.

    split        "train" or "val"
    videos       number of videos; a smaller number gives the first of them. Default: 24 for train, 6 for val
    length       number of frames per video; objects enter and leave at fractions of it
    size         (rows, columns) in pixels
    objects      (fewest, most) per video
    seed         another seed gives other videos from the same photographs
    effects      False: no blur, shadow, light or noise, so that frames agree with the flow to the interpolation's error
    sequences    only videos of these names ("train_00", …); `exclude` leaves some out
    max_frames   keep at most this many frames of each video
    frames       "annotated": keep only frames that have an annotation, which in `annotations` may be few
    annotations  folder of <video>/<frame>.png instead of the true label maps, for example pseudo-labels
    late_objects objects that appear after the first frame are given where they first appear

    Object ids are 1, 2, … in order of first sight, so that those of the first frame come first.
    Raises UserError for a split that does not exist and numbers out of range.
    """

    def __init__(
        self,
        split: str = "train",
        videos: int | None = None,
        length: int = 24,
        size: Sequence[int] = (128, 224),
        objects: Sequence[int] = (2, 4),
        seed: int = 0,
        effects: bool = True,
        sequences: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        max_frames: int | None = None,
        frames: Annotated[Frames, Hint("the length of a collage's videos is {place}length")] = "all",
        annotations: Content[str | Path | None] = None,
        late_objects: bool = False,
        protocol: str = "davis",
        name: str = "collage",
    ) -> None:
        if split not in PHOTOGRAPHS:
            raise UserError(f"{name} has no split {split}: choose from {', '.join(PHOTOGRAPHS)}")
        videos = DEFAULT_VIDEOS[split] if videos is None else videos
        check_frames(frames, max_frames)
        _check(videos, length, size, objects, seed)
        if annotations:
            check_annotations(Path(annotations))
        self.name = name
        self.split = split
        self.resolution = f"{size[0]}p"
        self.frames: Frames = frames
        self.protocol = protocol
        self.whole = max(videos, DEFAULT_VIDEOS[split])
        names = [f"{split}_{i:02d}" for i in range(videos)]
        self.videos = tuple(
            CollageVideo(
                split=split,
                number=names.index(video),
                length=length,
                size=(size[0], size[1]),
                objects=(objects[0], objects[1]),
                seed=seed,
                effects=effects,
                max_frames=max_frames,
                frames=frames,
                annotations=Path(annotations) / video if annotations else None,
                late_objects=late_objects,
            )
            for video in choose(names, sequences, exclude, where=f"{name} {split}")
        )


def _check(videos: int, length: int, size: Sequence[int], objects: Sequence[int], seed: int) -> None:
    if videos < 1 or length < 1:
        raise UserError(f"collage: videos={videos}, length={length} must be 1 or more")
    if len(size) != 2 or min(size) < 32:
        raise UserError(f"collage: size={list(size)} must be (rows, columns) of at least 32 pixels")
    if len(objects) != 2 or not 1 <= objects[0] <= objects[1] <= 8:
        raise UserError(f"collage: objects={list(objects)} must be (fewest, most), between 1 and 8")
    if seed < 0:
        raise UserError(f"collage: seed={seed} must be 0 or more")


class CollageVideo(Video):
    """Video `number` of a split. Every frame is drawn independently; only the scene (a few small textures) is kept.

    The arguments are those of Collage, but `annotations` is the folder of this video's masks. Raises UserError when no
    frame is left.
    """

    def __init__(
        self,
        *,
        split: str,
        number: int,
        length: int,
        size: tuple[int, int],
        objects: tuple[int, int],
        seed: int = 0,
        effects: bool = True,
        max_frames: int | None = None,
        frames: Frames = "all",
        annotations: Path | None = None,
        late_objects: bool = False,
    ) -> None:
        self.name = f"{split}_{number:02d}"
        self.size = size
        self.late_objects = late_objects
        self.mask_folder = annotations
        self.any_size = annotations is not None
        self._masks = None if annotations is None else list_masks(annotations)
        if annotations is not None:
            self.leftovers = mask_leftovers(annotations, {f"{time:05d}" for time in range(length)})
        self._times = [time for time in range(length) if frames == "all" or self._is_annotated(time)][:max_frames]
        if not self._times:
            raise UserError(f"video folder {annotations} holds no annotated frames: add some or leave the video out")
        self.frame_names = tuple(f"{time:05d}" for time in self._times)
        pool = PHOTOGRAPHS[split]
        self._script = Script(pool, pool[number % len(pool)], size, length, objects, effects)
        self._seed = (seed, list(PHOTOGRAPHS).index(split), number)

    def frame(self, index: int) -> Image:
        """RGB frame `index` (uint8), drawn anew at every call."""
        noise = np.random.default_rng(np.random.SeedSequence([*self._seed, 1 + self._times[index]]))
        return self._scene.image(float(self._times[index]), noise)

    def frame_size(self, index: int) -> tuple[int, int]:
        return self.size

    def mask_file(self, index: int) -> Path | None:
        return self._masks.get(self.frame_names[index]) if self._masks else None

    def annotation(self, index: int) -> LabelMap | None:
        """The object ids at the centre of frame `index`'s exposure, or the mask in the given folder, if any."""
        if self._masks is None:
            return np.take(self._ids, self._scene.depths(float(self._times[index])))
        path = self.mask_file(index)
        return None if path is None else read_label_map(path)

    def given(self, index: int) -> LabelMap | None:
        return self._given.get(index)

    def flow(self, index: int, reference: int) -> Float32[np.ndarray, "h w 2"]:
        """Exact flow (x, y) in pixels from frame `index` to `reference`; NaN where the point is hidden or outside the
        reference."""
        return self._scene.flow(float(self._times[index]), float(self._times[reference]))

    def _is_annotated(self, time: int) -> bool:
        return self._masks is None or f"{time:05d}" in self._masks

    @cached_property
    def _pixels(self) -> str:
        script = self._script
        drawn_from = (*self._seed, *self._times, script.size, script.length, script.objects, script.effects)
        if drawn_from not in _DIGESTS:
            _DIGESTS[drawn_from] = super()._pixels
        return _DIGESTS[drawn_from]

    @cached_property
    def _scene(self) -> Scene:
        return draw_scene(np.random.default_rng(np.random.SeedSequence(self._seed)), self._script)

    @cached_property
    def _ids(self) -> UInt8[np.ndarray, " layers"]:
        """The id of each layer of the scene, 0 for the background; layers that are never seen come last."""
        order = [0]
        for time in self._times:
            seen = np.unique(self._scene.depths(float(time))).tolist()
            order += [layer for layer in seen if layer not in order]
        order += [layer for layer in range(len(self._scene.layers)) if layer not in order]
        return np.argsort(order).astype(np.uint8)

    @cached_property
    def _given(self) -> dict[int, LabelMap]:
        return initial_masks(self)
