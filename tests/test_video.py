"""A video of one's own, of which only the frames are known: what everything else makes of it; its fingerprints."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from vosbench.audit.findings import Note, Problem
from vosbench.audit.inspection import inspect
from vosbench.datasets.folders import scan_video
from vosbench.evaluation.predictions.label_maps import hash_annotations
from vosbench.tasks import prepare
from vosbench.video import folder_video
from vosbench.video.images import read_image
from vosbench.video.video import Image, LabelMap, Video, initial_masks
from vosbench.video.video_file import VideoFile


class Plain(Video):
    """What every video has to have, and no more. Frame i is of one grey."""

    def __init__(self, *greys: int, name: str = "plain") -> None:
        self.name, self.greys = name, greys
        self.frame_names = tuple(f"{index:05d}" for index in range(len(greys)))
        self.reads: list[int] = []

    def frame(self, index: int) -> Image:
        self.reads.append(index)
        return np.full((16, 24, 3), self.greys[index], np.uint8)


class Marked(Plain):
    """Masks in frames 1 and later: a bar of object 255, and of the object's number of the frame."""

    def annotation(self, index: int) -> LabelMap | None:
        labels = np.zeros((16, 24), np.uint8)
        labels[4:8, :4], labels[4:8, 8:12] = 255, index
        return labels if index else None


def test_three_members_make_a_video() -> None:
    video = Plain(10, 20, 30)
    assert (video.size, video.frame_size(1)) == ((16, 24), (16, 24))
    assert (video.annotation(0), video.given(0), video.frame_file(0), video.mask_file(0)) == (None,) * 4
    assert (video.path, video.mask_folder, video.starts, video.listed) == (None,) * 4
    assert (video.late_objects, video.binary, video.any_size) == (False,) * 3
    assert video.is_listed("00001")


def test_every_pixel_counts_and_is_read_once() -> None:
    video = Plain(10, 20, 30)
    found = video.fingerprint()
    assert (len(found), video.reads) == (64, [0, 1, 2])
    copy = pickle.loads(pickle.dumps(video))
    assert copy.fingerprint() == video.fingerprint() == found
    assert (copy.reads, video.reads) == ([0, 1, 2], [0, 1, 2])
    others = [Plain(10, 21, 30), Plain(10, 20), Plain(10, 20, 30, 40), Plain(10, 20, 30, name="other")]
    assert len({found, *(other.fingerprint() for other in others)}) == 5


def test_the_fingerprint_of_annotations_is_of_their_pixels() -> None:
    plain, marked = Plain(1, 2, 3), Marked(1, 2, 3)
    assert plain.fingerprint() == marked.fingerprint()
    assert plain.annotation_fingerprint() != marked.annotation_fingerprint() == Marked(9, 9, 9).annotation_fingerprint()
    assert marked.annotation_fingerprint() != Marked(1, 2).annotation_fingerprint()

    class Set:
        videos = (marked,)

    found: Any = Set()
    before = hash_annotations(found)
    marked.seen = {1: True}
    assert hash_annotations(found) != before


def test_initial_masks_follow_what_the_video_says_of_itself() -> None:
    video = Marked(0, 0, 0, 0)
    with pytest.raises(ValueError, match="video plain has no mask in its first frame 00000"):
        initial_masks(video)
    video.late_objects = True
    given = initial_masks(video)
    assert {index: np.unique(labels).tolist() for index, labels in given.items()} == {1: [0, 1], 2: [0, 2], 3: [0, 3]}
    video.starts = {1: 0, 2: 0}
    assert set(initial_masks(video)) == {1, 2}


def test_a_check_asks_every_video_the_same() -> None:
    """What only folders of files could say of themselves: one object, late objects, where they start."""
    video = Marked(0, 0, 0)
    facts = inspect(video, None, full=True)
    assert (facts.frames, facts.annotated, facts.size) == (3, 2, (16, 24))
    assert facts.objects == {1, 2}
    assert [each.place for each in facts.found if each.kind is Problem.NO_START] == ["plain/00000 no mask"]
    video.late_objects = True
    kinds = {each.kind for each in inspect(video, None, full=True).found}
    assert Note.VOID in kinds
    assert Problem.NO_START not in kinds
    video.starts = {2: 2}
    assert inspect(video, None, full=True).objects == {2}
    video.starts, video.binary = None, True
    facts = inspect(video, None, full=True)
    assert facts.objects == {1}
    assert Note.VOID not in {each.kind for each in facts.found}


def test_frames_of_two_sizes_are_found_in_every_video() -> None:
    class Grown(Plain):
        def frame_size(self, index: int) -> tuple[int, int]:
            return 16 + index, 24

        def frame(self, index: int) -> Image:
            return np.zeros((16 + index, 24, 3), np.uint8)

    video = Grown(0, 0)
    assert (video.size, video.frame_size(1)) == ((16, 24), (17, 24))
    places = [each.place for each in inspect(video, None, full=True).found if each.kind is Problem.FRAME_SIZE]
    assert places == ["plain/00001 is 17×24, not 16×24"]


def test_a_prediction_decodes_every_frame_once(
    davis: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def counted(path: Path) -> Image:
        decoded.append(path.name)
        return read_image(path)

    monkeypatch.setattr(folder_video, "read_image", counted)
    settings = ["dataset=davis2017", f"dataset.root={davis}", "dataset.sequences=[a]", "device=cpu"]
    done = command("predict", "method=copy_first", *settings)
    assert done.status == 0, done.err
    assert decoded == [f"{index:05}.jpg" for index in range(6)]


def test_a_prepared_copy_is_told_from_one_of_another_frame_in_the_middle(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*videos: Video) -> None:
        class Set:
            name, split, resolution, frames, protocol = "set", "all", "16p", "all", "davis"

        Set.videos = videos  # type: ignore[attr-defined]
        monkeypatch.setattr(prepare, "made", lambda *_: Set())
        settings: dict[str, Any] = {"size": None, "square": False, "quality": 95, "workers": 0, "overwrite": False}
        prepare.run(prepare.Options(dataset={}, output=str(tmp_path), **settings))

    run(Plain(10, 20, 30))
    run(Plain(10, 20, 30))
    for changed in (Plain(10, 99, 30), Marked(10, 20, 30)):
        with pytest.raises(ValueError, match=r"plain was prepared otherwise \(the data\): set overwrite=true"):
            run(changed)


def test_the_fingerprint_of_files_is_of_their_contents(tmp_path: Path) -> None:
    """Other pictures of the same name, size and time are another video: uncompressed, and copied with their times."""
    video = scan_video(save_frames(tmp_path / "clip", 3), None)
    before, path = video.fingerprint(), video.frames[1]
    assert scan_video(save_frames(tmp_path / "elsewhere/clip", 3), None).fingerprint() == before
    old = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert path.stat().st_size == old.st_size
    assert scan_video(tmp_path / "clip", None).fingerprint() != before
    file = tmp_path / "clip.avi"
    file.write_bytes(b"RIFF" + bytes(100))
    found = set()
    for byte in (0, 1):
        file.write_bytes(b"RIFF" + bytes(99) + bytes([byte]))
        os.utime(file, ns=(0, 0))
        video_file = VideoFile(file)
        video_file.__dict__["frame_names"] = ("00000",)  # nothing is decoded for it
        found.add(video_file.fingerprint())
    assert len(found) == 2


def save_frames(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for index in range(count):
        pixels = np.full((4, 6, 3), 40 * index, np.uint8)
        Pillow.fromarray(pixels).save(folder / f"{index:05}.png", compress_level=0)
    return folder
