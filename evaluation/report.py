"""The leaderboard as one HTML file with its pictures inside: tables, intervals, sequences, and J over time."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from vosbench.evaluation import records
from vosbench.evaluation.leaderboard import Board, Row
from vosbench.evaluation.statistics import sequence_of
from vosbench.evaluation.tables import UNKNOWN, cells, checkpoint_name, is_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS = 40
CURVES = 6  # methods drawn over time and listed by sequence: more cannot be told apart
OBJECTS = 12
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px }
div.scroll { overflow-x: auto }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
th:first-child, td:first-child, .text { text-align: left }
thead th { border-bottom: 2px solid #444 }
img { max-width: 100% }
p.note { color: #555; font-size: 13px; margin: .2rem 0 }
"""


def html(boards: Sequence[Board], figures: Sequence[tuple[str, bytes]] = (), title: str = "Leaderboard") -> str:
    """A page that needs no other file. figures: (title, PNG) pairs that are shown after the tables."""
    parts = [part for board in boards for part in _section(board)]
    parts += [f"<h2>{escape(name)}</h2>{_image(png, name)}" for name, png in figures]
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return "\n".join([f"{head}<h1>{escape(title)}</h1>", *parts, "</html>\n"])


def bar_plot(board: Board) -> bytes:
    """J&F of each row in percent with its 95 % interval, as PNG; quoted numbers are hollow."""
    from matplotlib.figure import Figure

    rows = board.rows[:BARS][::-1]
    figure = Figure(figsize=(9, 0.8 + 0.36 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        mean, interval = 100 * row.headline, row.interval
        axes.barh(place, mean, height=0.65, facecolor="#4c78a8" if row.path else "none", edgecolor="#4c78a8")
        if interval and interval.low is not None and interval.high is not None:
            axes.plot([100 * interval.low, 100 * interval.high], [place, place], color="#222", linewidth=1.5)
        axes.annotate(f"{mean:.1f}", (0, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), names(rows), fontsize=8)
    axes.set(xlim=(0, 100), xlabel="J&F, percent (line: 95 % interval over sequences)")
    axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def curve_plot(rows: Sequence[Row]) -> bytes | None:
    """J over time of the objects on which the rows differ most, as PNG; None where no arrays lie beside the records."""
    from matplotlib.figure import Figure

    curves = {name: records.read_frames(row.path) for name, row in zip(names(rows), rows, strict=True) if row.path}
    objects = _most_different(curves)
    if not objects:
        return None
    across = 2 if len(objects) > 1 else 1
    down = -(-len(objects) // across)
    figure = Figure(figsize=(5.5 * across, 0.6 + 2.0 * down), layout="constrained")
    for place, name in enumerate(objects):
        axes = figure.add_subplot(down, across, place + 1)
        for number, (method, frames) in enumerate(curves.items()):
            values = 100 * frames.get(name, np.empty(0))
            axes.plot(np.arange(1, len(values) + 1), values, label=method, color=f"C{number}", linewidth=1.2)
        axes.set_title(name.removesuffix("/J"), fontsize=9)
        axes.set(ylim=(-3, 103), ylabel="J, percent")
        axes.tick_params(labelsize=7)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(3, len(labels)), fontsize=8, frameon=False)
    figure.supxlabel("scored frame", fontsize=9)
    return _png(figure)


def names(rows: Sequence[Row]) -> list[str]:
    """One short name a row, each different: the method, with its checkpoint where that is not enough, then its run."""
    short = [row.record.method + ("" if row.path else " †") for row in rows]
    longer = [
        f"{name} ({checkpoint_name(row)})" if row.record.checkpoint else name
        for name, row in zip(short, rows, strict=True)
    ]
    full = [f"{name}, {row.run}" if row.run else name for name, row in zip(longer, rows, strict=True)]
    chosen = [b if short.count(a) > 1 else a for a, b in zip(short, longer, strict=True)]
    chosen = [b if chosen.count(a) > 1 else a for a, b in zip(chosen, full, strict=True)]
    return [f"{name} #{place + 1}" if chosen.count(name) > 1 else name for place, name in enumerate(chosen)]


def _section(board: Board) -> list[str]:
    headers, rows = cells(board)
    parts = [f"<h2>{escape(board.title)}</h2><p>Scores in percent.</p>", _table(headers, rows)]
    parts += [f'<p class="note">{escape(note)}</p>' for note in board.notes]
    parts.append(_image(bar_plot(board), "J&F of each method"))
    measured = [row for row in board.rows if row.path][:CURVES]
    parts += ["<h3>J&amp;F by sequence</h3>", _table(*_by_sequence(measured))]
    curves = curve_plot(measured)
    if curves:
        parts += [f"<h3>J over time</h3><p>At most {OBJECTS} objects: those on which the methods differ most.</p>"]
        parts.append(_image(curves, "J over time"))
    return parts


def _by_sequence(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Headers and cells: the mean J&F over a sequence's objects, in percent, a column for each row of the board."""
    means = [_sequence_means(row.headlines()) for row in rows]
    sequences = sorted({sequence for values in means for sequence in values})
    body = [
        [name, *(f"{100 * values[name]:.1f}" if name in values else UNKNOWN for values in means)] for name in sequences
    ]
    return ["Sequence", *names(rows)], body


def _sequence_means(objects: Mapping[str, float]) -> dict[str, float]:
    grouped: dict[str, list[float]] = {}
    for name, value in objects.items():
        grouped.setdefault(sequence_of(name), []).append(value)
    return {sequence: float(np.mean(values)) for sequence, values in grouped.items()}


def _most_different(curves: Mapping[str, Mapping[str, Float64[np.ndarray, " t"]]]) -> list[str]:
    """Keys "<sequence>_<id>/J" of the objects whose mean J spreads most over the methods, in alphabetical order."""
    keys = {key for frames in curves.values() for key in frames if key.endswith("/J")}
    spread = {key: float(np.ptp([frames[key].mean() for frames in curves.values() if key in frames])) for key in keys}
    return sorted(sorted(keys, key=lambda key: (-spread[key], key))[:OBJECTS])


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    sides = [' class="text"' if is_text(header) else "" for header in headers]
    head = "".join(f"<th{side}>{escape(header)}</th>" for side, header in zip(sides, headers, strict=True))
    lines = ("".join(f"<td{side}>{escape(cell)}</td>" for side, cell in zip(sides, row, strict=True)) for row in rows)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _image(png: bytes, description: str) -> str:
    return f'<img alt="{escape(description)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
