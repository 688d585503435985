import hashlib
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vosbench.datasets.collage import Collage, CollageVideo
from vosbench.datasets.collage.photographs import PHOTOGRAPHS, pixels
from vosbench.video.images import write_label_map

Command = Callable[..., Any]
LATE = ["train_02", "train_06", "train_23"]  # here a third object comes late

DIGEST = """
import hashlib
from vosbench.datasets.collage import Collage
video = Collage("val").videos[1]
print(hashlib.sha256(video.frame(5).tobytes() + video.annotation(5).tobytes()).hexdigest())
"""


def warped(image: NDArray[np.uint8], flow: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The reference as the query sees it, by plain bilinear interpolation."""
    rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    x, y = columns + np.nan_to_num(flow[..., 0]), rows + np.nan_to_num(flow[..., 1])
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR), np.uint8)


def seen(video: CollageVideo, index: int) -> set[int]:
    labels = video.annotation(index)
    assert labels is not None
    return set(np.unique(labels).tolist())


def test_the_same_arguments_give_the_same_pixels_in_any_order_and_process() -> None:
    video = Collage("val").videos[1]
    later, earlier = video.frame(9), video.frame(5)
    again = pickle.loads(pickle.dumps(Collage("val").videos[1]))
    assert np.array_equal(earlier, again.frame(5))
    assert np.array_equal(later, again.frame(9))
    labels = video.annotation(5)
    assert labels is not None
    fresh = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True).stdout.strip()
    assert fresh == hashlib.sha256(earlier.tobytes() + labels.tobytes()).hexdigest()


def test_another_seed_or_number_gives_another_video() -> None:
    first = Collage("train", videos=2).videos
    assert not np.array_equal(first[0].frame(0), first[1].frame(0))
    assert not np.array_equal(first[0].frame(0), Collage("train", videos=2, seed=1).videos[0].frame(0))
    assert np.array_equal(first[1].frame(0), Collage("train", videos=5).videos[1].frame(0))


def test_a_frame_is_the_size_asked_for_and_colourful() -> None:
    dataset = Collage("train", videos=3, size=(64, 96))
    assert (dataset.name, dataset.split, dataset.resolution) == ("collage", "train", "64p")
    for video in dataset.videos:
        frame, labels = video.frame(0), video.annotation(0)
        assert labels is not None
        assert frame.shape == (64, 96, 3)
        assert frame.dtype == labels.dtype == np.uint8
        assert labels.shape == (64, 96)
        assert np.ptp(frame.astype(int), axis=2).mean() > 10


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("reference", [9, 11, 16])
def test_flow_takes_texture_and_labels_along(split: str, reference: int) -> None:
    for video in Collage(split, videos=2, effects=False).videos:
        flow = video.flow(10, reference)
        known = np.isfinite(flow[..., 0])
        assert np.array_equal(known, np.isfinite(flow[..., 1]))
        assert known.mean() > (0.85 if abs(reference - 10) == 1 else 0.5)
        labels, target = video.annotation(10), video.annotation(reference)
        assert labels is not None
        assert target is not None
        # Away from outlines, where a pixel shows two layers, only the error of interpolating twice is left.
        kernel = np.ones((5, 5), np.uint8)
        edge = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, kernel) > 0
        edge |= warped((cv2.morphologyEx(target, cv2.MORPH_GRADIENT, kernel) > 0).astype(np.uint8), flow) > 0
        inner = known & ~edge
        query = video.frame(10).astype(float)
        error = np.abs(query - warped(video.frame(reference), flow))[inner].mean()
        beside = np.abs(query - warped(video.frame(reference), flow + np.float32(0.5)))[inner].mean()
        assert error < 2.5
        assert error < 0.5 * beside, "half a pixel beside the flow the texture should fit much worse"
        assert np.array_equal(labels[inner], warped(target, flow)[inner])


def test_flow_to_itself_is_zero_and_there_and_back_is_nothing() -> None:
    video = Collage("train").videos[3]
    flow = video.flow(4, 4)
    assert np.nanmax(np.abs(flow)) < 1e-3
    there, back = video.flow(4, 6), video.flow(6, 4)
    rows, columns = np.mgrid[: there.shape[0], : there.shape[1]].astype(np.float32)
    x, y = (
        axis + np.nan_to_num(offset) for axis, offset in zip((columns, rows), np.moveaxis(there, -1, 0), strict=True)
    )
    returned = cv2.remap(back, x, y, cv2.INTER_LINEAR) + there
    assert np.nanquantile(np.abs(returned), 0.95) < 0.05
    assert np.nanmedian(np.hypot(there[..., 0], there[..., 1])) > 0.5


def test_ids_start_at_one_without_gaps_and_late_ones_are_higher() -> None:
    late = 0
    for video in (*Collage("train", sequences=LATE).videos, *Collage("val", videos=2).videos):
        first = seen(video, 0) - {0}
        assert len(first) >= 2
        assert first == set(range(1, len(first) + 1))
        known = first
        for index in range(1, 24, 3):
            new = seen(video, index) - {0} - known
            assert all(number > max(known) for number in new)
            known = known | new
        assert known == set(range(1, max(known) + 1))
        late += known != first
    assert late >= len(LATE)


def test_late_objects_are_given_at_their_first_frame_only_when_asked() -> None:
    plain, asked = (Collage("train", sequences=LATE, late_objects=late) for late in (False, True))
    times = 0
    for once, all_given in zip(plain.videos, asked.videos, strict=True):
        assert [i for i in range(24) if once.given(i) is not None] == [0]
        first, labels = once.given(0), once.annotation(0)
        assert first is not None
        assert labels is not None
        assert np.array_equal(first, labels)
        known: set[int] = {0}
        for index in range(24):
            given, labels = all_given.given(index), all_given.annotation(index)
            assert labels is not None
            new = set(np.unique(labels).tolist()) - known
            assert (given is not None) == bool(new)
            if given is not None:
                assert np.array_equal(given, np.where(np.isin(labels, list(new)), labels, 0))
                times += index > 0
            known |= new
    assert times == len(LATE)


def test_splits_share_no_photograph_and_every_photograph_is_colourful() -> None:
    train, val = ({photograph.file for photograph in PHOTOGRAPHS[split]} for split in ("train", "val"))
    assert not train & val
    for photograph in (*PHOTOGRAPHS["train"], *PHOTOGRAPHS["val"]):
        image = pixels(photograph)
        assert np.ptp(image.astype(int), axis=2).mean() > 8
        left, top, right, bottom = photograph.box
        assert 0 <= left < right <= image.shape[1]
        assert 0 <= top < bottom <= image.shape[0]


def test_sequences_and_max_frames_restrict_without_changing_what_is_left() -> None:
    whole = Collage("train")
    part = Collage("train", sequences=["train_07"], max_frames=5)
    assert [video.name for video in part.videos] == ["train_07"]
    assert part.videos[0].frame_names == ("00000", "00001", "00002", "00003", "00004")
    assert np.array_equal(part.videos[0].frame(4), whole.videos[7].frame(4))


def test_annotations_come_from_a_folder_where_one_is_given(tmp_path: Path) -> None:
    folder = tmp_path / "val_00"
    folder.mkdir()
    labels = np.zeros((32, 56), np.uint8)
    labels[3:9, 4:20] = 1
    write_label_map(folder / "00002.png", labels)
    video = Collage("val", annotations=str(tmp_path)).videos[0]
    read = video.annotation(2)
    assert read is not None
    assert np.array_equal(read, labels)
    assert video.annotation(3) is None


def test_annotated_frames_alone_are_the_same_frames(tmp_path: Path) -> None:
    (tmp_path / "val_00").mkdir()
    for index in (2, 5, 9):
        write_label_map(tmp_path / f"val_00/{index:05}.png", np.full((128, 224), index, np.uint8))
    settings: dict[str, Any] = {"videos": 2, "annotations": tmp_path, "frames": "annotated"}
    (part,) = Collage("val", sequences=["val_00"], max_frames=2, **settings).videos
    assert part.frame_names == ("00002", "00005")
    whole = Collage("val", videos=1).videos[0]
    assert np.array_equal(part.frame(1), whole.frame(5))
    assert np.array_equal(part.flow(0, 1), whole.flow(2, 5), equal_nan=True)
    assert seen(part, 1) == {5}
    every = Collage("val", videos=1, frames="annotated")
    assert (every.frames, len(every.videos[0].frame_names)) == ("annotated", 24)
    with pytest.raises(ValueError, match=r"val_01 holds no annotated frames"):
        Collage("val", **settings)


def test_the_choice_of_frames_is_one_of_the_command_line(command: Command) -> None:
    done = command("check", *SMALL, "dataset.frames=annotated", "workers=0")
    assert (done.status, done.err) == (0, "")
    assert "  frames     3, 3 annotated\n" in done.out


def test_smaller_annotations_are_to_train_on_and_not_to_start_from(tmp_path: Path) -> None:
    (tmp_path / "val_00").mkdir()
    write_label_map(tmp_path / "val_00/00000.png", np.ones((32, 56), np.uint8))
    video = Collage("val", videos=1, annotations=tmp_path).videos[0]
    with pytest.raises(ValueError, match=r"00000.png is 32×56 \(rows×columns\), its frame val_00/00000 is 128×224"):
        video.given(0)


SMALL = ["dataset=collage", "dataset.videos=1", "dataset.size=[48,64]", "dataset.length=3"]


def test_label_maps_of_other_pixels_are_not_scored_for_these(command: Command) -> None:
    """Effects change the pixels alone, neither names nor masks."""
    benchmark = ["benchmark", "method=flow_warp", *SMALL, "workers=0", "pictures=0", "device=cpu", "name=stale"]
    assert command(*benchmark).status == 0
    command(*benchmark, "dataset.effects=false").error(1, "val_00: frames or given masks", "overwrite=true")
    again = command(*benchmark)
    assert (again.status, "nothing to do" in again.err + again.out) == (0, True)
    assert command(*benchmark, "dataset.effects=false", "overwrite=true").status == 0


def test_a_copy_of_other_pixels_is_not_taken_for_one_of_these(command: Command) -> None:
    prepare = ["prepare", *SMALL, "output=copy", "workers=0"]
    assert command(*prepare).status == 0
    assert command(*prepare).status == 0
    command(*prepare, "dataset.effects=false").error(1, "val_00 was prepared otherwise (the data)", "overwrite=true")


def test_pixels_are_hashed_once_and_go_along_when_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    video = Collage("val", videos=1, length=3, size=(48, 64)).videos[0]
    first = video.fingerprint()
    monkeypatch.setattr(CollageVideo, "frame", None)
    assert pickle.loads(pickle.dumps(video)).fingerprint() == first


def test_bad_arguments_say_what_would_be_right() -> None:
    with pytest.raises(ValueError, match="no split test: choose from train, val"):
        Collage("test")
    with pytest.raises(ValueError, match=r"videos=0.* must be 1 or more"):
        Collage(videos=0)
    with pytest.raises(ValueError, match=r"length=0 must be 1 or more"):
        Collage(length=0)
    with pytest.raises(ValueError, match=r"seed=-1 must be 0 or more"):
        Collage(seed=-1)
    with pytest.raises(ValueError, match=r"max_frames=0: keep 1 frame or more"):
        Collage(max_frames=0)
    with pytest.raises(ValueError, match=r"annotations folder nowhere does not exist"):
        Collage(annotations="nowhere")
    with pytest.raises(ValueError, match=r"size=\[8, 8\]"):
        Collage(size=(8, 8))
    with pytest.raises(ValueError, match=r"objects=\[3, 2\]"):
        Collage(objects=(3, 2))
    with pytest.raises(ValueError, match="train_99"):
        Collage(sequences=["train_99"])
    with pytest.raises(IndexError):
        Collage().videos[0].frame(24)
