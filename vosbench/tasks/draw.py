"""`vosbench draw`: pictures of what a method goes through, for a data set or for any video.

clusters.png       segments found by clustering the keys of the whole video, for methods whose features have a key
insides.png        the result and what the method shows on the way to it (flow, masks before refinement, …); needs masks
matches.png        where past frames are searched for what is at a pixel, and what is found (pixel=[x,y]); needs masks
pseudo_labels.png  what a training was taught, by its first and by its last update (labels=<its run folder>)
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from hydra.utils import instantiate
from jaxtyping import Float
from torch import Tensor

from vosbench.canvas import Canvas, placed
from vosbench.datasets.video_folder import open_video
from vosbench.files import replacing
from vosbench.insides import Inside
from vosbench.method import Method
from vosbench.ops.cluster import cluster_video
from vosbench.option_types import Positive
from vosbench.propagate import Frame, Propagator
from vosbench.sheets import (
    Folders,
    Shown,
    chosen,
    evenly,
    match_rows,
    pseudo_label_sheet,
    pseudo_labels,
    sheet,
    show,
    side_by_side,
)
from vosbench.tasks.predict import AUTOCAST, Predictor, progress_bar
from vosbench.types import Context
from vosbench.videos import Image, Video
from vosbench.viz import Picture, overlay, png_bytes
from vosbench.wording import some

log = logging.getLogger(__name__)

MOST = 300  # frames of a video whose keys are kept and clustered

Kind = Literal["clusters", "insides", "matches", "pseudo_labels"]
# Kinds that need masks to follow; each is named like what a method has for it.
FOLLOWING: tuple[Kind, ...] = ("insides", "matches")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The keys of conf/draw.yaml, which explains them."""

    run: str
    method: dict[str, Any]
    memory: dict[str, Any]
    inference: dict[str, Any]
    checkpoint: str
    seed: int
    device: str
    precision: str
    dataset: dict[str, Any]
    input: str | None
    mask: str | None
    kinds: list[Kind] | None
    frames: Positive
    clusters: Positive
    alpha: float
    pixel: list[int] | None
    labels: str | None


def run(options: Options) -> None:
    """Writes `<run>/drawings/<dataset>-<split>/<sequence>/<kind>.png`, in place of any that are there."""
    if options.clusters > 254:
        raise ValueError(f"clusters={options.clusters}: there are colours for 254 at most")
    videos, folder = _videos(options)
    updates = _updates(options, videos)
    pixel = _pixel(options, videos)
    also: dict[Kind, object] = {"matches": pixel, "pseudo_labels": updates}
    asked = options.kinds or ["clusters", "insides", *[kind for kind, given in also.items() if given]]
    drawer = Drawer(_predictor(options), asked, options.frames, options.clusters, options.alpha, options.seed, pixel)
    left_out: dict[str, list[str]] = {}
    with progress_bar() as progress:
        task = progress.add_task("draw", total=sum(len(video.frame_names) for video in videos))
        for video in videos:
            progress.update(task, description=video.name)
            sheets, missing = drawer.draw(video, updates.get(video.name, {}), lambda: progress.advance(task))
            if missing and (options.kinds or not sheets):
                raise ValueError(f"video {video.name}: {'; '.join(missing)}")
            for kind, sheet in sheets.items():
                _write(folder / video.name / f"{kind}.png", sheet)
            for reason in missing:
                left_out.setdefault(reason, []).append(video.name)
    for reason, names in left_out.items():
        log.info("%s: %s", some(names), reason)
    log.info("pictures: %s", folder)


def _videos(options: Options) -> tuple[Sequence[Video], Path]:
    """What to draw, and the folder for it. Raises ValueError for a mask without its video."""
    drawings = Path(options.run, "drawings")
    if options.input is not None:
        return [open_video(options.input, options.mask)], drawings
    if options.mask is not None:
        raise ValueError(f"mask={options.mask} belongs to a video of your own: give that, too: input=<video or folder>")
    dataset = instantiate(options.dataset)
    return dataset.videos, drawings / f"{dataset.name}-{dataset.split}"


