"""Video files of every kind: what decodes is the video, any frame of it, turned as the file says."""

import gc
import multiprocessing
import os
import pickle
import random
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from vosbench.datasets.video_folder import open_video
from vosbench.video.frame_index import Entry, FrameIndex
from vosbench.video.frame_reader import FrameReader
from vosbench.video.images import write_label_map
from vosbench.video.video_file import VideoFile

OPEN: dict[str, Any] = {"x264-params": "open-gop=1:keyint=8:bframes=3:scenecut=0"}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "h264.avi": ("libx264", {"g": "8"}),
    "b-frames.avi": ("mpeg4", {"bf": "2", "g": "8"}),
    "pictures.avi": ("mjpeg", {}),
    "raw.avi": ("rawvideo", {}),
    "h264.ts": ("libx264", {"g": "8"}),
    "open.ts": ("libx264", OPEN),
    "refreshed.ts": ("libx264", {"x264-params": "intra-refresh=1:keyint=8:bframes=0"}),
    "mpeg2.mpg": ("mpeg2video", {"bf": "2", "g": "8"}),
    "h264.mp4": ("libx264", {"g": "8"}),
    "open.mp4": ("libx264", OPEN),
    "refreshed.mp4": ("libx264", {"x264-params": "intra-refresh=1:keyint=8:bframes=0"}),
    "mpeg4.mp4": ("mpeg4", {"bf": "2", "g": "8"}),
    "h264.mkv": ("libx264", {"g": "8"}),
    "vp8.webm": ("libvpx", {"g": "8", "auto-alt-ref": "1", "lag-in-frames": "8"}),
    "vp9.webm": ("libvpx-vp9", {"g": "8", "auto-alt-ref": "1", "lag-in-frames": "8"}),
    "bare.h264": ("libx264", {"g": "8"}),
    "animation.gif": ("gif", {}),
}
CODEC_FORMATS = {"rawvideo": "bgr24", "mjpeg": "yuvj420p", "gif": "rgb8"}
SOUND = {"h264.mp4", "open.mp4", "refreshed.mp4", "h264.mkv"}


def write(path: Path, codec: str = "libx264", count: int = 20, **options: Any) -> Path:
    """A square moves over noise, so that every frame is another one."""
    noise = np.random.default_rng(0).integers(0, 80, (48, 64, 3), np.uint8)
    with av.open(str(path), "w", format="h264" if path.suffix == ".h264" else None) as out:
        stream: Any = out.add_stream(codec, rate=24, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, CODEC_FORMATS.get(codec, "yuv420p")
        for index in range(count):
            image = noise.copy()
            image[8:24, 2 * index : 2 * index + 16] = 230, 60, 40
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode())
    return path


def copied(source: Path, target: Path, keep: Callable[[int], bool] = bool, **options: str) -> Path:
    """The same packets in another container, as `ffmpeg -c copy` does: those whose numbers are kept."""
    with av.open(str(source)) as a, av.open(str(target), "w", options=options) as b:
        stream = b.add_stream_from_template(a.streams.video[0])
        for number, packet in enumerate(a.demux(a.streams.video[0])):
            if packet.pts is not None and keep(number):
                packet.stream = stream
                b.mux(packet)
    return target


def decoded(path: Path, which: int = 0) -> list[np.ndarray]:
    """What FFmpeg's decoder gives from start to end."""
    with av.open(str(path)) as container:
        return [
            frame.to_ndarray(format="rgb24", interpolation="AREA")
            for packet in container.demux(container.streams.video[which])
            for frame in _frames(packet)
        ]


def _frames(packet: Any) -> Iterable[Any]:
    try:
        return packet.decode()  # type: ignore[no-any-return]
    except av.FFmpegError:
        return []


def check_access(path: Path, video: VideoFile | None = None) -> VideoFile:
    """Reads the frames through, and then in random order; each must be what decoding gives."""
    video, wanted = video or VideoFile(path), decoded(path)
    assert len(video.frame_names) == len(wanted) > 0
    order = list(range(len(wanted)))
    for index in [*order, *random.Random(0).sample(order, len(order))]:
        np.testing.assert_array_equal(video.frame(index), wanted[index], err_msg=f"{path.name} {index}")
    assert video.losses() == ""
    video.close()
    return video


@pytest.mark.parametrize("name", KINDS)
def test_any_frame_of_any_kind_of_file(tmp_path: Path, name: str) -> None:
    codec, options = KINDS[name]
    video = check_access(write(tmp_path / name, codec, 20, **options))
    assert len(video.frame_names) == 20
    assert (video.index.sums is None) == (name in SOUND)  # the packets of these are sure to tell
    assert video.index.carriers is not None


