"""Files of the positions of joints, `joints.json`: {"<frame>": [[x, y], null, …], …}, with null for a lost joint.

No torch: scoring processes import it.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vosbench.util.errors import UserError
from vosbench.util.files import replace_file
from vosbench.util.plain import fits
from vosbench.util.reading import read_json
from vosbench.video.video import Joints

NAME = "joints.json"
CONTENT = dict[str, list[tuple[float, float] | None]]
LOST = (np.nan, np.nan)


def write_joints(folder: Path, frames: Mapping[str, Joints]) -> None:
    """Writes the positions of joints, in pixels of the original frames, by the names of the frames."""
    content = {
        name: [None if np.isnan(place).any() else place.tolist() for place in places] for name, places in frames.items()
    }
    replace_file(folder / NAME, (json.dumps(content) + "\n").encode())


def read_joints(path: Path) -> dict[str, Joints]:
    """The inverse; NaN for lost joints. Raises UserError naming a file that holds anything else."""
    content = read_json(path, "joints", "predict again, or remove it")
    if not fits(content, CONTENT):
        raise UserError(f"{path} holds no positions of joints: write {{<frame>: [[x, y], null, …], …}}")
    return {
        name: np.array([LOST if place is None else place for place in places], np.float64).reshape(-1, 2)
        for name, places in content.items()
    }
