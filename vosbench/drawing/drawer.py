"""Draws contact sheets for a video: clusters, intermediate maps, matches and pseudo-labels."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vosbench.contract import Context
from vosbench.drawing.crop_view import Canvas, placed
from vosbench.drawing.overlays import Picture, overlay
from vosbench.drawing.pseudo_label_sheet import pseudo_label_sheet
from vosbench.drawing.sheets import Folders, Shown, chosen, evenly, match_rows, sheet, show, side_by_side
from vosbench.inference.device import autocast
from vosbench.inference.frame import Frame
from vosbench.inference.predictor import Predictor
from vosbench.inference.visuals import ComparesKeys, ShowsIntermediateMaps, ShowsMatches, Visual
from vosbench.ops.cluster import cluster_video
from vosbench.util.wording import some
from vosbench.video.video import Image, Video

MOST = 300  # number of frames per video whose keys are clustered
Kind = Literal["clusters", "insides", "matches", "pseudo_labels"]
# Kinds that need an initial mask, and the function that a method must have for each.
FOLLOWING: dict[Kind, tuple[type, str]] = {
    "insides": (ShowsIntermediateMaps, "intermediate_maps"),
    "matches": (ShowsMatches, "matches"),
}


def _before(video: Video, index: int, back: int) -> Image:
    return video.frame(index - back)


@dataclass(frozen=True)
class _Seen:
    """A frame as the method sees it.

    made      with an initial mask: the result and, for a frame to draw, the intermediate maps
    matches   rows of matches
    """

    index: int
    image: Image
    frame: Frame
    features: Any
    made: list[Shown]
    matches: list[list[Shown]]


@dataclass(frozen=True)
class Drawer:
    """Draws `rows` frames of a video, one per row.

    clusters, alpha, seed  of the clustering (`vosbench.ops.cluster`)
    pixel                  (x, y) whose matches are drawn
    """

    predictor: Predictor
    asked: Sequence[Kind]
    rows: int
    clusters: int
    alpha: float
    seed: int
    pixel: tuple[int, int] | None

    def draw(
        self, video: Video, folders: Folders, advance: Callable[[], object]
    ) -> tuple[dict[Kind, Picture], list[str]]:
        """The sheets of the kinds asked for, and the reasons why others are missing.

        folders   folders of pseudo-labels
        advance   called after every frame
        """
        sheets: dict[Kind, Picture] = {}
        missing = []
        if "pseudo_labels" in self.asked:
            sheets["pseudo_labels"] = pseudo_label_sheet(video, folders, self.rows)
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
                    f"no matches, since {type(self.predictor.method).__name__} searches for none with these options"
                )
            if keys:
                sheets["clusters"] = self._cluster_sheet(video, rows, keys)
            elif "clusters" in self.asked:
                missing.append(f"no clusters, since {type(self.predictor.method).__name__} compares no keys")
        return sheets, missing

    def _why_not(self, kind: Kind, video: Video) -> str | None:
        """The reason why this kind cannot be drawn, if any."""
        method, (interface, function) = self.predictor.method, FOLLOWING[kind]
        if not isinstance(method, interface):
            return f"{type(method).__name__} has none to show (it has no function {function})"
        if all(video.annotation(index) is None for index in range(len(video.frame_names))):
            return "there is no mask to follow: give a data set with masks, or input= and mask="
        return None

    def _go_through(
        self, video: Video, follow: Collection[Kind], advance: Callable[[], object]
    ) -> tuple[list[_Seen], dict[int, Float[Tensor, "c h w"]]]:
        """The frames to draw and, by frame index, the keys to cluster: in half precision, on the CPU."""
        method = self.predictor.method
        if not follow and not isinstance(method, ComparesKeys):
            return [], {}
        kept = evenly(range(len(video.frame_names)), MOST)
        drawn = chosen(kept, self.rows)
        rows: list[_Seen] = []
        keys: dict[int, Float[Tensor, "c h w"]] = {}
        for seen in self._see(video, range(len(video.frame_names)) if follow else kept, drawn, follow):
            advance()
            if isinstance(method, ComparesKeys) and "clusters" in self.asked and seen.index in kept:
                keys[seen.index] = method.keys(seen.features)[0].half().cpu()
            if seen.index in drawn:
                rows.append(seen)
        return rows, keys

    def _see(
        self, video: Video, indices: Sequence[int], drawn: Sequence[int], follow: Collection[Kind]
    ) -> Iterator[_Seen]:
        """Frames by index. With an initial mask they are also segmented, and then `indices` must be all frames."""
        predictor, method, pixel = self.predictor, self.predictor.method, self.pixel
        propagator = predictor.propagator()
        maps: dict[str, Visual] = {}
        matches: list[dict[str, Visual]] = []

        def note(query: Any, context: Context[Any, Any]) -> None:
            if "insides" in follow and isinstance(method, ShowsIntermediateMaps):
                maps.update(method.intermediate_maps(query, context))
            if "matches" in follow and pixel is not None and isinstance(method, ShowsMatches):
                matches.extend(method.matches(query, context, canvas.seen(pixel)))

        for index in indices:
            image = video.frame(index)
            frame, made = propagator.frame(image), []
            canvas = Canvas.whole(frame, partial(_before, video, index))
            maps.clear()
            matches.clear()
            propagator.watch = note if index in drawn else None
            with autocast(predictor.device, predictor.precision), torch.inference_mode():
                if follow:
                    made.append(("result", overlay(image, propagator.step(image, video.given(index)))))
                last = propagator.previous
                features = method.encode(frame.pixels) if last is None else last.features
            made += [show(name, visual, canvas, propagator.ids) for name, visual in maps.items()]
            rows = []
            if pixel is not None and matches:
                title = f"frame {video.frame_names[index]}, pixel [{some(pixel)}]"
                rows = match_rows(title, matches, canvas, pixel, propagator.ids)
            yield _Seen(index, image, frame, features, made, rows)

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