def test_frames_are_counted_where_packets_do_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "v.avi")
    read = FrameIndex.read(path)
    untold = FrameIndex(None, 20, (Entry(0, 0),), read.size, read.turn, read.sizes, read.sums)
    video = VideoFile(path)
    monkeypatch.setattr(video, "index", untold)
    check_access(path, video)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The frames at which readers begin, as they do."""
    begun: list[int] = []
    begin = FrameReader._begin

    def counted(reader: FrameReader, entry: Entry) -> None:
        begun.append(entry.frame)
        begin(reader, entry)

    monkeypatch.setattr(FrameReader, "_begin", counted)
    return begun


def test_reading_onwards_seeks_once(tmp_path: Path, begun: list[int]) -> None:
    video = VideoFile(write(tmp_path / "v.mp4", count=30, g="30"))
    for index in range(30):
        video.frame(index)
    assert begun == [0]
    video.frame(1)
    assert begun == [0, 0]
    video.close()


def test_random_access_begins_at_the_key_frame_before(tmp_path: Path, begun: list[int]) -> None:
    for name in ("h264.avi", "mpeg2.mpg", "h264.ts", "open.mp4", "bare.h264"):
        video = VideoFile(write(tmp_path / name, KINDS[name][0], 20, **KINDS[name][1]))
        begun.clear()
        for index in (19, 15, 5, 12):
            video.frame(index)
        assert len(begun) == 4
        assert 0 == begun[2] < begun[3] <= 12 < begun[0] <= 19, (name, begun)


def packed(path: Path) -> Path:
    """MPEG-4 as DivX wrote it into AVI: a B-frame shares the packet of the frame after it, and a filler follows."""
    encoder: Any = av.codec.CodecContext.create("mpeg4", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 48, "yuv420p", Fraction(1, 24)
    encoder.framerate, encoder.options = Fraction(24), {"bf": "1", "g": "8"}
    images = [np.full((48, 64, 3), 12 * index, np.uint8) for index in range(20)]
    packets = [p for i in images for p in encoder.encode(av.VideoFrame.from_ndarray(i, format="rgb24"))]
    coded = [bytes(packet) for packet in [*packets, *encoder.encode(None)]]
    is_b = [each[each.index(b"\0\0\1\xb6") + 4] >> 6 == 2 for each in coded]
    filler, made, number = b"\0\0\1\xb6" + bytes([0b01010000, 0b01011111]), list[bytes](), 0
    while number < len(coded):
        pair = number + 1 < len(coded) and is_b[number + 1]
        made += [coded[number] + coded[number + 1], filler] if pair else [coded[number]]
        number += 1 + pair
    at = made[0].index(b"\0\0\1\xb6")
    made[0] = made[0][:at] + b"\0\0\1\xb2DivX503b1393p" + made[0][at:]
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.start_encoding()
        for number, content in enumerate(made):
            packet: Any = av.Packet(content)
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 24), stream, number == 0
            out.mux(packet)
    return path


def test_packed_b_frames(tmp_path: Path) -> None:
    assert len(check_access(packed(tmp_path / "v.avi")).frame_names) == 20


@pytest.mark.parametrize("ending", [".ts", ".mkv", ".mp4"])
@pytest.mark.parametrize(("options", "first", "count"), [({"g": "8"}, 5, 16), (OPEN, 10, None)])
def test_recordings_that_begin_between_key_frames(
    tmp_path: Path, ending: str, options: dict[str, str], first: int, count: int | None
) -> None:
    """Frames before the first key frame cannot be shown, and every player begins after them."""
    whole = write(tmp_path / "whole.ts", count=24, **options)
    video = check_access(copied(whole, tmp_path / f"v{ending}", lambda number: number >= first))
    assert count is None or len(video.frame_names) == count


def box(data: bytes | bytearray, *path: str) -> tuple[int, int]:
    """The place and size of a box of an MP4 file."""
    start, end = 0, len(data)
    for kind in path:
        at = start
        while True:
            size, name = struct.unpack(">I4s", data[at : at + 8])
            if name == kind.encode():
                break
            at += size
        start, end = at + 8, at + size
    return start - 8, end - start + 8


def test_edit_lists(tmp_path: Path) -> None:
    """Trimmed films hold packets that are decoded but not shown."""
    path = write(tmp_path / "whole.mp4", g="8")
    data = path.read_bytes()
    at, _ = box(bytes(data), "moov", "trak", "edts", "elst")
    duration, start = struct.unpack(">Ii", data[at + 16 : at + 24])
    for name, edit in {"begin": (duration - 208, start + 5 * 512), "end": (duration - 250, start)}.items():
        edited = bytearray(data)
        struct.pack_into(">Ii", edited, at + 16, *edit)
        (tmp_path / f"{name}.mp4").write_bytes(edited)
        assert len(check_access(tmp_path / f"{name}.mp4").frame_names) < 17


def test_files_without_an_index(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mp4", g="8")
    check_access(copied(whole, tmp_path / "live.mkv", lambda _: True, live="1"))
    check_access(copied(whole, tmp_path / "parts.mp4", lambda _: True, movflags="frag_keyframe+empty_moov"))
    bare = write(tmp_path / "v.h264", g="8")
    check_access(bare.rename(tmp_path / "bare.mp4"))


@pytest.mark.parametrize("name", ["v.mp4", "v.avi", "v.mkv", "v.ts", "v.mpg", "v.webm", "v.gif"])
def test_one_frame(tmp_path: Path, name: str) -> None:
    codec = {".mpg": "mpeg2video", ".webm": "libvpx", ".gif": "gif"}.get(Path(name).suffix, "libx264")
    check_access(write(tmp_path / name, codec, count=1))


def test_frames_are_looked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "v.avi")
    write_label_map(tmp_path / "first.png", np.ones((48, 64), np.uint8))
    reads: list[Path] = []
    read = FrameIndex.read

    def counted(path: Path, most: int | None) -> FrameIndex:
        reads.append(path)
        return read(path, most)

    monkeypatch.setattr(FrameIndex, "read", counted)
    video: Any = open_video(path, tmp_path / "first.png")
    copy = pickle.loads(pickle.dumps(video))
    assert len(copy.frame_names) == 20
    np.testing.assert_array_equal(copy.frame(7), video.frame(7))
    assert reads == [path]


def test_no_more_is_decoded_than_is_kept(tmp_path: Path) -> None:
    video = VideoFile(write(tmp_path / "v.avi"), max_frames=3)
    assert (len(video.frame_names), video.index.count, video.losses()) == (3, 3, "")


def with_cover(path: Path) -> Path:
    """Adds cover art as music players do, whose stream comes first."""

    def boxed(kind: str, *content: bytes) -> bytes:
        body = b"".join(content)
        return struct.pack(">I4s", 8 + len(body), kind.encode()) + body

    Image.new("RGB", (200, 200), "grey").save(path.with_suffix(".jpg"))
    picture = boxed("data", struct.pack(">II", 13, 0), path.with_suffix(".jpg").read_bytes())
    kind = boxed("hdlr", bytes(8) + b"mdirappl" + bytes(9))
    cover = boxed("udta", boxed("meta", bytes(4), kind, boxed("ilst", boxed("covr", picture))))
    data = bytearray(path.read_bytes())  # its moov box is the last one, so nothing else moves
    (moov, size), (at, length) = box(bytes(data), "moov"), box(bytes(data), "moov", "mvhd")
    data[at + length : at + length] = cover
    data[moov : moov + 4] = struct.pack(">I", size + len(cover))
    path.write_bytes(data)
    return path


def music(path: Path) -> Path:
    with av.open(str(path), "w", format="mp4") as out:
        stream: Any = out.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 4096), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 44100
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


@pytest.mark.parametrize("count", [1, 20])
def test_cover_art_beside_a_video_is_not_it(tmp_path: Path, count: int) -> None:
    path = with_cover(write(tmp_path / "v.mp4", count=count))
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "mjpeg"
    video, wanted = VideoFile(path), decoded(path, which=1)
    assert (len(video.frame_names), video.size) == (count, (48, 64))
    np.testing.assert_array_equal(video.frame(count - 1), wanted[-1])


def test_music_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"v.mp4 holds no video but a still, such as the cover art of music: give a"):
        _ = VideoFile(with_cover(music(tmp_path / "v.mp4"))).frame_names
    with pytest.raises(ValueError, match=r"sound.m4a holds no video stream: give a video file"):
        _ = VideoFile(music(tmp_path / "sound.m4a")).frame_names


MATRICES: dict[tuple[int, int, int, int], Callable[[np.ndarray], np.ndarray]] = {
    (1, 0, 0, 1): lambda image: image,
    (-1, 0, 0, 1): lambda image: image[:, ::-1],
    (1, 0, 0, -1): lambda image: image[::-1],
    (-1, 0, 0, -1): lambda image: image[::-1, ::-1],
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),
    (0, -1, 1, 0): lambda image: np.rot90(image),
    (0, 1, 1, 0): lambda image: image.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda image: image.transpose(1, 0, 2)[::-1, ::-1],
}


@pytest.mark.parametrize("matrix", MATRICES)
def test_the_whole_display_matrix_is_applied(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    path = write(tmp_path / "v.mp4", count=2)
    data = bytearray(path.read_bytes())
    at, _ = box(bytes(data), "moov", "trak", "tkhd")
    a, b, c, d = (each << 16 for each in matrix)
    struct.pack_into(">9i", data, at + 48, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    wanted = MATRICES[matrix](decoded(path)[1])
    video = VideoFile(path)
    np.testing.assert_array_equal(video.frame(1), wanted)
    assert video.size == wanted.shape[:2]
    small = VideoFile(path, short_side=24).frame(1)
    assert small.shape == (wanted.shape[0] // 2, wanted.shape[1] // 2, 3)
    blocks = wanted.reshape(small.shape[0], 2, small.shape[1], 2, 3).mean((1, 3))
    assert np.abs(small - blocks).mean() < 8 < np.abs(small[::-1, ::-1] - blocks).mean()


@pytest.fixture
def fork() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of any fork
        yield multiprocessing.get_context("fork")


def _read_on(video: VideoFile, other: VideoFile, wanted: np.ndarray) -> None:
    right = np.array_equal(video.frame(6), wanted)
    video.close()
    other.close()
    other._reader = None
    gc.collect()
    os._exit(0 if right else 1)


def test_a_fork_neither_uses_nor_frees_what_its_parent_has_opened(tmp_path: Path, fork: Any) -> None:
    path = write(tmp_path / "v.avi")
    gc.collect()  # the encoder
    wanted, video, other = decoded(path), VideoFile(path), VideoFile(path)
    video.frame(5)
    other.frame(5)
    child = fork.Process(target=_read_on, args=(video, other, wanted[6]))
    child.start()
    child.join(timeout=20)
    hangs = child.is_alive()
    child.kill()
    child.join()
    assert (hangs, child.exitcode) == (False, 0)
    np.testing.assert_array_equal(video.frame(6), wanted[6])


@pytest.mark.parametrize("content", [b"", b"\0" * 500, b"not a video\n", b"\0\0\0\x18ftypisom" + bytes(12)])
def test_what_is_no_video_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "v.mp4").write_bytes(content)
    with pytest.raises(ValueError, match=r"^(cannot read video .*v.mp4: |.*v.mp4 holds no video stream)"):
        _ = VideoFile(tmp_path / "v.mp4").frame_names


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    for name in ("folder.mp4", "pipe.mp4"):
        with pytest.raises(ValueError, match=f"cannot read video .*{name}: this is not a file; give a video file"):
            _ = VideoFile(tmp_path / name).frame_names
    with pytest.raises(ValueError, match=r"cannot read video .*gone.mp4: there is no such file"):
        _ = VideoFile(tmp_path / "gone.mp4").frame_names


@pytest.mark.parametrize(
    "error", [ValueError("x"), IndexError("x"), EOFError(), MemoryError(), RuntimeError("x"), OverflowError("x")]
)
def test_any_error_of_the_reader_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    path = write(tmp_path / "v.mp4", count=2)

    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(av, "open", fail)
    with pytest.raises(ValueError, match=r"cannot read video .*v.mp4: \w[\w ]*; restore or remove this file"):
        _ = VideoFile(path).frame_names


def test_names_that_ffmpeg_would_read_otherwise_and_titles_in_other_encodings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(Path("v.avi"), count=3)
    with av.open("titled.avi", "w") as out, av.open("v.avi") as source:
        out.metadata["title"] = "Cafe"
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.pts is not None:
                packet.stream = stream
                out.mux(packet)
    Path("titled.avi").write_bytes(Path("titled.avi").read_bytes().replace(b"Cafe", b"Caf\xe9"))
    with pytest.raises(UnicodeDecodeError):
        av.open("titled.avi")
    for name in ("12:30.avi", "-v.avi", "a%03d#?.avi"):
        Path(name).write_bytes(path.read_bytes())
    for name in ("titled.avi", "12:30.avi", "-v.avi", "a%03d#?.avi"):
        assert len(VideoFile(name).frame_names) == 3
