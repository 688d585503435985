"""The packets of a video file, listed without decoding them, and what the file's header promises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vosbench.video.container import named_errors, numbered, open_container, video_stream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

# Containers and decoders of which one packet is one frame, shown at the packet's time. Not among them: AVI, which has
# no times of presentation; MPEG-4, with two frames in a packet; VP8 and VP9, with packets that are never shown.
SOUND_CONTAINERS = ("mov", "matroska")
SOUND_DECODERS = ("h264", "hevc", "av1", "libdav1d")
PROMISING = ("mov", "matroska", "avi", "flv", "asf")  # their headers say how long they are


class Listed(NamedTuple):
    """A packet with content: its times in stream units, whether it is a key frame, and its place and size in bytes."""

    pts: int | None
    dts: int | None
    is_key: bool
    place: int | None
    size: int

    @property
    def stamp(self) -> tuple[int | None, int]:
        """By this a packet is known again after seeking."""
        return self.place, self.size

    @property
    def time(self) -> int | None:
        """The time at which to seek it: never after the packet, whichever of the two a container seeks by."""
        return min((time for time in (self.pts, self.dts) if time is not None), default=None)


@dataclass
class PacketList:
    """All packets of the video in the order of the file.

    odd        some packets are cut short, or not to be shown; `halved`: the last one is cut short
    end        the time at which the last packet of any stream ends, in seconds
    frames     the number of frames that the header promises; 0: it does not
    duration   the seconds that the header promises; 0: it does not
    rate       frames per second; 0: unknown. `tick`: the unit of the stream's times, in seconds
    container  the container's format, and `decoder`, as FFmpeg names them
    reorders   the stream may have frames that are decoded in another order than they are shown
    """

    packets: list[Listed] = field(default_factory=list)
    odd: bool = False
    halved: bool = False
    end: float = 0
    frames: int = 0
    duration: float = 0
    rate: float = 0
    tick: float = 0
    container: str = ""
    decoder: str = ""
    reorders: bool = False

    @classmethod
    def read(cls, path: Path) -> PacketList:
        """Raises UserError naming the file if it is not a video."""
        with open_container(path) as container:
            stream = video_stream(container, path)
            with named_errors(path):
                found = cls._of_header(container, stream)
                for packet in found._of_video(stream, (packet for _, packet in numbered(container.demux()))):
                    found.halved = packet.is_corrupt
                    found.odd = found.odd or packet.is_discard or packet.is_corrupt
                    listed = Listed(packet.pts, packet.dts, packet.is_keyframe, packet.pos, packet.size)
                    found.packets.append(listed)
                found.reorders = stream.codec_context.has_b_frames
        return found

    @classmethod
    def _of_header(cls, container: InputContainer, stream: VideoStream) -> PacketList:
        names = container.format.name
        promises = any(name in names for name in PROMISING)
        return cls(
            frames=stream.frames if promises else 0,
            duration=max(container.duration or 0, 0) / 1_000_000 if promises else 0,
            rate=float(stream.average_rate or 0),
            tick=float(stream.time_base or 0),
            container=names,
            decoder=stream.codec_context.name,
        )

    def _of_video(self, video: VideoStream, packets: Iterable[Packet[Any]]) -> Iterator[Packet[Any]]:
        """The packets of this stream; `end` counts all."""
        for packet in packets:
            time = packet.dts if packet.pts is None else packet.pts
            if time is not None and packet.time_base:
                self.end = max(self.end, float((time + (packet.duration or 0)) * packet.time_base))
            if packet.stream is video:
                yield packet

    @property
    def times(self) -> list[int]:
        """When the packets are shown, in stream units: of those that say so."""
        return [packet.pts for packet in self.packets if packet.pts is not None]

    @property
    def is_sound(self) -> bool:
        """Whether each packet is a frame, shown at its time. Decided from the times; when in doubt, it is not."""
        times = self.times
        return (
            any(name in self.container for name in SOUND_CONTAINERS)
            and self.decoder in SOUND_DECODERS
            and not self.odd
            and 0 < len(self.packets) == len(times) == len(set(times))
            and self.packets[0].is_key
            and times[0] == min(times)
            and not (self.reorders and all(packet.pts == packet.dts for packet in self.packets))
        )

    def cut(self, count: int) -> str:
        """What is not there at the end though it was promised, in words; empty: nothing. `count`: the number of frames.

        Times decide: edit lists and dropped frames make for fewer frames than the header has, but for no earlier end.
        """
        if self.end + self._tolerance < self._promised:
            if self.frames > count:
                return f"its header promises {self.frames} frames, {count} can be decoded"
            return f"its header promises {self._promised:.2f} seconds, {self.end:.2f} are there"
        return "its last packet is cut short" if self.halved and self._promised else ""

    @property
    def _promised(self) -> float:
        """The time at which the header says that the last frame ends, in seconds; 0: it does not say."""
        if "avi" in self.container:  # their duration is that of the bytes that are there
            return self.frames * self.tick
        return self.duration

    @property
    def _tolerance(self) -> float:
        """Seconds: some containers round times, and do not say how long the last frame is shown."""
        frame = max(1 / self.rate if self.rate else 1, self.end / max(len(self.packets), 1))
        return 1.5 * frame if self.frames else max(2.5 * frame, min(self.duration / 100, 2))
