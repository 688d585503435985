"""`vosbench pack`: label maps as a submission for a benchmark's server (a zip of indexed PNGs), or as COCO RLE.

If anything is wrong with them, all problems are listed at once and nothing is written.
"""

import filecmp
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile, ZipInfo

import numpy as np
from rich.progress import track

from vosbench.evaluation.metrics import ids_of
from vosbench.evaluation.predictions.label_maps import LabelMaps, Source, open_source
from vosbench.evaluation.predictions.rle import write_rle
from vosbench.evaluation.protocols.protocol import Protocol, SubmissionFormat, all_protocols, protocol_named
from vosbench.settings.making import made
from vosbench.settings.options import FileName, Placed, Where
from vosbench.util.errors import Problems, UserError
from vosbench.util.files import naming, replacing
from vosbench.util.wording import rows_columns, some
from vosbench.video.images import write_label_map
from vosbench.video.palette import VOID
from vosbench.video.video import Dataset, LabelMap, Video

log = logging.getLogger(__name__)

GROUPED = 5  # if more sequences have the same problem, they share one line
SMOOTHED = 5  # if a frame has more unknown ids, they are reported together
VOID_HINT = " (255 is void in annotations: save objects as 1, 2, …)"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The top-level keys of conf/pack.yaml, which explains them."""

    dataset: Placed[dict[str, Any]]
    predictions: FileName
    output: Where[FileName]
    format: Where[str | None]
    overwrite: Where[bool]


RLE = SubmissionFormat(listed_only=True)


def run(options: Options) -> None:
    """Raises Problems that list everything wrong with the label maps. Raises UserError for a submission of part of a
    data set, for an unknown format, and for an existing output that holds other label maps."""
    output, predictions = Path(options.output), Path(options.predictions)
    if output.suffix not in (".zip", ".json"):
        raise UserError(f"output={output} must end in .zip (a submission) or .json (COCO RLE)")
    dataset: Dataset = made(options.dataset, "dataset")
    what, format_ = _format(options, protocol_named(dataset.protocol))
    is_rle, ignored = format_ is RLE, bool(_parts(options))
    submission = Submission(dataset.videos, open_source(predictions), format_, whole=not is_rle, ignore_extra=ignored)
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as aside:
        if is_rle:
            write_rle(aside, submission.label_maps())
        else:
            write_zip(aside, format_.top, submission.label_maps())
        if found := submission.problems():
            head = f"{predictions} makes no {what} for {dataset.name} {dataset.split}"
            raise Problems(f"{head}; nothing was written, mend these first", found)
        if output.exists() and not options.overwrite and not filecmp.cmp(output, aside, shallow=False):
            raise UserError(f"{output} exists and holds other label maps: choose another output, or overwrite=true")
    if left_out := submission.left_out:
        log.info("%d frame(s) that are not asked for were left out: %s", len(left_out), some(left_out))
    frames, size = submission.packed, output.stat().st_size / 1e6
    log.info("%s holds %d label maps of %d sequences (%.1f MB)", output, frames, len(dataset.videos), size)


def _format(options: Options, protocol: Protocol) -> tuple[str, SubmissionFormat]:
    """The name of the output's kind, and its format. Raises UserError for an unknown format. Also raises it for part of
    a data set if the format requires all of it, naming the keys that leave out videos or frames."""
    if options.output.endswith(".json"):
        if options.format:
            raise UserError(f"format={options.format} is of submissions, which are .zip files: leave it out")
        return "COCO RLE", RLE
    name = options.format or protocol.name
    formats = {each.name: each.submission for each in all_protocols() if each.submission}
    if name not in formats:
        choice = f"set format to one of: {', '.join(formats)}; or output=<file>.json"
        raise UserError(f"{name} is no format of submissions: {choice}")
    keys = _parts(options)
    if options.dataset.get("frames") == "annotated" and not formats[name].listed_only:
        keys.append("frames")
    if keys:
        chosen = ", ".join(f"dataset.{key}={options.dataset[key]}" for key in keys)
        whole = "use the whole one, or output=<file>.json"
        raise UserError(f"a submission holds the whole data set, but {chosen} makes it a part: {whole}")
    return f"{name} submission", formats[name]


def _parts(options: Options) -> list[str]:
    """The keys that restrict the data set to a part."""
    return [key for key in ("sequences", "exclude", "max_frames") if options.dataset.get(key)]


def write_zip(path: Path, top: str, videos: Iterable[tuple[str, Iterable[tuple[str, LabelMap]]]]) -> None:
    """Writes `<top><sequence>/<frame>.png`, indexed with the VOC palette. Equal label maps give equal bytes.

    PNGs are already compressed, so the zip only stores them. Raises UserError if the zip does not read back correctly.
    """
    written = []
    with ZipFile(path, "w") as archive, TemporaryDirectory() as folder:
        png = Path(folder, "label_map.png")
        for sequence, frames in videos:
            for frame, labels in frames:
                with naming(png):
                    write_label_map(png, labels)
                entry = ZipInfo(f"{top}{sequence}/{frame}.png")  # dated 1980: the time of writing must not matter
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, png.read_bytes())
                written.append(entry.filename)
    with ZipFile(path) as archive:
        if archive.testzip() is not None or archive.namelist() != written:
            raise UserError(f"{path} does not read back as it was written: check the disk and repeat the command")


@dataclass
class Submission:
    """A stream of label maps into a file, which collects their problems as they pass.

    whole         require what a server does: the whole data set, no unknown objects, and given masks unchanged
    ignore_extra  accept sequences that the data set does not have, because it was restricted to a part
    left_out      frames that are present but not part of the format
    packed        number of label maps passed so far
    """

    videos: Sequence[Video]
    source: Source
    format: SubmissionFormat
    whole: bool = True
    ignore_extra: bool = False
    left_out: list[str] = field(default_factory=list)
    packed: int = 0
    _missing: list[str] = field(default_factory=list)
    _found: dict[str, dict[str, list[str]]] = field(default_factory=dict)  # problem → sequence → frames

    def label_maps(self) -> Iterator[tuple[str, Iterator[tuple[str, LabelMap]]]]:
        """Sequences and their label maps, with a progress bar. Only label maps of their frame's size pass."""
        for video in track(self.videos, "packing"):
            maps = self.source.sequence(video.name)
            if maps is None:
                self._missing.append(video.name)
            else:
                yield video.name, self._checked(copy(video), maps)  # the copy's cache of given masks is freed with it

    def problems(self) -> list[str]:
        """One line for each problem of a sequence; one line for all sequences that share it if they are many."""
        lines = [] if self.ignore_extra else self.source.problems([video.name for video in self.videos])
        if self._missing:
            lines.append(f"{len(self._missing)} of {len(self.videos)} sequences are missing: {some(self._missing)}")
        for problem, where in self._found.items():
            if len(where) > GROUPED:
                frames = sum(map(len, where.values()))
                lines.append(f"{len(where)} sequences ({some(where)}){f', {frames} frames' * bool(frames)}: {problem}")
            else:
                lines += [f"{name}{_named(frames)}: {problem}" for name, frames in where.items()]
        return lines

    def _checked(self, video: Video, maps: LabelMaps) -> Iterator[tuple[str, LabelMap]]:
        names = self._names(video, maps)
        starts = self._starts(video) if self.whole else {}
        for index, name in enumerate(video.frame_names):
            labels = self._read(video, index, maps) if name in names else None
            if labels is not None:
                for problem in _wrong_objects(labels, video, index, starts) if starts else []:
                    self._note(problem, video, name)
                self.packed += 1
                yield name, labels

    def _names(self, video: Video, maps: LabelMaps) -> set[str]:
        """The frames that the format asks for and that are present."""
        for problem in maps.problems:
            self._note(problem, video)
        asked = [name for name in video.frame_names if not self.format.listed_only or video.is_listed(name)]
        extra = sorted(set(maps.names) - set(asked))
        if self.format.listed_only:
            self.left_out += [f"{video.name}/{name}" for name in extra]
        elif extra:
            self._note("frames that the video does not have", video, *extra)
        if missing := [name for name in asked if name not in maps.names]:
            self._note("frames without label map", video, *missing)
        return set(asked) - set(missing)

    def _starts(self, video: Video) -> dict[int, int]:
        """For each object, the index of the frame where it is given; empty if that is unknown."""
        try:
            given = {index: video.given(index) for index in range(len(video.frame_names))}
        except UserError as error:
            alike = str(error).replace(f"video {video.name} ", "the video ")
            self._note(f"the data set does not say what objects there are: {alike}", video)
            return {}
        starts = {id_: index for index, labels in given.items() if labels is not None for id_ in ids_of(labels)}
        if not starts:
            self._note("the data set does not say what objects there are: it has no masks to start from", video)
        return starts

    def _read(self, video: Video, index: int, maps: LabelMaps) -> LabelMap | None:
        """The label map of a frame if it has the frame's size, else None."""
        name = video.frame_names[index]
        try:
            size = video.frame_size(index)
            labels = maps.read(name) if maps.size in (None, size) else None
        except UserError as error:
            alike = str(error).replace(f"{video.name}/{name}", "<sequence>/<frame>")
            self._note(alike, video, name)
            return None
        if labels is not None and labels.shape == size:
            return labels
        found, wanted = rows_columns(maps.size or () if labels is None else labels.shape), rows_columns(size)
        self._note(f"{found} (rows×columns), the frame is {wanted}: save it at the original size", video, name)
        return None

    def _note(self, problem: str, video: Video, *frames: str) -> None:
        self._found.setdefault(problem, {}).setdefault(video.name, []).extend(frames)


def _wrong_objects(labels: LabelMap, video: Video, index: int, starts: Mapping[int, int]) -> Iterator[str]:
    """Problems with the objects of a frame. starts: for each object, the index of the frame where it is given."""
    ids = sorted(ids_of(labels))
    unknown = [id_ for id_ in ids if id_ not in starts]
    if len(unknown) > SMOOTHED:
        yield f"many ids that are none of its objects {_listed(starts)}, as in a smoothed mask: save object ids"
    else:
        yield from (f"id {id_} is none of its objects {_listed(starts)}{VOID_HINT * (id_ == VOID)}" for id_ in unknown)
    for id_ in ids:
        if starts.get(id_, 0) > index:
            yield f"object {id_} is there before frame {video.frame_names[starts[id_]]}, which introduces it"
    given = video.given(index)
    if given is not None:
        new = [id_ for id_, start in starts.items() if start == index]
        if not np.array_equal(np.where(np.isin(labels, new), labels, 0), given):
            yield "not the mask that is given there: copy the data set's annotation of this frame"


def _listed(ids: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(ids)))


def _named(frames: Sequence[str]) -> str:
    return f", {len(frames)} frame(s) ({some(frames)})" if frames else ""
