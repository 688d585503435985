"""A method with its weights, memory and device, ready to segment videos."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

import torch

from vosbench.inference.device import (
    check_precision,
    device_named,
    peak_memory_mb,
    reset_peak_memory,
)
from vosbench.inference.feature_cache import FeatureCache, Stores, identity_of
from vosbench.inference.heat_maps import without_joints
from vosbench.inference.kernels import arranged
from vosbench.inference.late_objects import SETTING, has_late_objects, without_starts
from vosbench.inference.memory import Memory
from vosbench.inference.prediction_folder import ChangedCode, Prediction, PredictionFolder
from vosbench.inference.propagator import Propagator, follow, propagate
from vosbench.inference.resizing import Resizing
from vosbench.inference.snapshots import Snapshots
from vosbench.method import Method
from vosbench.nn.weight_files import digest_of
from vosbench.runs.code import commit, sources
from vosbench.runs.identity import Fingerprint, data_digest
from vosbench.settings.making import factory, made
from vosbench.settings.options import Content, FileName, Natural, Seed, Where
from vosbench.settings.recipe import modules, settings
from vosbench.util.errors import UserError
from vosbench.util.progress import progress_bar
from vosbench.video.video import Video, check_sizes, warn_of_losses
from vosbench.weights.loading import restore
from vosbench.weights.missing import warning
from vosbench.weights.origin import Checkpoint, facts, has_weights

log = logging.getLogger(__name__)
T = TypeVar("T")

LOOP = ("vosbench.inference.propagator", "vosbench.inference.device")  # modules that take part in every prediction


@dataclass(frozen=True, kw_only=True)
class PredictorOptions:
    """The keys of conf/predicting.yaml, which explains them, and those of a method's recipe.

    overrides  as typed; random weights cause a warning unless checkpoint=none is among them
    choice     words of a command that choose the method and its network
    """

    overrides: Where[list[str]]
    choice: Where[str]
    method: dict[str, Any]
    memory: dict[str, Any]
    inference: dict[str, Any]
    propagation: str | None
    checkpoint: Content[FileName]
    seed: Seed
    device: Where[str]
    cache_features: FileName | None = None
    cache_features_gb: Where[Natural] = 50
    precision: str
    channels_last: Where[bool]
    compile: Where[bool]


@dataclass(frozen=True)
class Predictor:
    """A method with its weights, its memory policy and its device, ready for videos.

    recipe  the settings that its results depend on, by dotted key
    code    a digest of its source, by module
    facts   the fields of a result record that describe it
    cache   the folder where features of videos are kept, and at most how many bytes of them
    """

    method: Method[Any, Any]
    memory: Callable[[], Memory[Any]]
    inference: Resizing
    checkpoint: Checkpoint
    device: torch.device
    precision: str
    recipe: Mapping[str, str]
    code: Mapping[str, str]
    facts: dict[str, Any]
    cache: Path | None = None
    cache_bytes: int = 0

    @classmethod
    def load(cls, options: PredictorOptions) -> "Predictor":
        """Builds it from configuration. Raises UserError for an unknown device or precision, an unsuitable
        checkpoint, or a missing compiler."""
        check_precision(options.precision)
        device = device_named(options.device)
        torch.set_flush_denormal(True)  # denormal softmax weights make CPUs up to 39× slower
        torch.manual_seed(options.seed)
        method = made(options.method, "method", _convert_="all")
        checkpoint, inference = restore(method, options.checkpoint, options.seed), made(options.inference, "inference")
        if checkpoint.name == "untrained" and has_weights(method) and "checkpoint=none" not in options.overrides:
            log.warning("%s", warning(method, options.choice))
        method = method.to(device).eval()
        arranged(method, channels_last=options.channels_last, compiled=options.compile)
        parts = {key: getattr(options, key) for key in ("method", "memory", "inference", "precision")}
        recipe, propagation = settings(parts, PredictorOptions), options.propagation
        if method.supervision == "none" and any(True for _ in method.parameters()):
            recipe["weights"] = digest_of({key: value.cpu() for key, value in method.state_dict().items()})
        if options.cache_features:
            if not isinstance(method, Stores):
                raise UserError(f"cache_features: {type(method).__name__} keeps no features; use method=features")
            recipe["features"] = "float16"
            propagation = None if propagation is None else f"{propagation.removesuffix(', changed')}, changed"
        return cls(
            method=method,
            memory=factory(options.memory, "memory", _convert_="all"),
            inference=inference,
            checkpoint=checkpoint,
            device=device,
            precision=options.precision,
            recipe=recipe,
            code=sources([*LOOP, *modules(parts), *method.modules_used]),
            facts={**facts(method, checkpoint), "inference": inference.described(), "propagation": propagation},
            cache=Path(options.cache_features) if options.cache_features else None,
            cache_bytes=options.cache_features_gb * 10**9,
        )

    def propagator(self) -> Propagator[Any, Any]:
        """For one video."""
        return Propagator(self.method, self.memory(), self.inference, self.device, self.precision)

    def recipe_for(self, video: Video) -> Mapping[str, str]:
        """The settings that this video's result depends on: label maps do not depend on how joints are drawn."""
        recipe = without_joints(self.recipe) if video.joints(0) is None else self.recipe
        depends = recipe.get(SETTING) == "unknown" and has_late_objects(video)
        return recipe if depends else without_starts(recipe)  # other results are as old as before this setting

    def fingerprint(self, video: Video) -> Fingerprint:
        """The fingerprint of this video's label maps, or of its joints."""
        code = {**self.code, **sources([type(video).__module__])}
        return Fingerprint(code, self.recipe_for(video), data_digest(_prompted(video)), self.checkpoint.sha256)

    def predict(
        self,
        videos: Sequence[Video],
        folder: PredictionFolder,
        *,
        overwrite: bool = False,
        changed_code: ChangedCode = "redo",
    ) -> list[str]:
        """Segments the videos that are not done yet and that no other process works on, longest first.

        Returns the names of videos left to other processes. Raises UserError like `PredictionFolder.check`,
        and for videos whose frames differ in size.
        """
        wanted = {video.name: self.fingerprint(video) for video in videos}
        todo = set(folder.check(wanted, overwrite=overwrite, changed_code=changed_code))
        ordered = sorted((v for v in videos if v.name in todo), key=lambda v: (-len(v.frame_names), v.name))
        if len(todo) < len(videos):
            log.info("%d of %d videos are done already", len(videos) - len(todo), len(videos))
        check_sizes(ordered)
        with progress_bar() as progress:
            task = progress.add_task("predict", total=sum(len(video.frame_names) for video in ordered))
            for video in ordered:
                with folder.claim(video.name) as mine:
                    if mine and not folder.has(video.name, wanted[video.name]):
                        warn_of_losses(video)
                        progress.update(task, description=video.name)
                        self._predict_one(
                            video, wanted[video.name], folder, lambda count: progress.advance(task, count)
                        )
        return [video.name for video in ordered if not folder.has(video.name, wanted[video.name])]

    def _predict_one(
        self, video: Video, fingerprint: Fingerprint, folder: PredictionFolder, advance: Callable[[int], None]
    ) -> None:
        propagator = self.propagator()
        self._use_cache(propagator, video)
        reset_peak_memory(self.device)
        snapshots = Snapshots(folder.state_file(video.name, fingerprint))
        start = self._go_on(propagator, video, snapshots) if folder.is_begun(video.name) else 0
        if start:
            advance(start)
        are_joints = video.joints(0) is not None

        def record() -> Prediction:
            latencies = [1000 * seconds for seconds in islice(propagator.seconds, 1, None)]
            return Prediction(fingerprint, commit(), latencies, video.size, peak_memory_mb(self.device), self.facts)

        def listed(found: Iterator[T]) -> Iterator[tuple[str, T]]:
            for index, result in enumerate(found, start):
                name = video.frame_names[index]
                if video.is_listed(name):
                    yield name, result
                advance(1)
                if not are_joints:  # those of all frames are one file, which is written at the end
                    snapshots.offer(index + 1, propagator.state)

        if are_joints:
            folder.save_joints(video.name, listed(follow(propagator, video)), record)
        else:
            folder.save(video.name, listed(propagate(propagator, video, start)), record, begun=start > 0)

    def _go_on(self, propagator: Propagator[Any, Any], video: Video, snapshots: Snapshots) -> int:
        """The number of frames that an interrupted process has done, whose state the propagator gets."""
        found = snapshots.read(self.device)
        if found is None:
            return 0
        start, state = found
        propagator.go_on(state)
        log.info("%s goes on after %d of %d frames", video.name, start, len(video.frame_names))
        return start

    def _use_cache(self, propagator: Propagator[Any, Any], video: Video) -> None:
        """Has the propagator read features from the cache, if there is one."""
        if self.cache is None:
            return
        identity = identity_of(self.recipe, self.code, self.checkpoint.sha256, video.fingerprint())
        kept: FeatureCache[Any] = FeatureCache(self.cache, identity, self.cache_bytes)
        encode, method = propagator.encode, cast(Stores[Any], self.method)
        propagator.encode = lambda frame, index: kept.features(method, index, lambda: encode(frame, index), self.device)


def _prompted(video: Video) -> str:
    """A digest of a video's frames, of the names of the frames to evaluate, and of its given masks or joints."""
    digest = hashlib.sha256(f"{video.fingerprint()} {sorted(video.listed or ())}".encode())
    for index in range(len(video.frame_names)):
        if (given := video.given(index)) is not None:
            digest.update(f"{index} {given.shape}".encode() + given.tobytes())
    if (joints := video.joints(0)) is not None:
        digest.update(f"joints {joints.shape}".encode() + joints.tobytes())
    return digest.hexdigest()
