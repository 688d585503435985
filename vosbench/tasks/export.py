"""`vosbench export`: a checkpoint's weights as one small file (safetensors, float16) with a model card."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from vosbench.evaluation.results import records
from vosbench.method import Method
from vosbench.nn.weight_files import digest_of
from vosbench.settings.making import made
from vosbench.settings.options import FileName, Where
from vosbench.util.errors import UserError
from vosbench.util.files import replace_file
from vosbench.util.supervision import Supervision, strongest
from vosbench.weights.loading import restore
from vosbench.weights.origin import Checkpoint, name_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The keys of conf/export.yaml, which explains them."""

    method: dict[str, Any]
    checkpoint: FileName
    overwrite: Where[bool]
    output: Where[FileName]
    record: Where[FileName | None]
    licence: Where[str]
    notes: Where[str]


def run(options: Options) -> None:
    """Raises UserError for an untrained method, a wrong file name, and an existing file unless `overwrite`."""
    path = Path(options.output)
    if path.suffix != ".safetensors":
        raise UserError(f"output={path} must end in .safetensors")
    if path.exists() and not options.overwrite:
        raise UserError(f"{path} exists: choose another output, or overwrite=true")
    if options.checkpoint == "none":
        raise UserError("checkpoint=none has nothing to export: name a file or a run folder")
    method = made(options.method, "method", _convert_="all")
    checkpoint = restore(method, options.checkpoint, seed=0)
    metadata = {
        "method": name_of(method),
        "supervision": _supervision(method, checkpoint),
        "colours": method.colours,
        "training_data": checkpoint.training_data,
        "steps": checkpoint.steps,
        "processes": checkpoint.processes,
        "training": checkpoint.training,
        "licence": options.licence,
    }
    counted = {key for key, _ in method.named_buffers()}
    tensors = {key: _small(tensor, exact=key in counted) for key, tensor in method.state_dict().items()}
    content = save(tensors, {"vosbench": json.dumps({**metadata, "sha256": digest_of(tensors)})})
    parameters = sum(parameter.numel() for parameter in method.parameters())
    text = card(options, method, checkpoint, parameters, len(content))
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content, synced=True)
    replace_file(path.with_suffix(".md"), text.encode(errors="replace"))
    log.info("wrote %s (%.1f MB) and its card %s", path, path.stat().st_size / 1e6, path.with_suffix(".md"))


def _supervision(method: Method[Any, Any], checkpoint: Checkpoint) -> Supervision:
    return strongest(method.supervision, checkpoint.supervision or "none")


def _small(tensor: torch.Tensor, *, exact: bool) -> torch.Tensor:
    """The tensor in float16, or unchanged if float16 cannot hold its values.

    exact  values must also stay nonzero and precise up to rounding, as for a running variance, by which activations are
           divided. (Other tiny weights may become 0.)
    """
    if not tensor.is_floating_point():
        return tensor.contiguous()
    half = tensor.half()
    fits = half.isfinite().all() and (not exact or torch.allclose(half.float(), tensor.float(), rtol=1e-3, atol=0))
    return (half if fits else tensor).contiguous()


def card(options: Options, method: Method[Any, Any], checkpoint: Checkpoint, parameters: int, size: int) -> str:
    """The model card, in Markdown. `size`: of the file of weights, in bytes."""
    lines = [
        f"# {Path(options.output).stem}",
        "",
        options.notes,
        "",
        "| | |",
        "|---|---|",
        f"| method | `{name_of(method)}` |",
        f"| parameters | {parameters:,} (float16, {size / 1e6:.1f} MB) |",
        f"| supervision | {_supervision(method, checkpoint)} |",
        f"| trained on | {', '.join(checkpoint.training_data) or 'unknown'} |",
        f"| steps | {checkpoint.steps if checkpoint.steps is not None else 'unknown'} |",
        f"| licence of the weights | {options.licence} |",
    ]
    if options.record:
        record = records.read(Path(options.record))
        scores = ", ".join(f"{name} {100 * value:.1f}" for name, value in record.scores.items() if "Mean" in name)
        where = f"{record.dataset} {record.split}, {record.resolution}, protocol {record.protocol}"
        lines += [
            f"| score | {scores} (percent; {where}) |",
            f"| scored by | `{(record.provenance or {})['command']}` |",
        ]
    return "\n".join(lines) + "\n"
