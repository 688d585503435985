"""Video files: random access, pickling, masks for a user's own video, and what is said about damaged files."""

import pickle
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from vosbench.datasets.video_folder import VideoFolder, open_video
from vosbench.video.images import write_label_map
from vosbench.video.part import Part
from vosbench.video.video_file import VideoFile


def write_video(path: Path, count: int = 30, codec: str = "mpeg4", group: int = 8, bright_row: int = 48) -> Path:
    """A video whose frame i is grey of brightness 8 i, give or take 4; sixteen rows from `bright_row` on are white."""
    import av

    with av.open(path, "w") as container:
        stream = cast(av.VideoStream, container.add_stream(codec, rate=25))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = group, 2
        for index in range(count):
            image = np.full((48, 64, 3), 8 * index, np.uint8)
            image[bright_row : bright_row + 16] = 200
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def shown(video: VideoFile, index: int) -> int:
    return round(float(video.frame(index).mean()) / 8)


@pytest.mark.parametrize(
    ("name", "codec"), [("v.mp4", "mpeg4"), ("v.mp4", "libx264"), ("v.mkv", "libx264"), ("v.avi", "mpeg4")]
)
def test_every_frame_is_found_in_any_order(tmp_path: Path, name: str, codec: str) -> None:
    video = VideoFile(write_video(tmp_path / name, codec=codec))
    assert video.frame_names == tuple(f"{index:05d}" for index in range(30))
    assert video.frame(0).shape == (48, 64, 3)
    through = [video.frame(index) for index in range(30)]
    assert all(abs(frame.mean() / 8 - index) < 0.9 for index, frame in enumerate(through))
    for index in (29, 3, 17, 16, 0, 8, 7, 9, 25):
        np.testing.assert_array_equal(video.frame(index), through[index])
    video.close()
    np.testing.assert_array_equal(video.frame(12), through[12])
    video.close()


def test_upright_video_of_a_phone_is_turned(tmp_path: Path) -> None:
    """Phones store frames lying down, with a matrix (here: a quarter turn clockwise) in the track's header."""
    path = write_video(tmp_path / "v.mp4", bright_row=0)
    one = b"\0\1\0\0"
    identity, clockwise = (
        b"".join([a, b, bytes(4), c, a, bytes(12), b"\x40\0\0\0"])
        for a, b, c in ((one, bytes(4), bytes(4)), (bytes(4), one, b"\xff\xff\0\0"))
    )
    content = path.read_bytes()
    at = content.index(identity, content.index(b"tkhd"))
    path.write_bytes(content[:at] + clockwise + content[at + len(identity) :])
    frame = VideoFile(path).frame(0)
    assert frame.shape == (64, 48, 3)
    assert frame[:, -16:].mean() > 150 > 50 > frame[:, :16].mean()  # what was on top is on the right


def test_an_open_video_is_pickled_without_its_file(tmp_path: Path) -> None:
    video = VideoFile(write_video(tmp_path / "v.mp4"), short_side=24)
    video.frame(5)
    copy = pickle.loads(pickle.dumps(video))
    assert copy.frame(6).shape == (24, 32, 3)
    assert shown(copy, 6) == 6
    video.close()
    copy.close()


def test_folder_of_files_and_frame_folders(tmp_path: Path) -> None:
    write_video(tmp_path / "b.mp4")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "a").mkdir()
    for index in range(3):
        Image.new("RGB", (8, 6)).save(tmp_path / "a" / f"{index}.png")
    data = VideoFolder(tmp_path, name="mine", max_frames=2)
    assert [(video.name, video.frame_names) for video in data.videos] == [("a", ("0", "1")), ("b", ("00000", "00001"))]
    assert data.videos[0].annotation(0) is None
    assert data.videos[1].annotation(0) is None
    assert [video.name for video in VideoFolder(tmp_path, exclude=["a"]).videos] == ["b"]
    write_video(tmp_path / "b.avi")
    with pytest.raises(ValueError, match="would both be video b"):
        VideoFolder(tmp_path)


def test_missing_and_empty_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere does not exist"):
        VideoFolder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no videos"):
        VideoFolder(tmp_path)
    with pytest.raises(ValueError, match=r"v.mp4 does not exist: give a video file or a folder"):
        open_video(tmp_path / "v.mp4")


def test_what_no_video_folder_can_be_asked_for(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"short_side": 0}, "video_folder: short_side=0: give 1 pixel or more"),
        ({"short_side": -8}, "short_side=-8"),
        ({"max_frames": 0}, "max_frames=0: keep 1 frame or more"),
        ({"frames": "annotated"}, "frames=annotated leaves nothing of videos without annotations: give all"),
    ]
    for settings, message in wrong:
        with pytest.raises(ValueError, match=message):
            VideoFolder(tmp_path, **settings)
    with pytest.raises(ValueError, match="short_side=0"):
        VideoFile(tmp_path / "v.mp4", short_side=0)


