"""`vosbench predict`: label maps or joints for a data set, or label maps for any video with an initial mask.

Repeating the command resumes it. Several processes can run the same command at once, on several GPUs or on
machines that share the run folder: each takes videos that no other process works on. It ends with status 3 if it leaves
videos to processes that have not finished them; to wait for these, use benchmark.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vosbench.datasets.video_folder import open_video
from vosbench.drawing.encoding import write_video
from vosbench.drawing.overlays import overlay
from vosbench.inference.plan import plan
from vosbench.inference.prediction_folder import ChangedCode, PredictionFolder
from vosbench.inference.predictor import Predictor, PredictorOptions
from vosbench.settings.making import made
from vosbench.settings.options import FileName, Placed, Where
from vosbench.util.errors import Unfinished, UsageError, UserError
from vosbench.util.progress import tell
from vosbench.video.leftovers import check_all_read, tell_given_palettes
from vosbench.video.video import Video

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
    overlay: Where[bool]
    fps: Where[float]
    plan: Where[bool] = False

    def __post_init__(self) -> None:
        if not self.fps:
            raise UsageError("fps=0: give more than 0")


def run(options: Options) -> None:
    """Writes `<output>/<sequence>/<frame>.png` for the frames to evaluate, or `<output>/<sequence>/joints.json`. The
    default output is `<run>/predictions/<dataset>-<split>`. Raises Unfinished if videos are left to other processes."""
    if (options.input is None) != (options.mask is None):
        raise UserError(
            "input=<video or folder of frames> and mask=<PNG of its first frame> belong together: give both"
        )
    if options.input is not None:
        videos: Sequence[Video] = [open_video(options.input, options.mask)]
        default = Path(options.run, "predictions")
    else:
        dataset = made(options.dataset, "dataset")
        videos, default = dataset.videos, Path(options.run, "predictions", f"{dataset.name}-{dataset.split}")
    if options.overlay and any(video.joints(0) is not None for video in videos):
        raise UserError("overlay=true draws label maps, and these videos have joints: leave it out")
    check_all_read(videos)
    tell_given_palettes(videos)
    predictor = Predictor.load(options)
    if options.plan:
        tell(plan(predictor, videos))
        return
    folder = PredictionFolder(Path(options.output or default))
    others = predictor.predict(videos, folder, overwrite=options.overwrite, changed_code=options.changed_code)
    for name in others:
        log.info("%s is left to %s (%s)", name, (claim := folder.claim(name)).holder(), claim.path)
    log.info("label maps: %s", folder.root)
    if options.overlay:
        for video in videos:
            if video.name not in others:
                write_overlay(video, folder, options.fps)
    if others:
        raise Unfinished(_left(others, folder, len(videos)))


def _left(others: Sequence[str], folder: PredictionFolder, count: int) -> str:
    first = folder.claim(others[0])
    who = f"{others[0]}: {first.holder()} holds {first.path}" if first.held() else f"{others[0]}: its process has ended"
    return f"{len(others)} of {count} videos are left to other processes ({who}): repeat the command when they are done"


def write_overlay(video: Video, folder: PredictionFolder, fps: float) -> None:
    """Writes `<sequence>-overlay.mp4` beside the label maps: the frames to evaluate, with their objects coloured."""
    listed = [(i, name) for i, name in enumerate(video.frame_names) if video.is_listed(name)]
    frames = (overlay(video.frame(i), folder.label_map(video.name, name)) for i, name in listed)
    path = folder.root / f"{video.name}-overlay.mp4"
    write_video(path, frames, fps)
    log.info("overlay: %s", path)
