"""The pictures of a page: each content is held once, however many methods and boards show it."""

import base64
import io
from dataclasses import dataclass, field

from PIL import Image as Pillow

from vosbench.evaluation.results.picture_index import Picture


@dataclass
class Store:
    """Pictures by key: p0, p1, …"""

    keys: dict[bytes, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)

    def key(self, picture: Picture) -> str:
        """The key of a picture, which is kept."""
        key = self.keys.setdefault(picture.data, f"p{len(self.keys)}")
        self.types[key] = picture.type
        return key

    def addresses(self) -> dict[str, str]:
        """All pictures by key, as addresses that hold their content."""
        return {
            key: f"data:{self.types[key]};base64,{base64.b64encode(data).decode()}" for data, key in self.keys.items()
        }


def size_of(picture: Picture) -> tuple[int, int]:
    """Width and height."""
    with Pillow.open(io.BytesIO(picture.data)) as image:
        return image.size
