"""The leaderboard as one HTML file with its pictures inside: tables, intervals, curves, overlays and worst frames."""

import base64
import io
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vosbench.drawing.overlays import FALSE, HIT, MISSED
from vosbench.evaluation.board.columns import UNKNOWN, is_text, percent
from vosbench.evaluation.board.leaderboard import Board
from vosbench.evaluation.board.names import names
from vosbench.evaluation.board.rows import Row
from vosbench.evaluation.metrics import Curves
from vosbench.evaluation.object_key import ObjectKey
from vosbench.evaluation.protocols.protocol import Measure
from vosbench.evaluation.results import records
from vosbench.evaluation.results.pictures import Picture, read_pictures
from vosbench.util.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)
BARS = 40
METHODS = 6  # most methods in plots, sequence tables and pictures: more cannot be told apart
OBJECTS = 12
WORST = 24  # most pictures per board, shared by its methods
LONGEST = 200  # letters of a name in plots
LETTERS = 150  # per line of a legend
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px }
div.scroll { overflow-x: auto }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
th:first-child, td:first-child, .text { text-align: left }
thead th { border-bottom: 2px solid #444 }
img { max-width: 100%; display: block }
figure { margin: .5rem 0 }
figcaption, p.note { color: #555; font-size: 13px; margin: .2rem 0 }
details { margin: .5rem 0 }
"""


def html(boards: Sequence[Board], title: str = "Leaderboard") -> str:
    """A page that needs no other file."""
    parts = [part for board in boards for part in _section(board)]
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return "\n".join([f"{head}<h1>{escape(title)}</h1>", *parts, "</html>\n"])


def bar_plot(board: Board) -> bytes:
    """The headline of each row in percent with its 95 % interval, as PNG; quoted numbers are hollow."""
    from matplotlib.figure import Figure

    with _no_mathematics():
        rows = board.rows[:BARS][::-1]
        labels = names(rows, marked=True)
        width = 7 + 0.07 * max(map(len, labels))  # inches: the axes keep their length next to long names
        figure = Figure(figsize=(width, 0.8 + 0.36 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for place, row in enumerate(rows):
            mean, interval = 100 * row.headline, row.interval
            axes.barh(place, mean, height=0.65, facecolor="#4c78a8" if row.path else "none", edgecolor="#4c78a8")
            end = mean
            if interval and interval.low is not None and interval.high is not None:
                axes.plot([100 * interval.low, 100 * interval.high], [place, place], color="#222", linewidth=1.5)
                end = max(mean, 100 * interval.high)
            axes.annotate(f"{mean:.1f}", (end, place), (5, 0), textcoords="offset points", va="center", fontsize=8)
        axes.set_yticks(range(len(rows)), labels, fontsize=8)
        low, high = min(row.measure.low for row in rows), max(row.measure.high for row in rows)
        axes.set(
            xlim=(100 * low, 100 * high), xlabel=f"{_headline(board)}, percent (line: 95 % interval over sequences)"
        )
        axes.spines[["top", "right"]].set_visible(False)
        return _png(figure)


def curve_plot(rows: Sequence[Row]) -> bytes | None:
    """Measures over time (J and F), as PNG, of the objects on which the rows differ most, or a single row's worst
    objects.

    None if there are no arrays beside the records.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    measures = _over_time_of(rows)
    found = {name: _curves(row, measures) for name, row in zip(names(rows, marked=True), rows, strict=True) if row.path}
    objects = _most_different(found)
    if not objects:
        return None
    with _no_mathematics():
        figure = Figure(figsize=(11, 0.8 + 1.8 * len(objects)), layout="constrained")
        panels = figure.subplots(len(objects), len(measures), sharex="row", sharey=True, squeeze=False)
        for row, key in zip(panels, objects, strict=True):
            for axes, measure in zip(row, measures, strict=True):
                for number, curves in enumerate(found.values()):
                    if key in curves:
                        frames, values = curves[key].frames, 100 * curves[key].measures[measure]
                        axes.plot(frames, values, color=f"C{number}", linewidth=1.2, alpha=0.85)
                axes.set_title(f"{key.title}: {measure}", fontsize=9)
                axes.set(ylim=(-3, 103), yticks=(0, 25, 50, 75, 100))
                axes.tick_params(labelsize=7)
                axes.grid(alpha=0.25)
        handles = [Line2D([], [], color=f"C{number}", label=name) for number, name in enumerate(found)]
        across = min(3, max(1, LETTERS // max(map(len, found))))
        figure.legend(handles=handles, loc="outside upper center", ncols=across, fontsize=8, frameon=False)
        figure.supxlabel("annotated frame", fontsize=9)
        figure.supylabel("percent", fontsize=9)
        return _png(figure)


def _no_mathematics() -> AbstractContextManager[None]:
    """In figures drawn inside, a dollar sign in a name is a dollar sign, not the start of a formula."""
    from matplotlib import rc_context

    return rc_context({"text.parse_math": False})


def _section(board: Board) -> list[str]:
    headers, rows = board.cells
    parts = [f"<h2>{escape(board.title)}</h2><p>Scores in percent.</p>", _table(headers, rows)]
    parts += [f'<p class="note">{escape(note)}</p>' for note in board.notes]
    parts.append(_image(bar_plot(board), f"{_headline(board)} of each method"))
    measured = [row for row in board.rows if row.path][:METHODS]
    pictures = {name: _pictures(row) for name, row in zip(names(measured, marked=True), measured, strict=True)}
    return [
        *parts,
        *_by_sequence(measured),
        *_over_time(measured),
        *_sheets(pictures),
        *_worst(pictures, _over_time_of(measured)),
    ]


def _by_sequence(rows: Sequence[Row]) -> list[str]:
    """The mean over each sequence's objects (J&F), with a column for each row of the board. The parts (J and F) of each
    object are folded."""
    measure = next((row.rules.plain_mean for row in rows if row.rules and row.rules.plain_mean), None)
    if measure is None:
        return []
    found = [{key: values for key, values in row.objects.items() if measure.has(values)} for row in rows]
    keys = sorted({key for values in found for key in values}, key=str)
    if not keys:
        return []
    means = [_sequence_means(values, measure) for values in found]
    sequences = sorted({key.sequence for key in keys})
    by_sequence = [[name, *(_percent(values.get(name)) for values in means)] for name in sequences]
    by_object = [
        [key.title, *(_percent(values.get(key, {}).get(part)) for values in found for part in measure.parts)]
        for key in keys
    ]
    parts = [Measure(part).label for part in measure.parts]
    return [
        f"<h3>{escape(measure.label)} by sequence</h3>",
        _table(["Sequence", *names(rows, marked=True)], by_sequence),
        f"<details><summary>{escape(' and '.join(parts))} of {len(keys)} objects</summary>",
        _table(["Object", *(f"{name}: {part}" for name in names(rows, marked=True) for part in parts)], by_object),
        "</details>",
    ]


def _over_time(rows: Sequence[Row]) -> list[str]:
    plot = curve_plot(rows)
    if plot is None:
        return []
    which = "on which the methods differ most" if len(rows) > 1 else "with the lowest mean"
    text = f"<p>At most {OBJECTS} objects: those {which} come first.</p>"
    title = f"{' and '.join(_over_time_of(rows))} over time"
    return [f"<h3>{escape(title)}</h3>", text, _image(plot, title)]


def _sheets(pictures: Mapping[str, Sequence[tuple[Picture, bytes]]]) -> list[str]:
    """The annotations of each sequence, and below them the predictions of each method for the same frames."""
    strips = [(picture.sequence, name, picture, data) for name, found in pictures.items() for picture, data in found]
    strips = sorted((each for each in strips if each[2].kind != "worst"), key=lambda each: each[0])
    parts = ["<h3>Overlays over time</h3><p>At 2, 25, 50, 75 and 100 % of the predicted frames.</p>"] if strips else []
    for sequence, group in groupby(strips, key=lambda each: each[0]):
        parts.append(f"<h4>{escape(sequence)}</h4>")
        shown: set[str] = set()
        for _, name, picture, data in sorted(group, key=lambda each: each[2].kind != "truth"):
            # Methods that predicted other frames show other moments, with their own annotations.
            if picture.kind == "sheet" or picture.caption not in shown:
                parts.append(_figure(data, name if picture.kind == "sheet" else "annotation"))
                shown.add(picture.caption)
    return parts


def _worst(pictures: Mapping[str, Sequence[tuple[Picture, bytes]]], measures: Sequence[str]) -> list[str]:
    worst = {name: [each for each in found if each[0].kind == "worst"] for name, found in pictures.items()}
    worst = {name: found[: max(1, WORST // len(worst))] for name, found in worst.items() if found}
    colours = ((HIT, "found"), (MISSED, "missed"), (FALSE, "false"))
    legend = ", ".join(f'<b style="color: rgb{colour}">{word}</b>' for colour, word in colours)
    lowest = f"The frame with the lowest mean of {' and '.join(measures)} in a sequence"
    text = f"{lowest}, for the worst sequences of each method: {legend}."
    parts = [f"<h3>Worst frames</h3><p>{text}</p>"] if worst else []
    for name, found in worst.items():
        parts += [f"<h4>{escape(name)}</h4>", *(_figure(data, picture.caption) for picture, data in found)]
    return parts


def _pictures(row: Row) -> list[tuple[Picture, bytes]]:
    """Pictures beside a record, as JPEG files."""
    folder = row.path.with_suffix("") if row.path else Path()
    return [(picture, (folder / picture.file).read_bytes()) for picture in read_pictures(folder)]


def _headline(board: Board) -> str:
    """The score that orders the board; a mixed board may have none in common."""
    names = {row.measure.label for row in board.rows}
    return names.pop() if len(names) == 1 else "each row's first score: " + " or ".join(sorted(names))


def _sequence_means(objects: Mapping[ObjectKey, Mapping[str, float]], measure: Measure) -> dict[str, float]:
    grouped: dict[str, list[float]] = {}
    for key, values in objects.items():
        grouped.setdefault(key.sequence, []).append(measure.of(values))
    return {sequence: float(np.mean(values)) for sequence, values in grouped.items()}


def _over_time_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """The measures of the first protocol that has any over time."""
    return next((row.rules.over_time for row in rows if row.rules and row.rules.over_time), ())


def _curves(row: Row, measures: Sequence[str]) -> dict[ObjectKey, Curves]:
    """The curves of objects that have all these measures, from the arrays beside the row's record."""
    try:
        curves = records.read_curves(row.path) if row.path and measures else {}
    except UserError as error:
        log.warning("no curves: %s", error)
        return {}
    return {
        key: Curves(curve.frames, {name: curve.measures[name] for name in measures})
        for key, curve in curves.items()
        if set(measures) <= set(curve.measures)
    }


def _most_different(methods: Mapping[str, Mapping[ObjectKey, Curves]]) -> list[ObjectKey]:
    """The objects whose mean over time differs most between methods; ties are ordered worst first."""
    means: dict[ObjectKey, list[float]] = {}
    for curves in methods.values():
        for key, curve in curves.items():
            means.setdefault(key, []).append(float(np.mean([values.mean() for values in curve.measures.values()])))
    return sorted(means, key=lambda key: (-np.ptp(means[key]), np.mean(means[key]), str(key)))[:OBJECTS]


def _percent(value: float | None) -> str:
    return percent(value) or UNKNOWN


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    sides = [' class="text"' if is_text(header) else "" for header in headers]
    head = "".join(f"<th{side}>{escape(header)}</th>" for side, header in zip(sides, headers, strict=True))
    lines = ("".join(f"<td{side}>{escape(cell)}</td>" for side, cell in zip(sides, row, strict=True)) for row in rows)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _figure(jpeg: bytes, caption: str) -> str:
    return f"<figure><figcaption>{escape(caption)}</figcaption>{_image(jpeg, caption, 'jpeg')}</figure>"


def _image(data: bytes, description: str, kind: str = "png") -> str:
    return f'<img alt="{escape(description)}" src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
