"""Video files that are not what they say: frames of several sizes, broken-off downloads, dropped and damaged frames."""

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from vosbench.audit.findings import Note, Problem, VideoFacts
from vosbench.audit.inspection import inspect
from vosbench.video.video_file import OtherSize, VideoFile

Command = Callable[..., Any]


def picture(index: int, width: int = 64, height: int = 48) -> np.ndarray:
    image = np.random.default_rng(0).integers(0, 80, (height, width, 3), np.uint8)
    image[8:24, 2 * index : 2 * index + 16] = 230, 60, 40
    return image


def write(path: Path, codec: str = "libx264", count: int = 40, **options: str) -> Path:
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as out:
        stream: Any = out.add_stream(codec, rate=24, options={"g": "12", **options})
        stream.width, stream.height = 64, 48
        stream.pix_fmt = {"mjpeg": "yuvj420p", "rawvideo": "bgr24", "gif": "rgb8"}.get(codec, "yuv420p")
        for index in range(count):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index // 2), format="rgb24")))
        out.mux(stream.encode())
    return path


def growing(path: Path, codec: str, first: int = 12) -> Path:
    """The size changes at frame `first` of 16."""
    packets = []
    for size, numbers in (((64, 48), range(first)), ((96, 64), range(first, 16))):
        encoder: Any = av.codec.CodecContext.create(codec, "w")
        encoder.width, encoder.height = size
        encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 24)
        encoder.options = {"bf": "0"} if codec == "libx264" else {}
        for index in numbers:
            packets += encoder.encode(av.VideoFrame.from_ndarray(picture(index, *size), format="rgb24"))
        packets += encoder.encode(None)
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number, packet in enumerate(packets):
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, 24), stream
            out.mux(packet)
    return path


def found(path: Path, *, full: bool = True) -> list[tuple[Problem | Note, str]]:
    facts: VideoFacts = inspect(VideoFile(path), None, full)
    return [(each.kind, each.place) for each in facts.found]


@pytest.mark.parametrize(("name", "codec"), [("v.webm", "libvpx"), ("v.ts", "libx264"), ("v.webm", "libvpx-vp9")])
def test_a_frame_of_another_size_is_known_before_any_is_read(tmp_path: Path, name: str, codec: str) -> None:
    video = VideoFile(growing(tmp_path / name, codec))
    with pytest.raises(OtherSize, match=rf"{name} frame 00012 is 64×96 \(rows×columns\), the first frame 48×64: bring"):
        _ = video.frame_names
    for full in (True, False):
        assert found(tmp_path / name, full=full) == [(Problem.FRAME_SIZE, "v/00012 is 64×96, not 48×64")]
    assert len(VideoFile(tmp_path / name, max_frames=12).frame_names) == 12


def test_a_frame_of_another_size_is_an_error_where_it_is_not_known_before(tmp_path: Path) -> None:
    video = VideoFile(growing(tmp_path / "v.mkv", "libx264"))
    assert [video.frame(index).shape for index in range(12)] == [(48, 64, 3)] * 12
    with pytest.raises(OtherSize, match=r"v.mkv frame 00012 is 64×96 .* with ffmpeg -i .*v.mkv .*v-converted.mp4"):
        video.frame(12)
    assert (Problem.FRAME_SIZE, "v/00012 is 64×96, not 48×64") in found(tmp_path / "v.mkv")


@pytest.mark.parametrize(("name", "codec"), [("v.webm", "libvpx"), ("v.mkv", "libx264")])
def test_nothing_is_written_of_a_video_of_several_sizes(
    tmp_path: Path, command: Command, name: str, codec: str
) -> None:
    (tmp_path / "videos").mkdir()
    growing(tmp_path / "videos" / name, codec)
    Image.fromarray(np.pad(np.ones((16, 16), np.uint8), ((8, 24), (0, 48)))).save(tmp_path / "first.png")
    own = [f"input=videos/{name}", "mask=first.png", "hydra.run.dir=run"]
    command("predict", "method=copy_first", *own).error(1, f"{name} frame 00012 is 64×96", "the first frame 48×64")
    assert list(Path("run/predictions").glob("*")) in ([], [Path("run/predictions/.records")])
    command("prepare", "dataset=video_folder", "dataset.root=videos", "output=copy").error(1, "frame 00012 is 64×96")
    assert list(Path().glob("copy/JPEGImages/*/*")) == []


def cut(path: Path, share: float = 0.7) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


PROMISING = [
    ("v.avi", "libx264"),
    ("v.avi", "mpeg4"),
    ("v.avi", "mjpeg"),
    ("v.avi", "rawvideo"),
    ("v.mp4", "libx264"),
    ("v.mp4", "mpeg4"),
    ("v.mkv", "libx264"),
    ("v.mkv", "mpeg4"),
    ("v.webm", "libvpx"),
    ("v.webm", "libvpx-vp9"),
    ("v.flv", "flv"),
]


