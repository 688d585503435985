"""`vosbench export`: a checkpoint's weights as one small file (safetensors) with a model card.

The file counts as written once it has been read back and gives the scores of the checkpoint on a made-up clip.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vosbench.evaluation.board.rows import Row
from vosbench.evaluation.board.statistics import Interval, bootstrap
from vosbench.evaluation.results import records
from vosbench.method import Method
from vosbench.nn.weight_files import read_safetensors
from vosbench.runs.trainings import commands, total_hours
from vosbench.settings.making import factory, made
from vosbench.settings.options import FileName, Where
from vosbench.util.errors import UserError
from vosbench.util.files import replacing
from vosbench.weights.card import card
from vosbench.weights.comparing import difference
from vosbench.weights.index import Facts, Score
from vosbench.weights.loading import restore
from vosbench.weights.origin import Checkpoint, name_of
from vosbench.weights.writing import Dtype, content, supervision

log = logging.getLogger(__name__)

APART = 0.005  # most that scores may differ on average; float16 makes less than a fifth of it, in trained networks
USE = (
    "Research on video object segmentation: following objects through a video from their masks in one frame. Not where "
    "a wrong mask does harm."
)
LIMITS = (
    "How well they do on data without a score here is not known. Objects that look alike, that are thin or fast, or "
    "that are hidden for long are lost more often than others."
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The keys of conf/export.yaml, which explains them."""

    method: dict[str, Any]
    memory: dict[str, Any]
    inference: dict[str, Any]
    choice: Where[str]
    checkpoint: FileName
    dtype: Where[Dtype]
    overwrite: Where[bool]
    output: Where[FileName]
    record: Where[FileName | list[FileName] | None]
    licence: Where[str]
    notes: Where[str]
    use: Where[str | None]
    limits: Where[str | None]


def run(options: Options) -> None:
    """Writes `output` and its card.

    Raises UserError for an untrained method, for weights that are not finite or whose scores the file does not give,
    for a record of other weights, for a wrong file name, and for an existing file unless `overwrite`.
    """
    path = _output(options)
    if options.checkpoint == "none":
        raise UserError("checkpoint=none has nothing to export: name a file or a run folder")
    torch.set_flush_denormal(True)
    method = made(options.method, "method", _convert_="all")
    checkpoint = restore(method, options.checkpoint, seed=0)
    scores = [_score(Path(record), checkpoint) for record in _listed(options.record)]
    weights = content(method, checkpoint, options.licence, options.dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, synced=True) as aside, replacing(path.with_suffix(".md")) as card_aside:
        aside.write_bytes(weights)
        facts = _facts(options, method, checkpoint, scores, _exactness(aside, method, options))
        text = card(path.stem, len(weights), facts, checkpoint=path.name)
        card_aside.write_bytes(text.encode(errors="replace"))
    log.info("wrote %s (%.1f MB) and its card %s", path, len(weights) / 1e6, path.with_suffix(".md"))
    log.info("to use it: vosbench predict %s checkpoint=%s input=<video> mask=<PNG>", options.choice, path)


def _output(options: Options) -> Path:
    path = Path(options.output)
    if path.suffix != ".safetensors":
        raise UserError(f"output={path} must end in .safetensors")
    for file in (path, path.with_suffix(".md")):
        if file.exists() and not options.overwrite:
            raise UserError(f"{file} exists: choose another output, or overwrite=true")
    return path


def _score(path: Path, checkpoint: Checkpoint) -> Score:
    """The scores of a record. Raises UserError if there is none, or it is of other weights."""
    if not path.is_file():
        raise UserError(f"record={path} does not exist: give a result record, <run>/results/<name>.json")
    record = records.read(path)
    scored = record.checkpoint.get("sha256") if isinstance(record.checkpoint, dict) else record.checkpoint
    if scored != checkpoint.sha256:
        raise UserError(f"record={path} is of other weights than checkpoint={checkpoint.name}: benchmark those first")
    row = Row(record)
    named = [row.measure.name, *(name for name in record.scores if "Mean" in name)]
    return Score(
        values={name: 100 * record.scores[name] for name in named},
        interval=_percent(bootstrap(row.sample)),
        where=f"{record.dataset} {record.split}, {record.resolution}, protocol {record.protocol}",
        command=str((record.provenance or {}).get("command", "unknown")),
    )


def _listed(records: str | list[str] | None) -> list[str]:
    return [records] if isinstance(records, str) else records or []


def _percent(interval: Interval | None) -> tuple[float, float] | None:
    if interval is None or interval.low is None or interval.high is None:
        return None
    return 100 * interval.low, 100 * interval.high


def _exactness(file: Path, method: Method[Any, Any], options: Options) -> str:
    """How close the scores of the written file are to the method's, in a sentence. Raises UserError if too far."""
    again = made(options.method, "method", _convert_="all")
    again.load_state_dict(read_safetensors(file)[0])
    memory, inference = factory(options.memory, "memory", _convert_="all"), made(options.inference, "inference")
    found, name = difference(method, again, memory, inference), options.checkpoint
    if found.mean != found.mean:
        raise UserError(f"checkpoint {name} gives scores that are no numbers: name an earlier file, or train again")
    if found.mean > APART:
        told = f"scores of checkpoint {name} change by {found.mean:.2g} on average in {options.dtype}"
        raise UserError(f"{told}, more than {APART:g}: set dtype=float32")
    return (
        f"The weights are in {options.dtype}. On a made-up clip, the scores of pixels (0 to 1) differ from those of "
        f"the checkpoint by {found.mean:.1g} on average and by {found.most:.1g} at most. Of the pixels, "
        f"{100 * found.relabelled:.2g} % get another label."
    )


def _facts(
    options: Options, method: Method[Any, Any], checkpoint: Checkpoint, scores: Sequence[Score], exactness: str
) -> Facts:
    return Facts(
        choice=options.choice,
        algorithm=name_of(method),
        parameters=sum(parameter.numel() for parameter in method.parameters()),
        supervision=supervision(method, checkpoint),
        data=checkpoint.training_data,
        steps=checkpoint.steps,
        hours=total_hours(checkpoint.training),
        recipe=commands(checkpoint.training) if checkpoint.training else [],
        licence=options.licence,
        notes=options.notes,
        use=options.use or USE,
        limits=options.limits or LIMITS,
        exactness=exactness,
        scores=scores,
    )
