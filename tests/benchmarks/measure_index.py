"""A data set of the size of YouTube-VOS, generated: `python measure_index.py make <folder> <videos> <frames per video>`
writes it, and `python measure_index.py read <folder>` prints how long its index and its fingerprint take, as JSON.

A last number for `make` says that every so many frames have a mask: `make <folder> 3471 135 5` is as large as the tree
of all frames, and `make <folder> 3471 27` as that of annotated ones. Frames are small, since neither the index nor a
remembered fingerprint depends on their size.
"""

import io
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (36, 64)


def make(root: Path, videos: int, frames: int, every: int = 1) -> None:
    """In the layout of YouTube-VOS's training set: 2 objects a video, every so many frames annotated."""
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    labels = np.zeros(SIZE, np.uint8)
    labels[8:20, 8:20], labels[20:32, 30:50] = 1, 2
    names = [f"{5 // every * index:05}" for index in range(frames)]
    files = {
        "JPEGImages": (names, "jpg", encoded(noise, "JPEG")),
        "Annotations": (names[::every], "png", encoded(labels, "PNG")),
    }
    for video in (f"{index:010x}" for index in range(videos)):
        for kind, (chosen, ending, content) in files.items():
            folder = root / "train" / kind / video
            folder.mkdir(parents=True)
            for name in chosen:
                (folder / f"{name}.{ending}").write_bytes(content)
    objects = {str(id_): {"category": "person", "frames": names[::every]} for id_ in (1, 2)}
    meta = {"videos": {f"{index:010x}": {"objects": objects} for index in range(videos)}}
    (root / "train" / "meta.json").write_text(json.dumps(meta))


def encoded(picture: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind)
    return buffer.getvalue()


def read(root: Path) -> dict[str, float]:
    """Seconds to index the data set, to check that all of it can be read, to fingerprint it, and for a first clip; and
    the peak memory in MiB."""
    from vosbench.datasets.clips import Clips
    from vosbench.datasets.sampling import Strided
    from vosbench.datasets.youtube_vos import YoutubeVos
    from vosbench.training.datamodule import fingerprint_of
    from vosbench.video.leftovers import check_all_read

    found, began = {}, time.perf_counter()

    def lap(name: str) -> None:
        nonlocal began
        found[name] = time.perf_counter() - began
        began = time.perf_counter()

    dataset = YoutubeVos(str(root), "train")
    clips = Clips({"youtube_vos": {"dataset": dataset, "repeat": 1}}, Strided(), 32, labels=True)
    lap("index")
    check_all_read(dataset.videos, masks=True)
    lap("check")
    fingerprint_of(clips)
    lap("fingerprint")
    _ = clips[0]
    lap("clip")
    return {**found, "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10}


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]), *map(int, sys.argv[3:]))
    else:
        print(json.dumps(read(Path(sys.argv[2]))))
