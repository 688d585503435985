"""JHMDB, joints of people in video (Jhuang et al. 2013): 15 joints, a test of label propagation.

The data set was not available when this was written: the layout follows its own description (jhmdb.is.tue.mpg.de) and
the scripts of CRW and VFS.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from vosbench.datasets.folders import check_root, choose, list_images, subfolders
from vosbench.settings.options import Where
from vosbench.util.errors import HERE, UserError
from vosbench.util.text_files import read_lines
from vosbench.util.wording import some
from vosbench.video.joint_video import JointVideo
from vosbench.video.video import Frames, check_max_frames

FRAMES, JOINTS = "Rename_Images", "joint_positions"
SITE = "download it from jhmdb.is.tue.mpg.de"
TEST = "2"  # behind a video in a list; 1: it is for training


class Jhmdb:
    """Test videos of `splits/<class>_test_split<n>.txt`, frames `Rename_Images/<class>/<video>/00001.png` and on,
    joints `joint_positions/<class>/<video>/joint_positions.mat`.

    root          the folder that holds these three
    split         1, 2 or 3; split 1 has 268 test videos
    sequences     only these; `exclude` leaves some out
    max_frames    keep at most this many frames of each video
    resolution    what records call the size of the images

    The joints of frame 0 are given. All 15 are, also those outside of the picture: as in the scripts of CRW and VFS,
    such a joint leaves no heat-map in the picture, so that it is lost from the beginning, and is not scored; a joint
    that leaves the picture later on is scored where it is. Only folders are listed here. Raises UserError for missing
    folders and lists, and once for all videos that lack frames or joints.
    """

    frames: Frames = "all"

    def __init__(
        self,
        root: Where[str | Path],
        split: Literal[1, 2, 3] = 1,
        sequences: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        max_frames: int | None = None,
        resolution: str = "original",
        protocol: str = "pck-crw",
        name: str = "jhmdb",
    ) -> None:
        check_max_frames(max_frames)
        root = Path(root)
        check_root(root)
        self.name, self.split, self.resolution, self.protocol = name, f"test{split}", resolution, protocol
        places = _listed(root, split)
        self.whole = len(places)
        chosen = choose(places, sequences, exclude, where=f"{name} {self.split}")
        found = [places[video] for video in chosen]
        _check_there(root / FRAMES, [place for place in found if not (root / FRAMES / place).is_dir()])
        _check_there(root / JOINTS, [place for place in found if not _joints(root, place).is_file()])
        self.videos = tuple(_video(root, place, max_frames) for place in found)


def _video(root: Path, place: str, max_frames: int | None) -> JointVideo:
    folder = root / FRAMES / place
    frames = list_images(folder)[:max_frames]
    if not frames:
        raise UserError(f"video folder {folder} holds no images: add some, or leave it out with {HERE}exclude")
    return JointVideo(folder.name, tuple(frames), {}, joints_file=_joints(root, place))


def _joints(root: Path, place: str) -> Path:
    return root / JOINTS / place / "joint_positions.mat"


def _listed(root: Path, split: int) -> dict[str, str]:
    """The places `<class>/<video>` of a split's test videos, by the names of the videos."""
    ending = f"_test_split{split}.txt"
    lists = sorted((root / "splits").glob(f"*{ending}"))
    if not lists:
        raise UserError(f"{root / 'splits'} has no lists <class>{ending}: {SITE}, or set {HERE}root and {HERE}split")
    found: dict[str, str] = {}
    for path in lists:
        for video in _test_videos(path):
            place = f"{path.name.removesuffix(ending)}/{video}"
            if found.setdefault(video, place) != place:
                raise UserError(f"{path} lists {video}, as does the list of {found[video]}: rename one of them")
    if not found:
        raise UserError(f"the lists *{ending} in {root / 'splits'} name no test video (<video>.avi {TEST}): {SITE}")
    return found


def _test_videos(path: Path) -> list[str]:
    """The names in a list's lines `<video>.avi 2`; names may hold spaces."""
    lines = (line.strip().rpartition(" ") for line in read_lines(path))
    return [video.strip().removesuffix(".avi") for video, _, part in lines if part == TEST]


def _check_there(folder: Path, missing: Sequence[str]) -> None:
    """Raises UserError if videos are missing in a folder."""
    if not missing:
        return
    if not folder.is_dir() or not subfolders(folder):
        raise UserError(f"{folder} has no videos: {SITE}, and set {HERE}root to the folder that holds {folder.name}")
    what = "joints (joint_positions.mat)" if folder.name == JOINTS else "frames"
    raise UserError(
        f"{len(missing)} listed videos have no {what} in {folder}: {some(missing)}; add them, or leave them out with "
        f"{HERE}exclude"
    )
