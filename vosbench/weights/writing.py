"""Exported weights: the content of a file that holds them and what vosbench has to know of them."""

import json
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import Tensor

from vosbench.method import Method
from vosbench.nn.weight_files import digest_of
from vosbench.util.errors import UserError
from vosbench.util.supervision import Supervision, strongest
from vosbench.weights.origin import Checkpoint, name_of

Dtype = Literal["float16", "float32"]


def content(method: Method[Any, Any], checkpoint: Checkpoint, licence: str, dtype: Dtype) -> bytes:
    """The file of a method's weights, which came from `checkpoint`. Raises UserError if some are not finite."""
    _refuse_infinite(method, checkpoint.name)
    metadata = {
        "method": name_of(method),
        "supervision": supervision(method, checkpoint),
        "colours": method.colours,
        "training_data": checkpoint.training_data,
        "steps": checkpoint.steps,
        "processes": checkpoint.processes,
        "training": checkpoint.training,
        "licence": licence,
    }
    counted, small = {key for key, _ in method.named_buffers()}, dtype == "float16"
    tensors = {
        key: _small(tensor, exact=key in counted) if small else tensor.contiguous()
        for key, tensor in method.state_dict().items()
    }
    return save(tensors, {"vosbench": json.dumps({**metadata, "sha256": digest_of(tensors)})})


def supervision(method: Method[Any, Any], checkpoint: Checkpoint) -> Supervision:
    """How the weights learned."""
    return strongest(method.supervision, checkpoint.supervision or "none")


def _refuse_infinite(method: Method[Any, Any], checkpoint: str) -> None:
    counts = {key: int((~tensor.isfinite()).sum()) for key, tensor in method.state_dict().items()}
    if wrong := [f"{count} in {key}" for key, count in counts.items() if count]:
        raise UserError(
            f"checkpoint {checkpoint} has weights that are infinite or no numbers ({wrong[0]}"
            f"{f', and in {len(wrong) - 1} more' if len(wrong) > 1 else ''}): its training diverged; name an earlier "
            "file, or train again with a lower optimizer.lr"
        )


def _small(tensor: Tensor, *, exact: bool) -> Tensor:
    """The tensor in float16, or unchanged if float16 cannot hold its values.

    exact  values must also stay nonzero and precise up to rounding, as for a running variance, by which activations are
           divided. (Other tiny weights may become 0.)
    """
    if not tensor.is_floating_point():
        return tensor.contiguous()
    half = tensor.half()
    fits = half.isfinite().all() and (not exact or torch.allclose(half.float(), tensor.float(), rtol=1e-3, atol=0))
    return (half if fits else tensor).contiguous()
