"""`vosbench train`: one method on unlabelled or labelled clips, to checkpoints/{last,best}.ckpt; repeating it
resumes."""

import logging
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from hydra.utils import instantiate
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint, RichProgressBar
from torch.utils.data import DataLoader

from vosbench.checkpoint import restore
from vosbench.datasets.clips import Clips, collate
from vosbench.datasets.sampling import StepSampler
from vosbench.engine import Engine
from vosbench.memory import FrameMemory
from vosbench.predictions import hash_of
from vosbench.types import Clip
from vosbench.videos import Video

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The top-level keys of conf/train.yaml, which explains them."""

    runs: str
    name: str
    run: str
    overrides: list[str]
    paths: dict[str, Any]
    method: dict[str, Any]
    flow: dict[str, Any]
    memory: dict[str, Any]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    callbacks: dict[str, Any]
    weights: str
    data: dict[str, Any]
    inference: dict[str, Any]
    trainer: dict[str, Any]
    logger: dict[str, Any] | None
    init: str
    save_every: int
    seed: int
    overwrite: bool


def run(options: Options) -> None:
    """Trains to `trainer.max_steps`. Raises ValueError when the run folder holds a training of another
    configuration."""
    folder = Path(options.run) / "checkpoints"
    recipe = hash_of(
        {key: getattr(options, key) for key in ("method", "optimizer", "schedule", "data", "init", "seed")}
    )
    resume = _resume(folder, recipe, overwrite=options.overwrite)
    torch.manual_seed(options.seed)
    engine = _engine(options, recipe)
    trainer = _trainer(options, folder)
    if resume is None and options.init != "none":
        restore(engine.method, options.init, options.seed)  # type: ignore[arg-type]
    trainer.fit(engine, datamodule=_Data(options.data, options.seed), ckpt_path=resume, weights_only=False)
    best = trainer.checkpoint_callbacks[0].best_model_path or folder / "last.ckpt"  # type: ignore[attr-defined]
    log.info("trained %d steps; checkpoint=%s", trainer.global_step, best)


def _engine(options: Options, recipe: str) -> Engine:
    method = instantiate(options.method)
    metadata = {
        "method": options.method["_target_"],
        "recipe": recipe,
        "training_data": [source["dataset"].get("name", name) for name, source in options.data["sources"].items()],
    }
    memory: partial[FrameMemory[Any]] = instantiate(options.memory, _partial_=True)
    optimizer, schedule = instantiate(options.optimizer), instantiate(options.schedule)
    inference = instantiate(options.inference)
    return Engine(method, optimizer, schedule, options.data["batch_size"], memory, inference, options.seed, metadata)


def _trainer(options: Options, folder: Path) -> L.Trainer:
    callbacks: list[Callback] = [
        ModelCheckpoint(folder, "best", monitor="val/J&F", mode="max", enable_version_counter=False),
        ModelCheckpoint(folder, "last", every_n_train_steps=options.save_every, enable_version_counter=False),
        RichProgressBar(),
        *(instantiate(callback) for callback in options.callbacks.values()),
    ]
    logger = instantiate(options.logger) if options.logger else False
    if logger:
        callbacks.append(LearningRateMonitor("step"))
    return L.Trainer(
        **options.trainer,
        default_root_dir=options.run,
        callbacks=callbacks,
        logger=logger,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # StepSampler shares clips out itself
        enable_model_summary=False,
    )


def _resume(folder: Path, recipe: str, *, overwrite: bool) -> str | None:
    """The checkpoint to go on from, if it belongs to the same recipe."""
    last = folder / "last.ckpt"
    if not last.is_file():
        return None
    metadata = torch.load(last, map_location="cpu", weights_only=False, mmap=True).get("vosbench", {})
    if metadata.get("recipe") == recipe:
        log.info("resuming from %s", last)
        return str(last)
    if not overwrite:
        raise ValueError(
            f"{last} was trained with another method, optimizer, data, init or seed: "
            "set name=<new name> to keep it, or overwrite=true to train anew"
        )
    shutil.rmtree(folder)
    return None


class _Data(L.LightningDataModule):
    """Clips by global step, so that a resumed run and any number of processes see the same batches."""

    def __init__(self, data: dict[str, Any], seed: int) -> None:
        super().__init__()
        sources, clips = (instantiate(data[key], _convert_="all") for key in ("sources", "clips"))
        self.clips = Clips(sources, **clips, seed=seed)
        self.validation: list[Video] = list(instantiate(data["validation"]).videos) if data["validation"] else []
        self.batch, self.workers = data["batch_size"], data["workers"]

    def train_dataloader(self) -> DataLoader[Clip]:
        trainer = self.trainer
        assert trainer is not None
        sampler = StepSampler(
            trainer.global_step, trainer.max_steps, self.batch, trainer.global_rank, trainer.world_size
        )
        return DataLoader(
            self.clips,
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[Video]:
        trainer = self.trainer
        assert trainer is not None
        share = self.validation[trainer.global_rank :: trainer.world_size] or self.validation
        return DataLoader(share, batch_size=None, collate_fn=_same)  # type: ignore[arg-type]


def _same(video: Video) -> Video:
    return video
