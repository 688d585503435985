"""`vosbench draw`: contact sheets of a method's intermediate maps, for a data set or for any video.

clusters.png       segments from clustering the keys of the whole video, for methods whose features have a key
insides.png        the result and the intermediate maps (flow, masks before refinement, …); needs an initial mask
matches.png        a pixel's search areas and matches in past frames (pixel=[x,y]); needs an initial mask
pseudo_labels.png  a training's first and last pseudo-labels (labels=<its run folder>)
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vosbench.datasets.own_videos import check_input
from vosbench.datasets.video_folder import open_video
from vosbench.drawing.drawer import Drawer, Kind
from vosbench.drawing.encoding import png_bytes
from vosbench.drawing.overlays import Picture
from vosbench.drawing.pseudo_label_sheet import pseudo_labels
from vosbench.drawing.sheets import Folders
from vosbench.inference.predictor import Predictor, PredictorOptions
from vosbench.settings.making import made
from vosbench.settings.options import FileName, Placed, Positive, Where
from vosbench.util.errors import UserError
from vosbench.util.files import replacing
from vosbench.util.progress import progress_bar
from vosbench.util.wording import some
from vosbench.video.leftovers import check_all_read
from vosbench.video.part import Part
from vosbench.video.video import Video, check_sizes

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options(PredictorOptions):
    """The keys of conf/draw.yaml, which explains them."""

    run: Where[FileName]
    dataset: Placed[dict[str, Any]]
    input: Placed[FileName | None]
    mask: Placed[FileName | None]
    kinds: Placed[list[Kind] | None]
    frames: str | None
    rows: Positive
    clusters: Positive
    alpha: float
    pixel: list[int] | None
    labels: Placed[FileName | None]


def run(options: Options) -> None:
    """Writes `<run>/drawings/<dataset>-<split>/<sequence>/<kind>.png`, replacing existing files."""
    if options.clusters > 254:
        raise UserError(f"clusters={options.clusters}: there are colours for 254 at most")
    videos, folder = _videos(options)
    check_all_read(videos)
    check_sizes(videos)
    updates = _updates(options, videos)
    pixel = _pixel(options, videos)
    also: dict[Kind, object] = {"matches": pixel, "pseudo_labels": updates}
    asked = options.kinds or ["clusters", "insides", *[kind for kind, given in also.items() if given]]
    drawer = Drawer(_predictor(options), asked, options.rows, options.clusters, options.alpha, options.seed, pixel)
    left_out: dict[str, list[str]] = {}
    with progress_bar() as progress:
        task = progress.add_task("draw", total=sum(len(video.frame_names) for video in videos))
        for video in videos:
            progress.update(task, description=video.name)
            sheets, missing = drawer.draw(video, updates.get(video.name, {}), lambda: progress.advance(task))
            if missing and (options.kinds or not sheets):
                raise UserError(f"video {video.name}: {'; '.join(missing)}")
            for kind, sheet in sheets.items():
                _write(folder / video.name / f"{kind}.png", sheet)
            for reason in missing:
                left_out.setdefault(reason, []).append(video.name)
    for reason, names in left_out.items():
        log.info("%s: %s", some(names), reason)
    log.info("pictures: %s", folder)


def _videos(options: Options) -> tuple[Sequence[Video], Path]:
    """The videos to draw, and the output folder. Raises UserError for keys that do not go together."""
    drawings = Path(options.run, "drawings")
    if options.frames is not None and re.fullmatch(r"\d+", options.frames):
        raise UserError(f"frames={options.frames} is now rows={options.frames}: frames is a part of input=<video>")
    check_input(options.input, options.mask, options.frames, options.overrides)
    if options.input is not None:
        return [open_video(options.input, options.mask, Part.parse(options.frames))], drawings
    dataset = made(options.dataset, "dataset")
    return dataset.videos, drawings / f"{dataset.name}-{dataset.split}"


def _updates(options: Options, videos: Sequence[Video]) -> Mapping[str, Folders]:
    """The pseudo-labels to draw, by video; empty if none were asked for."""
    if options.labels is not None:
        return pseudo_labels(options.labels, [video.name for video in videos])
    if "pseudo_labels" in (options.kinds or ()):
        raise UserError("kinds=[pseudo_labels] needs labels=<run folder of a training that made some>")
    return {}


def _pixel(options: Options, videos: Sequence[Video]) -> tuple[int, int] | None:
    """The pixel whose matches to draw, if any. Raises UserError unless it lies inside every video."""
    if options.pixel is None:
        if "matches" in (options.kinds or ()):
            raise UserError("kinds=[matches] needs pixel=[x,y], in pixels of the original frames")
        return None
    for video in videos:
        height, width = video.frame(0).shape[:2]
        if len(options.pixel) != 2 or not (0 <= options.pixel[0] < width and 0 <= options.pixel[1] < height):
            size = f"{width} wide and {height} high: give pixel=[x,y] with x up to {width - 1} and y up to {height - 1}"
            raise UserError(f"pixel=[{some(options.pixel)}] is none of video {video.name}, which is {size}")
    return options.pixel[0], options.pixel[1]


def _predictor(options: Options) -> Predictor:
    return Predictor.load(options)


def _write(path: Path, sheet: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        aside.write_bytes(png_bytes(sheet))
