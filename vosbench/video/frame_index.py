"""Which frames a video file has, in the order in which FFmpeg's decoder gives them, and where decoding can begin."""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int, UInt32

from vosbench.util.errors import UserError
from vosbench.video.container import Decoding, named_errors, numbered, open_container, video_stream
from vosbench.video.display_matrix import Turn
from vosbench.video.packet_list import PacketList

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

log = logging.getLogger(__name__)

PROBED = 8  # frames that are decoded to try an index made from packets
LONG = 100_000_000  # bytes: decoding takes so long that it is said


@dataclass(frozen=True)
class Entry:
    """A key frame: the number of its packet, the first frame that can be decoded from it on, and how to seek it."""

    packet: int
    frame: int
    time: int | None = None
    stamp: tuple[int | None, int] | None = None


@dataclass(frozen=True)
class FrameIndex:
    """The frames of a video file. Random access needs nothing else, and is as right as decoding from the start.

    carriers  for each frame, the number of the packet that carried it; None: packets do not tell, so frames are counted
    count     number of frames
    entries   where decoding can begin, in the order of frames; the first is the start of the file
    size      (height, width) of the first frame as it is shown
    turn      how frames are turned to be shown
    sizes     for each frame, (height, width) as it is shown; None: not known
    sums      for each frame, a checksum of its brightness; None: not known
    lost      what the file does not have, or not whole, though its header promises it, in words; empty: nothing
    fewer     the same of frames that may have been left out on purpose
    rate      frames per second; 0: not known
    """

    carriers: Int[np.ndarray, " frames"] | None
    count: int
    entries: tuple[Entry, ...]
    size: tuple[int, int]
    turn: Turn
    sizes: Int[np.ndarray, "frames 2"] | None = None
    sums: UInt32[np.ndarray, " frames"] | None = None
    lost: str = ""
    fewer: str = ""
    rate: float = 0

    @classmethod
    def read(cls, path: Path, most: int | None = None) -> FrameIndex:
        """Made from the packets where these are sure to tell, otherwise by decoding the file once.

        most  the number of frames that are needed: decoding stops after them

        Raises UserError naming the file if it holds no frames.
        """
        packets = PacketList.read(path)
        index = (_from_packets(path, packets) if packets.is_sound else None) or _decoded(path, packets, most)
        index = replace(index, rate=packets.rate)
        return replace(index, lost="", fewer="") if most is not None and most <= index.count else index

    def entries_to(self, frame: int) -> list[Entry]:
        """Where decoding can begin to give this frame, best first. (Where the picture is refreshed bit by bit, it is
        whole only after the next key frame.)"""
        last = int(np.searchsorted(self._entered, frame, side="right"))
        return [*reversed(self.entries[max(last - 2, 1) : last]), self.entries[0]]

    def number(self, carrier: int | None) -> int | None:
        """The number of the frame that a packet carried; None if it is none of the frames."""
        return None if carrier is None else self._numbers.get(carrier)

    def is_right(self, number: int, frame: VideoFrame) -> bool:
        """Whether this is the frame that decoding from the start gave."""
        return self.sums is None or int(self.sums[number]) == checksum(frame)

    @cached_property
    def _entered(self) -> list[int]:
        return [entry.frame for entry in self.entries]

    @cached_property
    def _numbers(self) -> dict[int, int]:
        carriers = () if self.carriers is None else self.carriers.tolist()
        return {carrier: number for number, carrier in enumerate(carriers)}


def _from_packets(path: Path, packets: PacketList) -> FrameIndex | None:
    """The index that the packets' times tell; None if the first frames turn out to be others."""
    carriers = np.argsort(packets.times, kind="stable")
    with open_container(path) as container:
        stream = video_stream(container, path)
        with named_errors(path):
            decoding = Decoding(stream, numbered(container.demux(stream)))
            found = [(carrier, Turn.of(frame), frame) for carrier, frame in islice(decoding, PROBED)]
            sizes = {turn.size(frame) for _, turn, frame in found}
    if [carrier for carrier, *_ in found] != carriers[:PROBED].tolist() or len(sizes) != 1:
        return None
    entries = _entries(packets, carriers)
    return FrameIndex(carriers, len(carriers), entries, sizes.pop(), found[0][1], lost=packets.cut(len(carriers)))


def _decoded(path: Path, packets: PacketList, most: int | None) -> FrameIndex:
    """The index that decoding gives."""
    if path.stat().st_size > LONG:
        log.info("decoding %s once, to find its frames", path)
    found: list[tuple[int | None, int, tuple[int, int]]] = []
    turn: Turn | None = None
    with open_container(path) as container:
        stream = video_stream(container, path)
        with named_errors(path):
            decoding = Decoding(stream, numbered(container.demux(stream)))
            for carrier, frame in islice(decoding, most):
                turn = turn or Turn.of(frame)
                found.append((carrier, checksum(frame), turn.size(frame)))
    if turn is None:
        why = f" ({decoding.error})" if decoding.error else ""
        raise UserError(f"{path} holds no frames that can be decoded{why}: restore or remove this file")
    known = [carrier for carrier, *_ in found if carrier is not None]
    carriers = np.array(known) if len(set(known)) == len(found) else None
    sizes, sums = np.array([size for *_, size in found]), np.array([sum_ for _, sum_, _ in found], np.uint32)
    return FrameIndex(
        carriers,
        len(found),
        _entries(packets, carriers),
        found[0][2],
        turn,
        sizes,
        sums,
        packets.cut(len(found)) or _undecoded(packets, decoding),
        _fewer(packets, len(found)),
    )


def _undecoded(packets: PacketList, decoding: Decoding) -> str:
    if not decoding.failures:
        return ""
    return f"{decoding.failures} of its {len(packets.packets)} packets cannot be decoded ({decoding.error})"


def _fewer(packets: PacketList, count: int) -> str:
    """Of AVI, whose header counts frames that were dropped while recording. The last one may be a filler."""
    if "avi" not in packets.container or packets.frames <= count + 1:
        return ""
    return f"its header promises {packets.frames} frames, {count} can be decoded"


def _entries(packets: PacketList, carriers: Int[np.ndarray, " frames"] | None) -> tuple[Entry, ...]:
    """The start of the file, and all key frames. A frame that is decoded after a key frame but shown before it needs
    what came earlier; so a key frame counts from the first frame that it or a packet after it carries."""
    start = Entry(0, 0)
    if carriers is None:
        return (start,)
    order = np.argsort(carriers, kind="stable")  # frames in the order of the file
    keys = [number for number, packet in enumerate(packets.packets) if packet.is_key]
    stamps = [packets.packets[key].stamp for key in keys]
    tell = len(set(stamps)) == len(stamps) and all(place is not None and place >= 0 for place, _ in stamps)
    after = np.searchsorted(carriers[order], keys)
    entries = [
        Entry(key, int(order[place]), packets.packets[key].time, stamp if tell else None)
        for key, place, stamp in zip(keys, after.tolist(), stamps, strict=True)
        if place < len(order) and order[place] > 0
    ]
    return (start, *sorted(entries, key=lambda entry: entry.frame))


def checksum(frame: VideoFrame) -> int:
    """Of the first plane's pixels: brightness, for most formats."""
    plane: Any = frame.planes[0]
    if plane.line_size <= 0:  # stored upside down
        plane = frame.reformat(format="gray").planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return zlib.crc32(rows[:, : plane.width].tobytes())