def _updates(options: Options, videos: Sequence[Video]) -> Mapping[str, Folders]:
    """The pseudo-labels to draw, by video; none where none were asked for."""
    if options.labels is not None:
        return pseudo_labels(options.labels, [video.name for video in videos])
    if "pseudo_labels" in (options.kinds or ()):
        raise ValueError("kinds=[pseudo_labels] needs labels=<run folder of a training that made some>")
    return {}


def _pixel(options: Options, videos: Sequence[Video]) -> tuple[int, int] | None:
    """Where to look, if somewhere. Raises ValueError unless that is a pixel of every video."""
    if options.pixel is None:
        if "matches" in (options.kinds or ()):
            raise ValueError("kinds=[matches] needs pixel=[x,y], in pixels of the original frames")
        return None
    for video in videos:
        height, width = video.frame(0).shape[:2]
        if len(options.pixel) != 2 or not (0 <= options.pixel[0] < width and 0 <= options.pixel[1] < height):
            size = f"{width} wide and {height} high: give pixel=[x,y] with x up to {width - 1} and y up to {height - 1}"
            raise ValueError(f"pixel=[{some(options.pixel)}] is none of video {video.name}, which is {size}")
    return options.pixel[0], options.pixel[1]


def _predictor(options: Options) -> Predictor:
    return Predictor.load(
        method=options.method,
        memory=options.memory,
        inference=options.inference,
        checkpoint=options.checkpoint,
        seed=options.seed,
        device=options.device,
        precision=options.precision,
    )


def _before(video: Video, index: int, back: int) -> Image:
    return video.frame(index - back)