@pytest.mark.parametrize(("name", "codec"), PROMISING)
def test_a_broken_off_download_is_told_from_a_whole_file(tmp_path: Path, name: str, codec: str) -> None:
    path = write(tmp_path / name, codec)
    assert VideoFile(path).losses() == ""
    count = len(VideoFile(cut(path)).frame_names)
    assert 0 < count < 36
    losses = VideoFile(path).losses()
    assert losses.startswith(f"{path} is not whole: its header promises ")
    assert f"40 frames, {count} can be decoded" in losses or "1.67 seconds, " in losses
    assert VideoFile(path, max_frames=1).losses() == ""
    assert [kind for kind, _ in found(path)] == [Problem.CUT]


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize(
    ("name", "codec"), [*PROMISING, ("v.ts", "libx264"), ("v.mpg", "mpeg2video"), ("v.gif", "gif")]
)
def test_short_files_are_whole(tmp_path: Path, name: str, codec: str, count: int) -> None:
    video = VideoFile(write(tmp_path / name, codec, count))
    assert (len(video.frame_names), video.losses()) == (count, "")


def test_longer_sound_is_no_promise_of_frames(tmp_path: Path) -> None:
    for name in ("v.mp4", "v.mkv"):
        with av.open(str(tmp_path / name), "w") as out:
            stream: Any = out.add_stream("libx264", rate=24)
            sound: Any = out.add_stream("aac", rate=44100)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for index in range(6):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24")))
            for number in range(100):
                silence = np.zeros((2, 1024), np.float32)
                frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts = 44100, 1024 * number
                out.mux(sound.encode(frame))
            out.mux(stream.encode())
            out.mux(sound.encode())
        video = VideoFile(tmp_path / name)
        assert (len(video.frame_names), video.losses()) == (6, "")


def test_predict_warns_and_check_tells(tmp_path: Path, command: Command) -> None:
    (tmp_path / "videos").mkdir()
    count = len(VideoFile(cut(write(tmp_path / "videos/v.avi", "mpeg4"))).frame_names)
    Image.fromarray(np.ones((48, 64), np.uint8)).save(tmp_path / "first.png")
    done = command("predict", "method=copy_first", "input=videos/v.avi", "mask=first.png", "hydra.run.dir=run")
    said = (
        f"videos/v.avi is not whole: its header promises 40 frames, {count} can be decoded: only what is there is used"
    )
    assert done.status == 0
    assert (done.out + done.err).count(said) == 1
    assert len(list(Path("run/predictions/v").glob("*.png"))) == count
    checked = command("check", "dataset=video_folder", "dataset.root=videos", "workers=0", "hydra.run.dir=run2")
    checked.error(1, f"{Problem.CUT.what}: 1 of 1 videos (v (its header promises 40 frames, {count} can be decoded))")


def test_damaged_packets_are_passed_over_and_counted(tmp_path: Path) -> None:
    """A frame that fails is left out, as players do; it may be the only one."""
    path = write(tmp_path / "v.avi", "mjpeg")
    whole = VideoFile(path)
    assert len(whole.frame_names) == 40
    content = bytearray(path.read_bytes())
    at = content.index(b"00dc", content.index(b"movi"))
    for _ in range(10):
        at = content.index(b"00dc", at + 4)
    size = struct.unpack("<I", content[at + 4 : at + 8])[0]
    content[at + 8 : at + 8 + size] = bytes(size)
    path.write_bytes(content)
    video = VideoFile(path)
    assert len(video.frame_names) == 39
    np.testing.assert_array_equal(video.frame(9), whole.frame(9))
    np.testing.assert_array_equal(video.frame(10), whole.frame(11))
    assert "1 of its 40 packets cannot be decoded" in video.losses()
    assert [kind for kind, _ in found(path)] == [Problem.CUT]


def test_frames_that_were_dropped_while_recording_are_noted(tmp_path: Path) -> None:
    """AVI counts them, but has no content for them."""
    path = write(tmp_path / "v.avi", "mjpeg")
    with av.open(str(path)) as source, av.open(str(tmp_path / "dropped.avi"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if packet.pts is not None and not 10 <= number < 15:
                packet.stream = stream
                out.mux(packet)
    with av.open(str(tmp_path / "dropped.avi")) as container:
        assert container.streams.video[0].frames == 40
    assert len(VideoFile(tmp_path / "dropped.avi").frame_names) == 35
    said = "its header promises 40 frames, 35 can be decoded"
    assert found(tmp_path / "dropped.avi") == [(Note.FEWER, f"dropped ({said})")]


def test_check_tells_how_frames_are_turned(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", "libx264", 4)
    assert found(path) == []
    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    mirror = struct.pack(">9i", -1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    content = path.read_bytes()
    at = content.index(identity, content.index(b"tkhd"))
    path.write_bytes(content[:at] + mirror + content[at + len(mirror) :])
    assert found(path) == [(Note.MATRIX, "v (mirrored left to right)")]


@pytest.mark.real
def test_whole_films_are_not_suspected(real_data: Path) -> None:
    films = sorted([*real_data.glob("unlabelled/*.mp4"), *real_data.glob("unlabelled2/*.mp4")])
    assert films
    assert [losses for film in films if (losses := VideoFile(film).losses())] == []
