"""What makes two runs the same."""

import hashlib
import json
from typing import Any

from vosbench.video.video import Video


def hash_of(content: Any) -> str:
    """A digest of plain data (resolved configuration, file names and sizes)."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def hash_input(video: Video) -> str:
    """A digest of a video's frame names, which of these are saved, the sizes of its files, and its given masks."""
    digest = hashlib.sha256(json.dumps([video.name, video.frame_names, video.file_sizes()]).encode())
    if video.listed is not None:
        digest.update(json.dumps(sorted(video.listed)).encode())
    for index in range(len(video.frame_names)):
        given = video.given(index)
        if given is not None:
            digest.update(f"{index} {given.shape}".encode() + given.tobytes())
    return digest.hexdigest()[:16]
