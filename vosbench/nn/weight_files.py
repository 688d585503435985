"""Reading files of weights: PyTorch's and safetensors."""

import json
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vosbench.util.errors import UserError

# Supervision of old weights, which do not state it, by the last part of the method's name that they state.
UNSAID = {
    "mamp": "self-supervised",
    "dino": "self-supervised",
    "mask_embedding": "self-supervised",
    "maskembedding": "self-supervised",
    "munet": "supervised",
}


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights, and vosbench's own metadata (empty for foreign files). Raises UserError naming an unreadable file.

    Its key `supervision` says how the weights learned, if that is known.
    """
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                metadata = json.loads((file.metadata() or {}).get("vosbench", "{}"))
                return {key: file.get_tensor(key).float() for key in file.keys()}, _said(metadata)  # noqa: SIM118
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, SafetensorError, EOFError, KeyError, ValueError, UnpicklingError) as error:
        raise UserError(
            f"cannot read checkpoint {path}: {str(error).splitlines()[0]}; give a whole file, or remove it"
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"checkpoint {path} holds a {type(content).__name__}, no weights by name: give another file")
    state = content.get("state_dict", content)
    metadata = content.get("vosbench", {})
    if metadata:
        state = {key.removeprefix("method."): value for key, value in state.items()}
        metadata = _said({**metadata, "steps": content.get("global_step")})
    return state, metadata


def _said(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata; an old file's supervision is added from its method."""
    found = UNSAID.get(str(metadata.get("method")).rpartition(".")[2].lower())
    return {"supervision": found, **metadata} if found else metadata
