"""`vosbench prepare`: writes a copy of a data set at another size, in DAVIS layout. Repeating it resumes.

Several processes may write to one output: they take turns.
"""

import json
import logging
import shlex
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image as Pillow
from rich.markup import escape

from vosbench.cli import words
from vosbench.runs.claims import Claim, in_turn
from vosbench.runs.code import sources
from vosbench.runs.identity import Fingerprint, data_digest
from vosbench.settings.making import made
from vosbench.settings.options import FileName, Placed, Where
from vosbench.settings.recipe import settings
from vosbench.util.errors import UserError
from vosbench.util.progress import progress_bar
from vosbench.util.reading import read_json
from vosbench.util.workers import shared_out
from vosbench.video.images import resize_image, resize_labels, size_of_short_side, write_label_map
from vosbench.video.leftovers import check_all_read
from vosbench.video.video import Dataset, Image, Video, warn_of_losses

log = logging.getLogger(__name__)

MANIFEST = ".prepared.json"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The top-level keys of conf/prepare.yaml, which explains them."""

    dataset: Placed[dict[str, Any]]
    output: Where[FileName]
    size: int | None
    square: bool
    quality: int
    workers: Where[int]
    overwrite: Where[bool]


@dataclass(frozen=True)
class _Form:
    """How frames are written."""

    size: int | None
    square: bool
    quality: int

    def shape(self, image: Image) -> tuple[int, int]:
        """(height, width) at which a frame is written."""
        height, width = image.shape[:2]
        if self.size is None:
            return height, width
        if self.square:
            return self.size, self.size
        return size_of_short_side(height, width, self.size)


def run(options: Options) -> None:
    """Raises UserError if the output holds videos prepared from another source; then nothing is written."""
    if options.size is None and options.square:
        raise UserError("square=true needs size=<pixels of a side>")
    if options.size is not None and options.size < 1:
        raise UserError(f"size={options.size}: give the pixels of the shorter side, 1 or more")
    if not 1 <= options.quality <= 100:
        raise UserError(f"quality={options.quality}: JPEG quality is 1 to 100")
    dataset: Dataset = made(options.dataset, "dataset")
    check_all_read(dataset.videos)
    form = _Form(options.size, options.square, options.quality)
    with in_turn(options.output, Claim(Path(options.output, ".prepare.lock"))):
        _prepare(dataset, form, options)


def _prepare(dataset: Dataset, form: _Form, options: Options) -> None:
    output = Path(options.output)
    resolution = f"{form.size}p" if form.size else dataset.resolution
    images, labels = (output / kind / resolution for kind in ("JPEGImages", "Annotations"))
    todo = _missing(dataset.videos, images, form, overwrite=options.overwrite)
    for video in todo:
        warn_of_losses(video)
    for folder in (images, labels, output / "ImageSets"):
        folder.mkdir(parents=True, exist_ok=True)
    if todo:
        with progress_bar("videos") as progress:
            task = progress.add_task(escape(f"{dataset.name} {dataset.split}"), total=len(todo))
            for _ in shared_out(partial(_write, images=images, labels=labels, form=form), todo, options.workers):
                progress.advance(task)
    with _aside(output / "ImageSets" / f"{dataset.split}.txt") as listed:
        listed.write_text("".join(f"{video.name}\n" for video in dataset.videos), encoding="utf-8")
    log.info("%d videos written, %d were there", len(todo), len(dataset.videos) - len(todo))
    log.info("use: %s", shlex.join(_overrides(dataset, output, resolution)))


def _overrides(dataset: Dataset, output: Path, resolution: str) -> list[str]:
    """The overrides that select the copy."""
    texts = {"resolution": resolution, "split": dataset.split, "name": dataset.name}
    form = {"root": output, **{key: words.spelled(text) for key, text in texts.items()}}
    scored = {"protocol": dataset.protocol}
    late = {"late_objects": "true"} if any(video.late_objects for video in dataset.videos) else {}
    return ["dataset=davis2017", *(f"dataset.{key}={value}" for key, value in {**form, **late, **scored}.items())]


def _missing(videos: Iterable[Video], images: Path, form: _Form, *, overwrite: bool) -> list[Video]:
    """The videos still to write, among them those that have lost a frame. Unless `overwrite`, raises UserError for a
    folder that differs, saying how."""
    todo: list[Video] = []
    for video in videos:
        folder = images / video.name
        if folder.is_dir():
            if not (folder / MANIFEST).is_file():
                raise UserError(f"{folder} was not written by vosbench prepare: choose another output, or remove it")
            manifest = {} if overwrite else read_json(folder / MANIFEST, "", "set overwrite=true, or another output")
            found, wanted = Fingerprint.read(manifest), _made_of(video, form)
            if not overwrite and found == wanted and _is_whole(folder, video):
                continue
            if not overwrite and found != wanted:
                differs = "; ".join(wanted.differences(found))
                raise UserError(f"{folder} was prepared otherwise ({differs}): set overwrite=true, or another output")
        todo.append(video)
    return todo


def _is_whole(folder: Path, video: Video) -> bool:
    """Whether a prepared folder still holds every frame."""
    there = {path.name for path in folder.iterdir() if path.stat().st_size}
    return there.issuperset(f"{name}.jpg" for name in video.frame_names)


def _made_of(video: Video, form: _Form) -> Fingerprint:
    """The fingerprint of a prepared video: its frames and annotations, and the form in which they are written."""
    data = data_digest([video.fingerprint(), video.annotation_fingerprint()])
    return Fingerprint(sources(["vosbench.video.images"]), settings(asdict(form), _Form), data)


def _write(video: Video, images: Path, labels: Path, form: _Form) -> None:
    """Writes one video. The folder of frames and manifest is moved into place last, so an existing one is complete."""
    with _aside(images / video.name) as frames, _aside(labels / video.name) as masks:
        frames.mkdir()
        for index, name in enumerate(video.frame_names):
            frame = video.frame(index)
            height, width = form.shape(frame)
            image = Pillow.fromarray(resize_image(frame, height, width))
            image.save(frames / f"{name}.jpg", quality=form.quality)
            annotation = video.annotation(index)
            if annotation is not None:
                masks.mkdir(exist_ok=True)
                write_label_map(masks / f"{name}.png", resize_labels(annotation, height, width))
        (frames / MANIFEST).write_text(json.dumps(_made_of(video, form).asdict()), encoding="utf-8")


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A temporary path that replaces `path` at the end; after an error it is removed."""
    aside = path.with_name(f".{path.name}.part")
    _remove(aside)
    try:
        yield aside
        if path.is_dir():
            shutil.rmtree(path)
        if aside.exists():
            aside.replace(path)
    finally:
        _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
