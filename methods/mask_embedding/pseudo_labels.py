"""Clusters the training videos during training; masks are learned from the segments found (section 3.1)."""

import json
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import torch.nn.functional as nnf
from jaxtyping import Float, UInt8
from torch import Tensor

from vosbench.datasets.pseudo_labels import PseudoLabels
from vosbench.methods.mask_embedding.cell_motion import cell_motion
from vosbench.methods.mask_embedding.method import MaskEmbedding
from vosbench.methods.mask_embedding.pseudo_label_statistics import Found, describe, found_in, summary
from vosbench.nn.optical_flow import Dis
from vosbench.ops.cluster import cluster_video
from vosbench.ops.processes import share_buffers
from vosbench.runs.claims import Claim
from vosbench.runs.identity import Fingerprint
from vosbench.settings.checks import below, outside, refuse
from vosbench.settings.options import Seed
from vosbench.training.module import Engine
from vosbench.util.errors import UserError
from vosbench.util.files import folder_aside, replace_file
from vosbench.util.reading import read_json
from vosbench.video.images import size_of_short_side, write_label_map
from vosbench.video.video import Video

log = logging.getLogger(__name__)

BATCH = 8  # frames encoded at a time
PATIENCE = 20  # seconds between log lines about a long update
REMEDY = "remove it, and repeat the command"


