"""Features of videos on disk: each video is encoded once per network and size, however often labels are propagated."""

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float16
from torch import Tensor

from vosbench.contract import F
from vosbench.runs.identity import digest
from vosbench.util.errors import UserError
from vosbench.util.files import replacing
from vosbench.util.reading import reading

log = logging.getLogger(__name__)
DIGEST = re.compile(r"[0-9a-f]{16}")  # names of the folders of videos
Stored = Float16[np.ndarray, "..."]
# The settings that features depend on, by the beginning of their dotted keys.
SETTINGS = (
    *("method.backbone", "method.stride", "method.matching.mean", "method.matching.std", "method.matching.positions"),
    *("inference", "precision", "weights"),
)
# Those of `inference` that only masks and results depend on.
OTHERS = ("inference.output", "inference.first_mask", "inference.remember", "inference.joints")


@runtime_checkable
class Stores(Protocol[F]):
    """The interface of methods whose features can be kept on disk."""

    def to_tensor(self, features: F) -> Tensor:
        """All that a frame's features consist of."""
        ...

    def from_tensor(self, tensor: Tensor) -> F:
        """The inverse."""
        ...


class FeatureCache(Generic[F]):
    """The features of one video, a file for each frame, in half precision.

    Files carry a checksum, which NumPy's format gives them: one that is damaged is made again. So is what is missing,
    after an interrupt. The first use rounds features, too, so that every use gives the same result. While the folder
    holds more than `limit` bytes, the features of the videos that were used the longest time ago are removed; other
    files in it are left alone.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], limit: int) -> None:
        self.folder, self.limit = folder, limit
        self.own = folder / digest(identity)
        self.own.mkdir(parents=True, exist_ok=True)
        self.own.touch()
        self._room = limit - _size(folder)

    def features(self, method: Stores[F], index: int, encode: Callable[[], F], device: torch.device) -> F:
        """Those of frame `index`, read or made."""
        path = self.own / f"{index:05d}.npz"
        stored = _read(path)
        if stored is None:
            # Ordered as files are: sums in another order may move a pixel.
            stored = np.ascontiguousarray(method.to_tensor(encode()).half().cpu().numpy())
            self._write(path, stored)
        return method.from_tensor(torch.from_numpy(stored).to(device).float())

    def _write(self, path: Path, values: Stored) -> None:
        self._room -= values.nbytes
        if self._room < 0:
            self._room += _make_room(self.folder, self.own, values.nbytes)
        if self._room >= 0:
            with replacing(path) as aside, aside.open("wb") as file:
                np.savez(file, features=values)


def identity_of(recipe: Mapping[str, str], code: Mapping[str, str], weights: str, frames: str) -> dict[str, Any]:
    """What features depend on. `frames`: a digest of the video's frames."""
    kept = {key: value for key, value in recipe.items() if key.startswith(SETTINGS) and not key.startswith(OTHERS)}
    return {"recipe": kept, "code": dict(code), "weights": weights, "frames": frames}


def _read(path: Path) -> Stored | None:
    """The values of a file; None if there is none, or a damaged one."""
    if not path.is_file():
        return None
    try:
        with reading(path, "features", "they are made again"), path.open("rb") as file, np.load(file) as arrays:
            values: Stored = arrays["features"]
    except UserError as error:
        log.warning("%s", error)
        return None
    return values


def _videos(folder: Path) -> list[Path]:
    """The folders of videos in a folder that may hold anything else, too."""
    return [path for path in folder.iterdir() if DIGEST.fullmatch(path.name) and path.is_dir()]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for video in _videos(folder) for path in video.glob("*.npz"))


def _make_room(folder: Path, own: Path, wanted: int) -> int:
    """Removes the features of other videos, oldest first, until so many bytes are free. Returns how many are."""
    freed = 0
    for other in sorted(_videos(folder), key=lambda path: path.stat().st_mtime):
        if other == own or freed >= wanted:
            continue
        for path in other.glob("*.npz"):
            freed += path.stat().st_size
            path.unlink()  # the folder stays, as another process may be writing to it
    if freed < wanted:
        log.warning("%s is full: further features are not kept (cache_features_gb)", folder)
    return freed
