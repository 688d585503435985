"""Decodes the frames of a video file in any order, going on from the last one where that is possible."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from vosbench.video.container import Decoding, named_errors, numbered, open_container, video_stream
from vosbench.video.frame_index import Entry, FrameIndex

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_INTRA = 1  # av.video.frame.PictureType.I


class FrameReader:
    """An open video file. A forked process opens it anew.

    Any frame is decoded from the key frame before it. If what comes then is not what decoding from the start gave, it
    is decoded from the key frame before that one, or from the start.
    """

    def __init__(self, path: Path, index: FrameIndex) -> None:
        self.path, self.index = path, index
        self._places = {entry.stamp: entry.packet for entry in index.entries if entry.stamp is not None}
        self._forget()
        _READERS.add(self)

    def _forget(self) -> None:
        self._container: InputContainer | None = None
        self._frames: Iterator[tuple[int | None, VideoFrame]] | None = None
        self._entry = Entry(0, 0)  # where decoding began
        self._next = 0  # number of the frame that comes next

    def read(self, number: int) -> VideoFrame | None:
        """Frame `number`; None if it cannot be decoded. Raises UserError naming the file if it cannot be read."""
        entries = self.index.entries_to(number)
        with named_errors(self.path):
            goes_on = self._frames is not None and entries[0].frame <= self._next <= number
            if goes_on and (frame := self._forward(number)) is not None:
                return frame
            for entry in entries:
                self._begin(entry)
                if (frame := self._forward(number)) is not None:
                    return frame
        return None

    def close(self) -> None:
        """The next frame opens the file again."""
        if self._container is not None:
            self._container.close()
        self._forget()

    def abandon(self) -> None:
        """Forgets what a forked process has from its parent. Freeing it would wait for threads that only the parent
        has, so it is kept for ever."""
        for kept in (self._container, self._frames):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
        self._forget()

    def _forward(self, number: int) -> VideoFrame | None:
        """The frame, decoded from where decoding is; None if it does not come, or is not right."""
        for carrier, frame in self._frames or ():
            found = self._next if self.index.carriers is None else self.index.number(carrier)
            if found is None or found < self._next:  # it needs what came before the key frame
                continue
            if self._entry.packet and self._next == self._entry.frame and not self._is_entered(found, frame):
                return None
            self._next = found + 1
            if found >= number:
                right = found == number and (self._entry.packet == 0 or self.index.is_right(number, frame))
                return frame if right else None
        return None

    def _is_entered(self, found: int, frame: VideoFrame) -> bool:
        """Whether the first frame after an entry is one that needs no other. Where the picture is refreshed bit by bit,
        it is not. Checksums tell better, where they are known."""
        return self.index.sums is not None or (found == self._entry.frame and frame.pict_type == _INTRA)

    def _begin(self, entry: Entry) -> None:
        """Decoding begins here."""
        packets = (entry.packet and self._sought(entry)) or self._from_start(entry)
        self._frames = iter(Decoding(self._stream, packets))
        self._entry, self._next = entry, entry.frame

    @property
    def _stream(self) -> VideoStream:
        return video_stream(self._opened, self.path)

    @property
    def _opened(self) -> InputContainer:
        if self._container is None:
            self._container = open_container(self.path)
        return self._container

    def _from_start(self, entry: Entry) -> Iterator[tuple[int, Packet[Any]]]:
        """The packets from an entry on. Those before it are read but not decoded."""
        self.close()
        packets = numbered(self._opened.demux(self._stream))
        return ((number, packet) for number, packet in packets if number >= entry.packet)

    def _sought(self, entry: Entry) -> Iterator[tuple[int, Packet[Any]]] | None:
        """The same, found by seeking; None if the container leads elsewhere, or cannot."""
        from av.error import FFmpegError

        if entry.time is None or entry.stamp is None:
            return None
        container, stream = self._opened, self._stream
        try:
            container.seek(entry.time, stream=stream)
        except FFmpegError:  # there is no index, or it is of no use
            return None
        packets = container.demux(stream)
        for packet in packets:
            stamp = (packet.pos, packet.size)
            if stamp == entry.stamp:
                return numbered(chain([packet], packets), entry.packet)
            if self._places.get(stamp, -1) > entry.packet:
                break
        return None


_READERS: WeakSet[FrameReader] = WeakSet()


def _abandon_all() -> None:
    for reader in _READERS:
        reader.abandon()


os.register_at_fork(after_in_child=_abandon_all)
