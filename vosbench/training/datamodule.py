"""The clips that a method is trained on and the videos that it is validated on."""

import os
import signal
import threading
from typing import Annotated, Any, NotRequired, TypedDict

import cv2
import lightning as L
import torch
from hydra.utils import instantiate
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from vosbench.contract import Clip
from vosbench.datasets.clips import Clips, Source, collate
from vosbench.datasets.sampling import StepSampler
from vosbench.evaluation.protocols.protocol import Protocol, protocol_named
from vosbench.runs.identity import data_digest
from vosbench.settings.making import made, placed
from vosbench.settings.options import Keywords, Natural, Positive, Where
from vosbench.training.checkpointing import STOPPING
from vosbench.training.validation import check_videos
from vosbench.util.errors import UsageError, UserError
from vosbench.util.progress import progress_bar
from vosbench.video.digests import all_digests
from vosbench.video.leftovers import check_all_read
from vosbench.video.video import Dataset, Video


class SourceOptions(TypedDict):
    """One of `data.sources`: a data set, and how often it is repeated in an epoch."""

    dataset: dict[str, Any]
    repeat: Positive


class ClipOptions(TypedDict):
    """The keys of conf/data/*.yaml. `batch_size` is the number of clips per step, over all processes."""

    sources: dict[str, SourceOptions]
    clips: Annotated[dict[str, Any], Keywords(Clips, given=("sources", "seed"))]
    validation: NotRequired[dict[str, Any] | None]  # ~validation leaves it out
    batch_size: Positive
    workers: Where[Natural]


class ClipData(L.LightningDataModule):
    """Clips by global step, so that a resumed run and any number of processes see the same batches.

    validation  videos to validate on; may be empty
    protocol    that scores them; None without validation videos

    Raises Problems that list the validation videos which cannot be scored.
    """

    trainer: L.Trainer

    def __init__(self, data: ClipOptions, seed: int) -> None:
        super().__init__()
        if not data["sources"]:
            raise UsageError("data.sources has none to train on: choose data=<one of those in vosbench train --help>")
        sources: dict[str, Source] = {
            name: {"dataset": made(source["dataset"], _place(name), _convert_="all"), "repeat": source["repeat"]}
            for name, source in data["sources"].items()
        }
        for name, source in sources.items():
            with placed(_place(name)):
                check_all_read(source["dataset"].videos, masks=bool(data["clips"].get("labels")))
        with placed("data.clips"):
            self.clips = Clips(sources, **instantiate(data["clips"], _convert_="all"), seed=seed)
        self.validation: list[Video] = []
        self.protocol: Protocol | None = None
        if validation := data.get("validation"):
            dataset: Dataset = made(validation, "data.validation")
            self.validation, self.protocol = list(dataset.videos), protocol_named(dataset.protocol)
            check_all_read(self.validation)
            check_videos(self.validation, self.protocol)
        self.batch, self.workers = data["batch_size"], data["workers"]

    def fingerprint(self) -> str:
        """A digest of the training videos, and of their annotations if these are read."""
        return fingerprint_of(self.clips)

    def train_dataloader(self) -> DataLoader[Clip | UserError]:
        trainer = self.trainer
        sampler = StepSampler(
            trainer.global_step,
            trainer.max_steps,
            self.batch,
            trainer.global_rank,
            trainer.world_size,
            trainer.accumulate_grad_batches,
        )
        return DataLoader(
            _Told(self.clips),
            batch_sampler=sampler,
            collate_fn=_collate,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_prepare_worker,
        )

    def val_dataloader(self) -> DataLoader[Video]:
        share = self.validation[self.trainer.global_rank :: self.trainer.world_size] or self.validation
        return DataLoader(share, batch_size=None, collate_fn=_same)  # type: ignore[arg-type]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        if isinstance(batch, UserError):
            raise batch
        return batch.to(device) if isinstance(batch, Clip) else batch


def fingerprint_of(clips: Clips) -> str:
    """A digest of the videos of clips, and of their annotations if these are read."""
    videos = dict(clips.videos)  # a source may be repeated
    wanted = {name: video.fingerprint for name, video in videos.items()}
    if clips.labels:
        wanted |= {f"{name} labels": video.annotation_fingerprint for name, video in videos.items()}
    with progress_bar("videos") as progress:
        task = progress.add_task("reading training data", total=len(wanted))
        return data_digest(all_digests(wanted, lambda: progress.advance(task)))


def _place(source: str) -> str:
    return f"data.sources.{source}.dataset"


class _Told(TorchDataset[Clip | UserError]):
    """Clips, or the UserError of reading one. An exception in a worker process would arrive as text with its traceback;
    returned as a value, it arrives intact."""

    def __init__(self, clips: Clips) -> None:
        self.clips = clips

    def __getitem__(self, index: int) -> Clip | UserError:
        try:
            return self.clips[index]
        except UserError as error:
            return error


def _collate(items: list[Clip | UserError]) -> Clip | UserError:
    errors = [item for item in items if isinstance(item, UserError)]
    return errors[0] if errors else collate([item for item in items if isinstance(item, Clip)])


def _same(video: Video) -> Video:
    return video


def _prepare_worker(_: int) -> None:
    """One thread, since there are several workers already. Not 1: OpenCV crashes when it reduces the threads it had
    before the fork.

    Terminals and schedulers send their signals to all processes of a command. Those that ask for an end are for the
    main process, which still needs clips to end its step. It then ends its workers.
    """
    cv2.setNumThreads(0)
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # which says who sent a signal; not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(main: int) -> None:
    """Ends this process once the process `main` terminates it."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != main:
        pass
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    os.kill(os.getpid(), signal.SIGTERM)
