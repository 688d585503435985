"""Reading files of weights: PyTorch's and safetensors."""

import hashlib
import json
import re
import zipfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor
from torch.serialization import safe_globals

from vosbench.runs import trainings
from vosbench.util.errors import UserError
from vosbench.util.hub import local
from vosbench.util.plain import misfits
from vosbench.util.reading import reading
from vosbench.util.supervision import Supervision

WITHIN = ("state_dict", "teacher", "model")  # where files of trainings keep the weights
REMEDY = "give a whole file, or remove it"
# Supervision of old weights, which do not state it, by the last part of the method's name that they state.
UNSAID = {
    "mamp": "self-supervised",
    "dino": "self-supervised",
    "mask_embedding": "self-supervised",
    "maskembedding": "self-supervised",
    "munet": "supervised",
}
METADATA = {  # vosbench's own; earlier versions did not write all of it
    "method": str | None,
    "colours": str | None,
    "commits": list[str | None] | None,
    "training_data": list[str] | None,
    "supervision": str | None,
    "steps": int | None,
    "processes": list[int] | None,
    "training": dict[str, Any] | None,
    "sha256": str | None,
}


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights, and vosbench's own metadata (empty for foreign files). Raises UserError naming an unreadable file.

    Its key `supervision` says how the weights learned, if that is known.
    """
    state, metadata = read_safetensors(path) if path.suffix == ".safetensors" else _pytorch(path)
    if not isinstance(metadata, Mapping) or misfits(metadata, METADATA) or _is_odd(metadata.get("training")):
        raise UserError(f"cannot read checkpoint {path}: what it says of its training is damaged; {REMEDY}")
    return state, _said(metadata) if metadata else {}


def read_named(name: str, key: str, remedy: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `read` gives of the file (also hf:…) that the option `key` names. Raises UserError if there is none, with a
    `remedy`."""
    if not (file := local(name)).is_file():
        raise UserError(f"{key}={name} is no file: {remedy}")
    return read(file)


def origin_of(name: str, metadata: Mapping[str, Any]) -> tuple[tuple[str, ...], Supervision]:
    """Training data and supervision of the weights in a file. A foreign file's name stands for its data, and it counts
    as supervised."""
    return tuple(metadata.get("training_data", [local(name).name])), metadata.get("supervision", "supervised")


def widened(state: Mapping[str, Tensor], key: str, kernel: Float[Tensor, "n c h w"]) -> dict[str, Tensor]:
    """Weights in which the kernel called `key`, if it is one for RGB, has the further input channels of `kernel`."""
    known = state.get(key)
    if known is None or known.shape != kernel[:, :3].shape:
        return dict(state)
    return {**state, key: torch.cat([known, kernel[:, 3:]], 1)}


def _is_odd(training: Mapping[str, Any] | None) -> bool:
    return training is not None and bool(misfits(training, trainings.FIELDS))


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    with reading(path, "checkpoint", REMEDY):
        _refuse_empty(path)
        with safe_open(path, "pt") as file:
            metadata = json.loads((file.metadata() or {}).get("vosbench", "{}"))
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        if isinstance(metadata, dict) and metadata.get("sha256") not in (None, digest_of(state)):
            raise ValueError("it is damaged: its weights do not have their checksum")
        return {key: tensor.float() for key, tensor in state.items()}, metadata


def digest_of(state: Mapping[str, Tensor]) -> str:
    """A checksum of weights: sha256, in hexadecimal digits."""
    digest = hashlib.sha256()
    for key in sorted(state):
        tensor = state[key].contiguous()
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _pytorch(path: Path) -> tuple[dict[str, Tensor], Any]:
    with reading(path, "checkpoint", REMEDY):
        _refuse_empty(path)
        _check_sums(path)
        try:
            with safe_globals([Namespace]):  # of command lines, which training scripts keep beside weights
                content = torch.load(path, map_location="cpu", weights_only=True)
        except UnpicklingError as error:  # which advises to load the file unsafely
            raise ValueError(_unsafe(str(error))) from error
    if not isinstance(content, dict):
        raise UserError(f"checkpoint {path} holds a {type(content).__name__}, no weights by name: give another file")
    within = next((name for name in WITHIN if name in content and not isinstance(content[name], Tensor)), None)
    state, metadata = content if within is None else content[within], content.get("vosbench", {})
    named = state.items() if isinstance(state, dict) else ()
    state = {key: value for key, value in named if isinstance(key, str) and isinstance(value, Tensor)}
    if not state:
        raise UserError(f"checkpoint {path} holds no weights by name: give another file")
    if isinstance(metadata, dict) and metadata:
        state = {key.removeprefix("method."): value for key, value in state.items()}
        metadata = {**metadata, "steps": content.get("global_step")}
    return state, metadata


def _unsafe(said: str) -> str:
    """What is wrong with a file that does not hold weights alone."""
    found = re.search(r"GLOBAL (\S+)", said)
    return f"it holds {found[1]}, which is no weight" if found else "it is no file of weights"


def _check_sums(path: Path) -> None:
    """PyTorch's files are zip archives with a checksum of each part, which `torch.load` does not look at."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"it is damaged: {damaged} does not have its checksum")


def _refuse_empty(path: Path) -> None:
    if not path.stat().st_size:
        raise EOFError("it is empty")


def _said(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata; an old file's supervision is added from its method."""
    found = UNSAID.get(str(metadata.get("method")).rpartition(".")[2].lower())
    return {"supervision": found, **metadata} if found else dict(metadata)
