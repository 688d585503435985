"""`vosbench predict`: label maps or joints for a data set, or label maps for any video with an initial mask.

Repeating the command resumes it. Several processes can run the same command at once, on several GPUs or on
machines that share the run folder: each takes videos that no other process works on. It ends with status 3 if it leaves
videos to processes that have not finished them; to wait for these, use benchmark.
"""

import logging
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vosbench.datasets.colour_masks import labels_of_colours, write_label_maps_of_colours
from vosbench.datasets.drawn_masks import Drawn
from vosbench.datasets.own_videos import check_input, open_videos, write_first_mask
from vosbench.drawing.shown_objects import listed, write_cutouts, write_overlay
from vosbench.evaluation.predictions.rle import write_rle
from vosbench.inference.plan import plan
from vosbench.inference.prediction_folder import ChangedCode, PredictionFolder
from vosbench.inference.predictor import Predictor, PredictorOptions
from vosbench.settings.making import made
from vosbench.settings.options import FileName, Placed, Rate, Where
from vosbench.util.errors import Unfinished, UserError
from vosbench.util.progress import tell
from vosbench.video.leftovers import check_all_read, tell_given_palettes
from vosbench.video.part import Part
from vosbench.video.video import LabelMap, Video

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options(PredictorOptions):
    """The keys of conf/predict.yaml, which explains them."""

    run: Where[FileName]
    overwrite: Where[bool]
    changed_code: Where[ChangedCode]
    dataset: Placed[dict[str, Any]]
    input: Placed[FileName | None]
    mask: Placed[FileName | None]
    output: Where[FileName | None]
    frames: str | None
    colours: FileName | None  # as it is typed: commas are part of it
    overlay: Where[bool]
    fps: Where[Rate | None]
    rle: Where[bool]
    cutout: Where[bool]
    plan: Where[bool] = False


def run(options: Options) -> None:
    """Writes `<output>/<sequence>/<frame>.png` for the frames to evaluate, or `<output>/<sequence>/joints.json`. The
    default output is `<run>/predictions/<dataset>-<split>`. Raises Unfinished if videos are left to other processes."""
    _check(options)
    predictor = Predictor.load(options)  # before a first mask is written: what cannot be loaded replaces nothing
    if options.input is not None and options.mask is not None:
        default = Path(options.run, "predictions")
        videos: Sequence[Video] = _own_videos(options.input, options.mask, Path(options.output or default), options)
    else:
        dataset = made(options.dataset, "dataset")
        videos, default = dataset.videos, Path(options.run, "predictions", f"{dataset.name}-{dataset.split}")
    wanted = [key for key in ("overlay", "rle", "cutout") if getattr(options, key)]
    if wanted and any(video.joints(0) is not None for video in videos):
        raise UserError(f"{wanted[0]}=true shows label maps, and these videos have joints: leave it out")
    check_all_read(videos)
    tell_given_palettes(videos)
    if options.plan:
        tell(plan(predictor, videos))
        return
    folder = PredictionFolder(Path(options.output or default), _elsewhere(options))
    others = predictor.predict(videos, folder, overwrite=options.overwrite, changed_code=options.changed_code)
    for name in others:
        log.info("%s is left to %s (%s)", name, (claim := folder.claim(name)).holder(), claim.path)
    log.info("label maps: %s", folder.root)
    _show([video for video in videos if video.name not in others], folder, options)
    if others:
        raise Unfinished(_left(others, folder, len(videos)))


def _check(options: Options) -> None:
    """Raises UserError for keys that do not go together."""
    path = options.input
    if path is None and options.colours is not None:
        raise UserError(
            "colours are those of mask=<PNG>, which a data set does not need: leave them out, or give input"
        )
    if path is not None and options.mask is None:
        raise UserError(
            f"input={path} needs a mask of its first frame: give mask=<PNG>, mask=points:<x>,<y> inside the object or "
            f"mask=box:<left>,<top>,<right>,<bottom>, or draw one with vosbench annotate input={shlex.quote(path)}"
        )
    check_input(path, options.mask, options.frames, options.overrides)


def _elsewhere(options: Options) -> str:
    return "name=<new name>" if options.output is None else "output=<new folder>"


def _own_videos(path: str, mask: str, output: Path, options: Options) -> list[Video]:
    part, drawn = Part.parse(options.frames), Drawn.parse(mask)
    if drawn is None and options.colours is None:
        return open_videos(path, mask, part)
    if options.plan:
        raise UserError(f"plan=true writes nothing, and mask={mask} would be written as ids: give an indexed PNG")
    keep = None if options.overwrite else _elsewhere(options)
    if drawn is None and Path(mask).is_dir():
        ids = write_label_maps_of_colours(Path(mask), str(options.colours), output / "given-masks", keep)
        return open_videos(path, ids, part)
    made = (lambda _: labels_of_colours(Path(mask), str(options.colours))) if drawn is None else drawn.mask
    return open_videos(path, write_first_mask(path, made, part, output, keep), part)


def _left(others: Sequence[str], folder: PredictionFolder, count: int) -> str:
    first = folder.claim(others[0])
    who = f"{others[0]}: {first.holder()} holds {first.path}" if first.held() else f"{others[0]}: its process has ended"
    return f"{len(others)} of {count} videos are left to other processes ({who}): repeat the command when they are done"


def _show(videos: Sequence[Video], folder: PredictionFolder, options: Options) -> None:
    """Writes what was asked for beside the label maps."""
    for video in videos:
        if options.overlay:
            log.info("overlay: %s", write_overlay(video, folder, options.fps))
        if options.cutout:
            log.info("cut-outs: %s", write_cutouts(video, folder))
    if options.rle:
        path = folder.root / "label_maps.json"
        write_rle(path, ((video.name, _label_maps(video, folder)) for video in videos))
        log.info("COCO RLE: %s", path)


def _label_maps(video: Video, folder: PredictionFolder) -> Iterator[tuple[str, LabelMap]]:
    return ((name, folder.label_map(video.name, name)) for _, name in listed(video))
