"""The interface every method implements; see docs/extending.md for how to write one."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, Literal

from jaxtyping import Float
from torch import Tensor, nn

from vosbench.contract import Clip, Context, F, Padding, Scores, Segmented, V
from vosbench.util.supervision import Learned, Supervision

Colours = Literal["RGB", "Lab"]


class Method(nn.Module, ABC, Generic[F, V]):
    """Turns frames and remembered masks into scores. It never sees object ids, paths, original sizes or configs.

    F is a frame's features and V what memory keeps of a frame; both are frozen dataclasses of the method's own.
    Channel 0 of every mask tensor is the background; h and w are multiples of `stride`.
    The optional interface to intermediate maps, for `vosbench draw`, is in `vosbench.inference.visuals`.
    """

    name: ClassVar[str]  # stored in weights and records; without one, the import path of the class is
    supervision: ClassVar[Supervision]  # of its own training; initial weights and helpers may need more
    helpers: tuple[Learned, ...] = ()  # networks trained elsewhere that `segment` uses, such as a flow network
    modules_used: tuple[str, ...] = ()  # Python modules of the user's own that results depend on
    colours: Colours = "RGB"  # colour space the networks expect; weights trained in another one are refused
    stride: int
    padding: Padding
    memory_masks: Literal["hard", "soft"]
    cell: int | None = None  # `segment` scores cells of so many pixels a side, and memory gets them; None: pixels

    @abstractmethod
    def loss(self, clip: Clip) -> dict[str, Tensor]:
        """Named scalar terms whose sum is minimised.

        Several processes may train on parts of a batch. The result is that of one process if random choices for clips
        come from `clip.draws()`, and if means over what differs between clips (objects, pixels that count) are
        `ops.processes.mean_of_all`. torch's CPU generator is seeded by the step, alike in all processes.
        """

    @abstractmethod
    def encode(self, images: Float[Tensor, "b 3 h w"]) -> F:
        """Features of RGB images in [0, 1] (values outside are padding). Each frame is encoded once."""

    @abstractmethod
    def memorize(self, features: F, masks: Float[Tensor, "1 n h w"]) -> V:
        """The memory entry of a frame with these masks (one channel per object, background first): of its pixels, or of
        its cells. Objects that start in the frame were not yet there when `segment` saw the features."""

    @abstractmethod
    def extend(self, value: V, count: int) -> V:
        """The same entry with `count` more objects, absent from its frame: objects may start late."""

    def forget(self, features: F, objects: Sequence[int]) -> F:
        """The features of a frame in which known objects are given again, without what `segment` put into them of these
        objects. `objects`: their channels. Only for methods whose `segment` returns features with masks in them."""
        return features

    @abstractmethod
    def segment(self, query: F, context: Context[F, V]) -> Scores | Segmented[F]:
        """Scores of the query's pixels, or of its cells: at least 0, summing to at most 1 over the channels.

        A method that has more to pass on to `memorize` or to the memory returns `Segmented` instead.
        """

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a checkpoint in the format of the method's authors, under this implementation's names."""
        return state
