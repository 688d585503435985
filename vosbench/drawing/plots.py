"""Plots over time."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from vosbench.drawing.overlays import COLOURS, Image, LabelMap


def label_image(labels: LabelMap) -> Image:
    """A label map in the colours of the VOC palette."""
    return np.take(COLOURS, labels, axis=0)


def curves(
    series: Mapping[str, Sequence[float] | Float[np.ndarray, " t"]],
    *,
    x_label: str = "frame",
    y_label: str = "J",
    title: str = "",
    y_range: tuple[float, float] | None = (0.0, 1.02),
    size: tuple[float, float] = (7.0, 3.2),
    dpi: int = 110,
) -> bytes:
    """One line per named series over its index, NaN left out, as a PNG file's bytes. `size` is in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, values in series.items():
        axes.plot(
            np.arange(len(values)), np.asarray(values, float), label=name, linewidth=1.6, marker=".", markersize=3
        )
    axes.set(xlabel=x_label, ylabel=y_label, title=title)
    if y_range is not None:
        axes.set_ylim(*y_range)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if series:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
