"""The videos of a board: pictures and curves of several methods over one time, attributes, and worst frames."""

from collections.abc import Sequence
from dataclasses import dataclass

from vosbench.evaluation.board.report.beside import Beside
from vosbench.evaluation.board.report.curves import VideoCurves, curves_of, measures_over_time, most_different
from vosbench.evaluation.board.report.moments import Moments, moments_of
from vosbench.evaluation.board.report.plot import Plot, plot_of
from vosbench.evaluation.board.report.store import Store
from vosbench.evaluation.board.rows import OWN
from vosbench.evaluation.results.picture_index import Facts, Picture

PICTURED, OTHERS = 24, 12  # most videos with pictures, and most with curves alone
WORST = 24  # most pictures of worst frames per board, shared by its methods


@dataclass(frozen=True)
class Worst:
    """A method's worst frame in a video: its scores as text, and the key of its picture."""

    method: str
    caption: str
    picture: str


@dataclass(frozen=True)
class Video:
    """A video of a board.

    title    its name, in a mixed board with its data set
    methods  names, in the order of curves and pictures
    """

    title: str
    methods: list[str]
    attributes: Sequence[str]
    moments: Moments
    curves: VideoCurves | None
    plot: Plot | None
    worst: list[Worst]


def videos_of(found: Sequence[Beside], store: Store, *, mixed: bool) -> list[Video]:
    """All videos that have something to show, up to a limit; those on which the methods differ most come first.

    Only rows of one kind share a video: in a mixed board, videos of one name may be different.
    """
    kinds = list(dict.fromkeys(each.row.kind for each in found))
    videos = []
    for kind in kinds:
        same = [each for each in found if each.row.kind == kind]
        suffix = f" ({', '.join(part for part in kind if part != OWN)})" if mixed else ""
        videos += _of_one_kind(same, suffix, max(1, WORST // len(found)), store)
    return videos


def _of_one_kind(found: Sequence[Beside], suffix: str, worst: int, store: Store) -> list[Video]:
    measures = measures_over_time([each.row for each in found])
    order = most_different([each.curves for each in found], measures)
    chosen = {name: _worst_of(found, name, worst, store) for name in _chosen(found, order, worst)}
    return [_video(found, name, suffix, measures, bad, store) for name, bad in chosen.items()]


def _chosen(found: Sequence[Beside], order: Sequence[str], worst: int) -> list[str]:
    """The sequences to show, in order: those that have pictures, and some that only have curves."""
    shown = {picture.sequence for each in found for picture in each.pictures if picture.kind == "frame"}
    shown |= {picture.sequence for each in found for picture in _worst_pictures(each)[:worst]}
    every = [*order, *sorted(shown - set(order))]
    pictured = [name for name in every if name in shown][:PICTURED]
    others = [name for name in every if name not in shown][:OTHERS]
    return [name for name in every if name in {*pictured, *others}]


def _video(
    found: Sequence[Beside], name: str, suffix: str, measures: Sequence[str], worst: list[Worst], store: Store
) -> Video:
    facts = next((each.facts[name] for each in found if name in each.facts), Facts())
    curves = curves_of(name, [each.curves for each in found], measures)
    return Video(
        title=name + suffix,
        methods=[each.name for each in found],
        attributes=facts.attributes,
        moments=moments_of(name, [each.pictures for each in found], facts.frames, curves, store),
        curves=curves,
        plot=None if curves is None else plot_of(curves),
        worst=worst,
    )


def _worst_pictures(method: Beside) -> list[Picture]:
    return [picture for picture in method.pictures if picture.kind == "worst"]


def _worst_of(found: Sequence[Beside], name: str, most: int, store: Store) -> list[Worst]:
    return [
        Worst(each.name, picture.caption, store.key(picture))
        for each in found
        for picture in _worst_pictures(each)[:most]
        if picture.sequence == name
    ]
