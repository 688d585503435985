"""Predicted positions of joints: any folder of `<sequence>/joints.json`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vosbench.util.errors import UserError
from vosbench.util.files import hash_files
from vosbench.util.wording import some
from vosbench.video.joint_files import NAME, read_joints
from vosbench.video.video import Joints


@dataclass(frozen=True)
class JointPositions:
    """The predicted joints of one sequence; it is sent to scoring processes.

    frames    by name, in pixels of the frame, NaN for lost joints
    problems  found when the file was read, one sentence each
    """

    path: Path
    frames: Mapping[str, Joints] = field(repr=False)
    problems: list[str]

    @property
    def names(self) -> Collection[str]:
        return self.frames.keys()

    def digest(self) -> str:
        """sha256 over name and content of the file."""
        return hash_files([(self.path.name, self.path)])


class JointFolder:
    """`<path>/<sequence>/joints.json`. Raises UserError for a missing folder. Other files are ignored."""

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise UserError(f"predictions folder {path} does not exist: give the folder that holds <sequence>/{NAME}")
        self.path = path

    def sequence(self, name: str) -> JointPositions | None:
        """The joints of a sequence, or None if there are none."""
        path = self.path / name / NAME
        if not path.exists():
            return None
        try:
            return JointPositions(path, read_joints(path), [])
        except UserError as error:
            return JointPositions(path, {}, [str(error)])

    def problems(self, known: Collection[str]) -> list[str]:
        """Sequences that should not be there; `known`: those of the data set."""
        others = sorted(path.parent.name for path in self.path.glob(f"[!.]*/{NAME}") if path.parent.name not in known)
        return [f"{len(others)} sequence(s) that the data set does not have: {some(others)}"] if others else []