class ClusterVideos(L.Callback):
    """Makes pseudo-labels before the first step, and again every `every` epochs (null: never again).

    They come from the keys of that time, and lie in the run folder: see `datasets.pseudo_labels.PseudoLabels`.
    Processes claim videos one by one and keep those that are labelled, so an update that was killed goes on. True masks
    are only read for the log.

    clusters, steps, alpha, most_points, frame_step, largest, finer, seed: see `ops.cluster.cluster_video`
    motion      weight of the cells' motion (DIS) beside keys of unit norm; 0: they are clustered without it
    short_side  frames are resized to this many pixels on their shorter side; null: as they are
    """

    def __init__(
        self,
        every: int | None = 10,
        clusters: int = 5,
        steps: int = 100,
        alpha: float = 0.5,
        motion: float = 0.0,
        most_points: int = 50_000,
        frame_step: int | None = None,
        largest: float = 0.4,
        finer: int = 1,
        short_side: int | None = None,
        seed: Seed = 0,
    ) -> None:
        found = below(1, steps=steps, most_points=most_points, frame_step=frame_step)
        found += below(1, finer=finer, short_side=short_side) + below(0, alpha=alpha, motion=motion)
        found += outside(0, 1, largest=largest) + outside(1, 254, clusters=clusters)
        if every is not None and every < 1:
            found.append(f"every={every}: give 1 epoch or more, or null for once")
        refuse("callbacks.pseudo_labels", found)
        self.every, self.motion, self.short_side = every, motion, short_side
        self._oldest = 0
        self.settings: dict[str, Any] = {
            "clusters": clusters,
            "steps": steps,
            "alpha": alpha,
            "most_points": most_points,
            "frame_step": frame_step,
            "largest": largest,
            "finer": finer,
            "seed": seed,
        }

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Called before any process reads clips."""
        self.clips = trainer.datamodule.clips  # type: ignore[attr-defined]
        if self.clips.labels == "pseudo":
            raise UserError("data.clips.labels=pseudo are there already: add pseudo_labels=none, or read no labels")
        _method(_engine(pl_module))  # raises before the first video is clustered
        self.labels = PseudoLabels(Path(trainer.default_root_dir, "labels"), self.every)
        self.clips.pseudo_labels = self.labels
        if trainer.is_global_zero and trainer.ckpt_path is None:
            self._drop_stale(Fingerprint.read(_engine(pl_module).metadata["fingerprint"]).digest())
        trainer.strategy.barrier()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._note_saved(trainer, _engine(pl_module))
        self._before_step(trainer, _engine(pl_module))

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        self._before_step(trainer, _engine(pl_module))

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        self._note_saved(trainer, _engine(pl_module))

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if trainer.is_global_zero:
            self._drop_old()

    def _note_saved(self, trainer: L.Trainer, engine: Engine) -> None:
        """Notes the oldest update that a training needs which goes on from the checkpoint of this step."""
        step = min(trainer.global_step, trainer.max_steps - 1)
        self._oldest = min(self._updates(step, engine.batch))

    def _before_step(self, trainer: L.Trainer, engine: Engine) -> None:
        """Makes the updates that the next step's clips need, unless they exist. Logs those that no step needed before,
        even if they exist: a run that was killed may have made them without saving its log."""
        step = trainer.global_step
        if step >= trainer.max_steps:
            return
        needed = self._updates(step, engine.batch)
        for update in sorted(needed):
            if not self.labels.done(update).is_file():
                self._make(trainer, _method(engine), update)
        if trainer.is_global_zero:
            for update in sorted(needed - (self._updates(step - 1, engine.batch) if step else set())):
                self._log(trainer, update)

    def _updates(self, step: int, batch: int) -> set[int]:
        """The updates that the clips of a step read."""
        return {self.labels.update(self.clips.table.epoch(i)) for i in range(step * batch, (step + 1) * batch)}

    def _drop_stale(self, recipe: str) -> None:
        """Removes pseudo-labels that another training left in this run folder."""
        made_by = self.labels.root / "recipe.txt"
        if not made_by.is_file() or made_by.read_bytes() != recipe.encode():
            shutil.rmtree(self.labels.root, ignore_errors=True)
            self.labels.root.mkdir(parents=True)
            replace_file(made_by, recipe.encode())

    def _make(self, trainer: L.Trainer, method: MaskEmbedding, update: int) -> None:
        videos: dict[str, Video] = dict(self.clips.videos)
        training = method.training
        method.eval()
        share_buffers(method)  # whichever process takes a video, its labels are the same
        with trainer.precision_plugin.forward_context(), torch.no_grad():
            said = time.monotonic()
            for count, (name, video) in enumerate(videos.items()):
                if time.monotonic() - said > PATIENCE and trainer.is_global_zero:
                    log.info("pseudo-labels of epoch %d: %d of %d videos", update, count, len(videos))
                    said = time.monotonic()
                with self._claim(update, name) as mine:
                    if mine and not self._record(update, name).is_file():
                        self._label(method, update, name, video)
        method.train(training)
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            self._finish(update, list(videos))
        trainer.strategy.barrier()

    def _finish(self, update: int, names: Sequence[str]) -> None:
        """Marks an update as complete, with the statistics of each video.

        Raises UserError for a video that another process, maybe on another machine, has claimed and not labelled.
        """
        for name in names:
            if not self._record(update, name).is_file():
                claim = self._claim(update, name)
                raise UserError(f"{claim.path} is held by {claim.holder()}: repeat the command when that is done")
        found = {name: read_json(self._record(update, name), "", REMEDY) for name in names}
        replace_file(self.labels.done(update), json.dumps(found, indent=1).encode())
        self._drop_old()

    def _log(self, trainer: L.Trainer, update: int) -> None:
        found: dict[str, Found] = read_json(self.labels.done(update), "", REMEDY)
        means = summary(list(found.values()))
        log.info("pseudo-labels of epoch %d: %s", update, describe(means, len(found)))
        for logger in trainer.loggers:
            logger.log_metrics({f"pseudo_labels/{key}": value for key, value in means.items()}, trainer.global_step)

    def _drop_old(self) -> None:
        """Removes complete updates except the first, for comparison, the last two, which clips read, and those that are
        needed to go on from the last checkpoint: they could not be made again from later weights."""
        whole = sorted(int(done.parent.name) for done in self.labels.root.glob("*/DONE"))
        for update in (update for update in whole[1:-2] if update < self._oldest):
            self.labels.done(update).unlink()
            shutil.rmtree(self.labels.folder(update))

    def _label(self, method: MaskEmbedding, update: int, name: str, video: Video) -> None:
        """Clusters a video; its folder and its record appear only when complete."""
        frames, flow = range(len(video.frame_names)), Dis()
        keys, states = list[Float[Tensor, "c h w"]](), list[UInt8[Tensor, "h w"]]()
        for start in frames[::BATCH]:
            pixels = self._pixels(video, frames[start : start + BATCH], next(method.parameters()).device)
            keys += self._keys(method, pixels)
            if self.motion:
                states += map(flow.encode, (255 * pixels).round().byte())
        beside = self.motion * cell_motion(flow, states, method.stride) if self.motion else None
        clusters = cluster_video(keys, beside=beside, **self.settings)
        with folder_aside(self.labels.folder(update) / name) as folder:
            for frame, labels in zip(video.frame_names, clusters.labels.byte().cpu().numpy(), strict=True):
                write_label_map(folder / f"{frame}.png", labels)
        replace_file(self._record(update, name), json.dumps(found_in(clusters, video)).encode())

    def _pixels(self, video: Video, frames: Sequence[int], device: torch.device) -> Float[Tensor, "t 3 h w"]:
        images = torch.from_numpy(np.stack([video.frame(index) for index in frames])).permute(0, 3, 1, 2)
        pixels = images.to(device) / 255
        if self.short_side is None:
            return pixels
        size = size_of_short_side(pixels.shape[2], pixels.shape[3], self.short_side)
        return nnf.interpolate(pixels, size, mode="bicubic", antialias=True).clamp(0, 1)

    def _keys(self, method: MaskEmbedding, pixels: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t c h2 w2"]:
        """Keys of frames shifted by half a stride, so that a cell is at the centre of the pixels that its label will
        fill."""
        half = method.stride // 2
        bottom, right = (half + -side % method.stride for side in pixels.shape[-2:])
        keys: Tensor = method.encode(nnf.pad(pixels[..., half:, half:], (0, right, 0, bottom), mode="replicate")).key
        return keys

    def _claim(self, update: int, name: str) -> Claim:
        return Claim(self.labels.folder(update) / f"{name}.lock")

    def _record(self, update: int, name: str) -> Path:
        return self.labels.folder(update) / f"{name}.json"


def _engine(module: L.LightningModule) -> Engine:
    if not isinstance(module, Engine):
        raise TypeError(f"pseudo-labels are made for an Engine, not for {type(module).__name__}")
    return module


def _method(engine: Engine) -> MaskEmbedding:
    if isinstance(engine.method, MaskEmbedding) and engine.method.decoder is not None:
        return engine.method
    name = "method.decode=false" if isinstance(engine.method, MaskEmbedding) else type(engine.method).__name__
    raise UserError(f"callbacks.pseudo_labels: {name} learns nothing from them: set pseudo_labels=none")
