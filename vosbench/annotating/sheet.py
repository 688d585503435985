"""What the page draws on: one frame of a video, and the file of its mask."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from vosbench.datasets.drawn_masks import Drawn, refined
from vosbench.util.errors import UserError
from vosbench.util.wording import listing, rows_columns
from vosbench.video.images import write_label_map
from vosbench.video.palette import PALETTE, VOID
from vosbench.video.video import Image, LabelMap


@dataclass
class Sheet:
    """A frame, and the mask that is drawn on it.

    title    names the video and the frame
    image    the frame
    labels   the mask that the page begins with, of the frame's size; then what was written last
    output   the PNG that the mask is written to
    command  what is typed to use this file
    saved    the ids of the objects that were written last; None: nothing was
    """

    title: str
    image: Image
    labels: LabelMap
    output: Path
    command: str
    saved: list[int] | None = field(default=None, init=False)

    @property
    def pixels(self) -> int:
        """The number of bytes of a mask: one for each pixel, row by row."""
        return self.labels.size

    @property
    def facts(self) -> bytes:
        """What the page has to know, as JSON."""
        height, width = self.labels.shape
        facts = {"title": self.title, "width": width, "height": height, "palette": PALETTE}
        return json.dumps({**facts, "output": str(self.output), "command": self.command}).encode()

    @cached_property
    def picture(self) -> bytes:
        """The frame as a PNG, which is written fast rather than small."""
        _, png = cv2.imencode(".png", self.image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        return png.tobytes()

    def in_box(self, text: bytes) -> bytes:
        """The object in a box, as one byte a pixel, 0 or 1. `text`: its left, top, right and bottom as a JSON list.

        Raises UserError for what is no box in the frame, and if nothing is found in it.
        """
        try:
            box = tuple(map(int, json.loads(text)))
        except (ValueError, TypeError) as error:
            raise UserError("a box is a list of left, top, right and bottom") from error
        if len(box) != 4:
            raise UserError(f"a box has 4 numbers, and there are {len(box)}")
        return Drawn("box", (box,)).mask(self.image).tobytes()

    def refine(self, clues: bytes) -> bytes:
        """The object near to what was painted, as one byte a pixel, 0 or 1. `clues`: see `drawn_masks.refined`.

        Raises UserError for clues of another size or kind, and as `refined` does.
        """
        return refined(self.image, self._map(clues, most=4)).view(np.uint8).tobytes()

    def save(self, labels: bytes) -> bytes:
        """Writes the mask, and gives its object ids as JSON. `labels`: an id for each pixel.

        Raises UserError for another size, for an id above 254, and for a mask without objects.
        """
        ids = self._map(labels, most=VOID - 1)
        if not ids.any():
            raise UserError("there is no object yet: draw one first")
        self.output.parent.mkdir(parents=True, exist_ok=True)
        write_label_map(self.output, ids)
        self.labels, self.saved = ids, [int(id_) for id_ in np.unique(ids) if id_]
        return json.dumps(self.saved).encode()

    def told(self) -> str:
        """What was written, in words."""
        return f"wrote {self.output} with objects {listing(self.saved)}" if self.saved else "nothing was saved"

    def _map(self, content: bytes, most: int) -> LabelMap:
        if len(content) != self.pixels:
            size = rows_columns(self.labels.shape)
            raise UserError(f"a frame of {size} pixels has {self.pixels} bytes, and there are {len(content)}")
        found: LabelMap = np.frombuffer(content, np.uint8).reshape(self.labels.shape)
        if (largest := int(found.max())) > most:
            raise UserError(f"there is a {largest}, and {most} is the most that a pixel may be")
        return found
