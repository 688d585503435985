"""The moments of a video that a slider goes through, with the pictures of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vosbench.evaluation.board.report.curves import VideoCurves
from vosbench.evaluation.board.report.store import Store, size_of
from vosbench.evaluation.results.picture_index import Kind, Picture

Keys = list[str | None]  # of the store, one for each moment; None: there is no such picture


@dataclass(frozen=True)
class Moments:
    """The moments of a video. Without pictures, they are the frames that curves have.

    names      of the frames
    positions  of the frames in curves; None: not scored
    all_names  by position, of every scored frame whose name is known
    size       width and height of the pictures; None: there are none
    frames     keys of the pictures; annotations and predictions (of each method): keys of layers over them
    """

    names: list[str]
    positions: list[int | None]
    all_names: dict[int, str]
    size: tuple[int, int] | None
    frames: Keys
    annotations: Keys
    predictions: list[Keys]

    @property
    def start(self) -> int:
        """The moment that a page shows at first: in the middle."""
        return len(self.names) // 2


def moments_of(
    sequence: str,
    methods: Sequence[Sequence[Picture]],
    scored: Mapping[str, int],
    curves: VideoCurves | None,
    store: Store,
) -> Moments:
    """The moments of a sequence. `scored`: positions of its scored frames, by name."""
    own = [[picture for picture in pictures if picture.sequence == sequence] for pictures in methods]
    every = [picture for pictures in own for picture in pictures]
    all_names = {position: name for name, position in scored.items()}
    frames = _by_moment(every, "frame")
    if not frames:
        positions = curves.positions if curves else []
        names = [all_names.get(position, f"{position} of the annotated ones") for position in positions]
        return Moments(names, list(positions), all_names, None, [], [], [])
    names = sorted(frames, key=lambda name: (scored.get(name, -1), name)) if _all_in(frames, scored) else list(frames)
    return Moments(
        names=names,
        positions=[scored.get(name) for name in names],
        all_names=all_names,
        size=size_of(frames[names[0]]),
        frames=_keys(frames, names, store),
        annotations=_keys(_by_moment(every, "annotation"), names, store),
        predictions=[_keys(_by_moment(pictures, "prediction"), names, store) for pictures in own],
    )


def _by_moment(pictures: Sequence[Picture], kind: Kind) -> dict[str, Picture]:
    """The pictures of a kind by the name of their frame; the first method that has one gives it."""
    found: dict[str, Picture] = {}
    for picture in pictures:
        if picture.kind == kind:
            found.setdefault(picture.caption, picture)
    return found


def _all_in(names: Mapping[str, Picture], scored: Mapping[str, int]) -> bool:
    return all(name in scored for name in names)


def _keys(pictures: Mapping[str, Picture], names: Sequence[str], store: Store) -> Keys:
    return [store.key(pictures[name]) if name in pictures else None for name in names]
