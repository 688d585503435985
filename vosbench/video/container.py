"""Opening a video file, finding the video in it, and decoding it packet by packet.

Packets are counted from 0 in the order of the file. Each goes into the decoder with its number as its time stamp, so
that a frame tells which packet carried it, whatever time stamps the file has or lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vosbench.util.errors import UserError
from vosbench.util.reading import naming_reader

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turns the errors of reading a video into one UserError that names the file."""
    with naming_reader(path, "video", "restore or remove this file"):
        yield


def open_container(path: Path) -> InputContainer:
    """The file, at its start. Raises UserError if it is not a video."""
    import av

    if not path.exists():
        raise UserError(f"cannot read video {path}: there is no such file; restore it")
    if not path.is_file():  # a pipe, for example, would be waited for
        raise UserError(f"cannot read video {path}: this is not a file; give a video file")
    with named_errors(path):
        url = f"file:{path}"  # the name may have a colon, or begin with a hyphen
        try:
            return av.open(url)
        except UnicodeDecodeError:  # a title in another encoding
            return av.open(url, metadata_errors="replace")


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """FFmpeg's best video stream. Cover art and other stills beside the video are not it. Raises UserError if there is
    no video."""
    from av.stream import Disposition

    with named_errors(path):
        if not container.streams.video:
            raise UserError(f"{path} holds no video stream: give a video file")
        still = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
        videos = [stream for stream in container.streams.video if not stream.disposition & still]
        if not videos:
            raise UserError(f"{path} holds no video but a still, such as the cover art of music: give a video file")
        best = container.streams.best("video")
        stream = next((each for each in videos if each is best), None) or max(videos, key=_area)
        if stream.codec_context is None:
            raise UserError(f"cannot read video {path}: there is no decoder for it; convert it, for example to mp4")
        return stream


def _area(stream: VideoStream) -> int:
    return stream.width * stream.height


def numbered(packets: Iterable[Packet[Any]], first: int = 0) -> Iterator[tuple[int, Packet[Any]]]:
    """The packets that have content, with their numbers. They end where the container is damaged, as in players."""
    from av.error import InvalidDataError

    number = first
    packets = iter(packets)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, InvalidDataError):
            return
        if packet.size:
            yield number, packet
            number += 1


class Decoding:
    """Iterates over the frames of numbered packets, each with the number of the packet that carried it.

    Packets that cannot be decoded are passed over, as players do. `failures` counts those after the first frame, since
    a recording may begin between key frames; `error` is FFmpeg's last error.
    """

    def __init__(self, stream: VideoStream, packets: Iterable[tuple[int, Packet[Any]]]) -> None:
        self.stream, self.packets = stream, packets
        self.failures, self.error = 0, ""
        self._begun = False

    def __iter__(self) -> Iterator[tuple[int | None, VideoFrame]]:
        for number, packet in self.packets:
            packet.pts, packet.dts = number, None
            yield from self._frames(packet)
        yield from self._frames(None)  # those that the decoder has kept back

    def _frames(self, packet: Packet[Any] | None) -> Iterator[tuple[int | None, VideoFrame]]:
        from av.error import FFmpegError

        try:
            frames = self.stream.decode(packet)
        except FFmpegError as error:
            self.failures += self._begun
            self.error = error.strerror or str(error)
            return
        self._begun = self._begun or bool(frames)
        yield from ((frame.pts, frame) for frame in frames)
