"""The device and precision that a method computes with, and its peak memory."""

import resource
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch

from vosbench.util.errors import UserError

AUTOCAST = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
PEAK_RESET = Path("/proc/self/clear_refs")  # Linux: writing 5 there resets the process's peak memory


def device_named(name: str) -> torch.device:
    """The device `name`; `auto` is a GPU if there is one. Raises UserError for a device that torch does not have
    here."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"device={name} is not known: use auto, cpu, cuda or cuda:<number>")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device={name}: torch sees {torch.cuda.device_count()} GPUs here; use another, or device=cpu")
    return device


def device_name(device: torch.device) -> str:
    """What tables call a device: a GPU's model, or the processor with its number of threads."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"


def check_precision(precision: str) -> None:
    """Raises UserError for an unknown precision."""
    if precision not in AUTOCAST:
        raise UserError(f"precision={precision}: choose from {', '.join(AUTOCAST)}")


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """A context in which torch's autocast uses `precision` for the operations suited to it; the rest stay float32."""
    dtype = AUTOCAST[precision]
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def reset_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif PEAK_RESET.exists():
        with suppress(OSError):  # some containers forbid it; the peak is then that of the process's whole life
            PEAK_RESET.write_text("5")


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory since the last reset, of the GPU or of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