def test_the_size_that_frames_are_decoded_to_is_part_of_what_they_are(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4")
    whole, small = VideoFile(path), VideoFile(path, short_side=24)
    assert (whole.size, small.size) == ((48, 64), (24, 32))
    assert whole.fingerprint() == VideoFile(path).fingerprint() != small.fingerprint()
    assert whole.fingerprint() != VideoFile(path, max_frames=5).fingerprint()


def test_masks_are_read_without_decoding_their_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "masks").mkdir()
    for index in (0, 9, 18, 27):
        write_label_map(tmp_path / f"masks/{index:05}.png", np.full((48, 64), index + 1, np.uint8))
    video = open_video(write_video(tmp_path / "v.mp4"), tmp_path / "masks")
    decoded: list[int] = []
    frame = VideoFile.frame

    def counted(self: VideoFile, index: int) -> np.ndarray:
        decoded.append(index)
        return frame(self, index)

    monkeypatch.setattr(VideoFile, "frame", counted)
    assert [index for index in range(30) if video.given(index) is not None] == [0, 9, 18, 27]
    assert decoded == [0]


def test_damaged_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"cannot read video .*v.mp4"):
        _ = VideoFile(tmp_path / "v.mp4").frame_names
    whole = write_video(tmp_path / "w.mkv", codec="libx264").read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="holds no frames"):
        _ = VideoFile(cut).frame_names


@pytest.mark.parametrize("value", [1, 7, 255])
def test_own_video_with_a_first_mask(tmp_path: Path, value: int) -> None:
    """A mask of 0 and 255 is what drawing programs save: it shows one object."""
    labels = np.zeros((48, 64), np.uint8)
    labels[10:20, 10:20] = value
    Image.fromarray(labels).save(tmp_path / "first.png")
    video = open_video(write_video(tmp_path / "v.mp4"), tmp_path / "first.png", Part(stop=5))
    assert len(video.frame_names) == 5
    np.testing.assert_array_equal(video.given(0), np.where(labels == 255, 1, labels))
    assert video.given(1) is None


def test_own_frames_with_masks_that_start_late(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "masks").mkdir()
    for index in range(4):
        Image.new("RGB", (8, 6)).save(tmp_path / "frames" / f"f{index}.jpg")
    first, late = np.full((6, 8), 255, np.uint8), np.zeros((6, 8), np.uint8)
    first[0, 0], late[2:4] = 1, 2
    write_label_map(tmp_path / "masks" / "f0.png", first)
    write_label_map(tmp_path / "masks" / "f2.png", late)
    video = open_video(tmp_path / "frames", tmp_path / "masks")
    given = [video.given(index) for index in range(4)]
    np.testing.assert_array_equal(given[0], first == 1)
    np.testing.assert_array_equal(given[2], late)
    assert given[1] is given[3] is None


def test_unfit_masks_are_errors(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4")
    with pytest.raises(ValueError, match=r"first.png does not exist"):
        open_video(path, tmp_path / "first.png")
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match=r"no PNG named like a frame: expected for example 00000.png"):
        open_video(path, tmp_path / "masks")
    write_label_map(tmp_path / "masks" / "00000.png", np.ones((4, 4), np.uint8))
    with pytest.raises(ValueError, match=r"00000.png is 4×4 .* is 48×64"):
        open_video(path, tmp_path / "masks").given(0)
    write_label_map(tmp_path / "masks" / "00000.png", np.zeros((48, 64), np.uint8))
    with pytest.raises(ValueError, match="video v has an empty mask"):
        open_video(path, tmp_path / "masks").given(0)


@pytest.mark.real
def test_real_videos_seek_to_the_frames_that_reading_through_finds(real_data: Path) -> None:
    data = VideoFolder(real_data / "unlabelled", short_side=64)
    assert {video.name: len(video.frame_names) for video in data.videos} == {
        "bees": 277,
        "bikes": 250,
        "carphone": 120,
        "sample2": 149,
        "sample4": 227,
        "test": 300,
    }
    bikes = VideoFolder(real_data / "unlabelled", short_side=64, sequences=["bikes"], max_frames=130).videos[0]
    through = [bikes.frame(index) for index in range(130)]
    for index in (100, 99, 3, 129, 51):
        np.testing.assert_array_equal(bikes.frame(index), through[index])
