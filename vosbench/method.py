"""The interface every method implements; see docs/methods.md for how to write one."""

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, Literal

from jaxtyping import Float
from torch import Tensor, nn

from vosbench.contract import Clip, Context, F, Padding, V
from vosbench.inference.visuals import Inside
from vosbench.util.supervision import Learned, Supervision

Colours = Literal["RGB", "Lab"]


class Method(nn.Module, ABC, Generic[F, V]):
    """Turns frames and remembered masks into scores. It never sees object ids, paths, original sizes or configs.

    F is a frame's features and V what memory keeps of a frame; both are frozen dataclasses of the method's own.
    Channel 0 of every mask tensor is the background; h and w are multiples of `stride`.
    """

    name: ClassVar[str]  # under which weights and records know it; of a class without one, where it is imported from
    supervision: ClassVar[Supervision]  # of its own training; what it begins with or is helped by may need more
    helpers: tuple[Learned, ...] = ()  # what learned elsewhere and takes part in `segment`: a flow network
    colours: Colours = "RGB"  # that its networks see: weights that learned from others are refused
    stride: int
    padding: Padding
    memory_masks: Literal["hard", "soft"]

    @abstractmethod
    def loss(self, clip: Clip) -> dict[str, Tensor]:
        """Named scalar terms whose sum is minimised. Random choices use torch's CPU generator, seeded by the step."""

    @abstractmethod
    def encode(self, images: Float[Tensor, "b 3 h w"]) -> F:
        """Features of RGB images in [0, 1] (outside of it: padding). Each frame is encoded once."""

    @abstractmethod
    def memorize(self, features: F, masks: Float[Tensor, "1 n h w"]) -> V:
        """All that memory keeps of a frame with these masks (one channel per object, background first)."""

    @abstractmethod
    def extend(self, value: V, count: int) -> V:
        """The same memory with `count` more objects, absent from its frame: objects may start late."""

    @abstractmethod
    def segment(self, query: F, context: Context[F, V]) -> Float[Tensor, "1 n h w"]:
        """Scores of the query's pixels: at least 0, summing to at most 1 over the channels."""

    def keys(self, features: F) -> Float[Tensor, "b c h w"] | None:
        """What of a frame's features is compared between frames, for those who look at it; None: nothing is."""
        return None

    def insides(self, query: F, context: Context[F, V]) -> dict[str, Inside]:
        """What `segment` goes through to its result for this query, by name and in order, for `vosbench draw`."""
        return {}

    def matches(self, query: F, context: Context[F, V], pixel: tuple[int, int]) -> list[dict[str, Inside]]:
        """Where `segment` searches past frames for what the query shows at this pixel (x, y), and what it finds there.

        For `vosbench draw`: by name and in order, in rows that are to be compared, of which the first is what
        `segment` does.
        """
        return []

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a checkpoint in the format of the method's authors, under this implementation's names."""
        return state