def _write(path: Path, sheet: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        aside.write_bytes(png_bytes(sheet))


@dataclass(frozen=True)
class _Seen:
    """A frame as the method sees it. `made`: the result and, of a frame to draw, the insides; `matches`: rows of them;
    with masks to follow."""

    index: int
    image: Image
    frame: Frame
    features: Any
    made: list[Shown]
    matches: list[list[Shown]]


@dataclass(frozen=True)
class Drawer:
    """Draws `frames` frames of a video.

    clusters, alpha, seed  of clustering (`vosbench.ops.cluster`)
    pixel                  (x, y) whose matches are drawn
    """

    predictor: Predictor
    asked: Sequence[Kind]
    frames: int
    clusters: int
    alpha: float
    seed: int
    pixel: tuple[int, int] | None

    def draw(
        self, video: Video, folders: Folders, advance: Callable[[], object]
    ) -> tuple[dict[Kind, Picture], list[str]]:
        """Sheets of the kinds asked for, and why some are missing. `advance` is called for every frame gone through.

        `folders`: of pseudo-labels.
        """
        sheets: dict[Kind, Picture] = {}
        missing = []
        if "pseudo_labels" in self.asked:
            sheets["pseudo_labels"] = pseudo_label_sheet(video, folders, self.frames)
        reasons = {kind: self._why_not(kind, video) for kind in FOLLOWING if kind in self.asked}
        missing = [f"no {kind}, since {reason}" for kind, reason in reasons.items() if reason]
        follow = [kind for kind, reason in reasons.items() if not reason]
        if follow or "clusters" in self.asked:
            rows, keys = self._go_through(video, follow, advance)
            if "insides" in follow:
                sheets["insides"] = sheet(video, {seen.index: seen.made for seen in rows})
            if matches := [row for seen in rows for row in seen.matches]:
                sheets["matches"] = side_by_side(matches)
            elif "matches" in follow:
                missing.append(
                    f"no matches, since {type(self.predictor.method).__name__} searches for none as it is set"
                )
            if keys:
                sheets["clusters"] = self._cluster_sheet(video, rows, keys)
            elif "clusters" in self.asked:
                missing.append(f"no clusters, since {type(self.predictor.method).__name__} compares no keys")
        return sheets, missing

    def _why_not(self, kind: Kind, video: Video) -> str | None:
        """Why there can be none of what following masks shows, if so."""
        method = type(self.predictor.method)
        if getattr(method, kind) is getattr(Method, kind):
            return f"{method.__name__} has none to show"
        if all(video.annotation(index) is None for index in range(len(video.frame_names))):
            return "there is no mask to follow: give a data set with masks, or input= and mask="
        return None

    def _go_through(
        self, video: Video, follow: Collection[Kind], advance: Callable[[], object]
    ) -> tuple[list[_Seen], dict[int, Float[Tensor, "c h w"]]]:
        """The frames to draw and, by frame index, the keys to cluster: in half precision, in the computer's memory."""
        kept = evenly(range(len(video.frame_names)), MOST)
        drawn = chosen(kept, self.frames)
        rows: list[_Seen] = []
        keys: dict[int, Float[Tensor, "c h w"]] = {}
        for seen in self._see(video, range(len(video.frame_names)) if follow else kept, drawn, follow):
            advance()
            key = self.predictor.method.keys(seen.features)
            if key is None and not follow:
                break
            if key is not None and "clusters" in self.asked and seen.index in kept:
                keys[seen.index] = key[0].half().cpu()
            if seen.index in drawn:
                rows.append(seen)
        return rows, keys

    def _see(
        self, video: Video, indices: Sequence[int], drawn: Sequence[int], follow: Collection[Kind]
    ) -> Iterator[_Seen]:
        """Frames by index; segmented if there is something to follow masks for, for which they must be all."""
        predictor, method, pixel = self.predictor, self.predictor.method, self.pixel
        propagator = Propagator(method, predictor.memory(), predictor.inference, predictor.device)
        insides: dict[str, Inside] = {}
        matches: list[dict[str, Inside]] = []

        def note(query: Any, context: Context[Any, Any]) -> None:
            if "insides" in follow:
                insides.update(method.insides(query, context))
            if "matches" in follow and pixel is not None:
                matches.extend(method.matches(query, context, canvas.seen(pixel)))

        for index in indices:
            image = video.frame(index)
            frame, made = propagator.frame(image), []
            canvas = Canvas.whole(frame, partial(_before, video, index))
            insides.clear()
            matches.clear()
            propagator.watch = note if index in drawn else None
            with self._autocast(), torch.inference_mode():
                if follow:
                    made.append(("result", overlay(image, propagator.step(image, video.given(index)))))
                last = propagator.previous
                features = method.encode(frame.pixels) if last is None else last.features
            made += [show(name, inside, canvas, propagator.ids) for name, inside in insides.items()]
            rows = []
            if pixel is not None and matches:
                title = f"frame {video.frame_names[index]}, pixel [{some(pixel)}]"
                rows = match_rows(title, matches, canvas, pixel, propagator.ids)
            yield _Seen(index, image, frame, features, made, rows)

    def _autocast(self) -> torch.autocast:
        dtype = AUTOCAST[self.predictor.precision]
        return torch.autocast(self.predictor.device.type, dtype, enabled=dtype is not None)

    def _cluster_sheet(
        self, video: Video, rows: Sequence[_Seen], keys: Mapping[int, Float[Tensor, "c h w"]]
    ) -> Picture:
        found = cluster_video(list(keys.values()), self.clusters, alpha=self.alpha, seed=self.seed)
        shares = ", ".join(f"{100 * size / found.labels.numel():.0f}" for size in found.sizes)
        text = f"{len(found.sizes)} clusters: {shares} %; {100 * found.dropped:.0f} % dropped"
        if len(keys) < len(video.frame_names):
            text += f"; {len(keys)} of {len(video.frame_names)} frames"
        labels = dict(zip(keys, found.labels.numpy().astype(np.uint8), strict=True))
        maps = {seen.index: overlay(seen.image, placed(labels[seen.index], seen.frame)) for seen in rows}
        return sheet(video, {index: [(text, map_)] for index, map_ in maps.items()})
