"""Shared elements of all plots: colours, new figures, grids of panels, ticks, legends and name texts."""

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import Formatter, MaxNLocator, NullFormatter, ScalarFormatter
from matplotlib.ticker import LogLocator as _LogLocator
from numpy.typing import NDArray

from swarmnet.data.units import labelled
from swarmnet.errors import SwarmnetError
from swarmnet.model.fitted_model import FittedModel

Array = NDArray[np.float64]

# Okabe and Ito's colours, which people with any kind of colour vision can distinguish
BLACK, BLUE, VERMILLION, GREEN = "#000000", "#0072B2", "#D55E00", "#009E73"
ORANGE, SKY, PURPLE = "#E69F00", "#56B4E9", "#CC79A7"

MOST_PANELS = 36
_MANY = 150  # number of dots from which they are drawn smaller
_NAME = 26  # characters of a name in a line
_TOGETHER = "\u00a0=\u00a0"  # where no line is broken


def axes(ax: Axes | None) -> Axes:
    """Return `ax` itself, or the only Axes of a new figure."""
    if ax is None:
        return Figure(layout="constrained").subplots()
    if not isinstance(ax, Axes):  # but, say, the array that `plt.subplots(2, 2)` returns
        raise SwarmnetError(f"ax must be a matplotlib Axes, not {type(ax).__name__}")
    return ax


def panels(
    figure: Figure | SubFigure | None,
    names: Sequence[Any],
    rows: int | None = None,
    width: float = 0.5,
    **shared: Any,
) -> tuple[Figure | SubFigure, dict[Any, Axes]]:
    """Return the figure, and its Axes by name in a grid of `rows`, or of a suitable number of rows.

    In a new figure a panel is `width` times as wide as a figure of one Axes.
    """
    if len(names) > MOST_PANELS:
        raise SwarmnetError(
            f"{len(names)} panels, and {MOST_PANELS} can be read: name fewer columns or inputs"
        )
    columns = len(names) // rows if rows else _across(len(names))
    rows = rows or -(-len(names) // columns)
    whole = _empty(figure, rows, columns, width)
    grid = whole.subplots(rows, columns, squeeze=False, **shared)
    for unused in grid.flat[len(names) :]:
        unused.remove()
    return whole, dict(zip(names, grid.flat[: len(names)], strict=True))


def _across(count: int) -> int:
    """Return the number of panels in a row: at most four, with the last row as full as possible."""
    if count <= 4:
        return 2 if count == 4 else count
    return min(4, 3, key=lambda across: -count % across)


def _empty(figure: Figure | SubFigure | None, rows: int, columns: int, width: float) -> Figure | SubFigure:
    if figure is None:
        wide, high = mpl.rcParams["figure.figsize"]
        size = (max(width * columns, 1.0) * wide, 0.5 * (1.15 * rows + 0.3) * high)
        made = Figure(figsize=(wide, 1.1 * high) if rows == columns == 1 else size)
        made.set_layout_engine("constrained", w_pad=0.1)  # the numbers at the ends of two axes are apart
        return made
    if not isinstance(figure, Figure | SubFigure):
        raise SwarmnetError(f"figure must be a matplotlib Figure or SubFigure, not {type(figure).__name__}")
    if figure.axes:
        raise SwarmnetError("the figure has axes already: give an empty Figure or SubFigure")
    whole = figure
    while isinstance(whole, SubFigure):
        whole = whole.figure
    if whole.get_layout_engine() is None:
        whole.set_layout_engine("constrained")
    return figure


def settle(figure: Figure | SubFigure) -> None:
    """Lay out square Axes: the constrained layout needs several passes to converge."""
    for _ in range(4):  # one more pass follows when the figure is drawn
        figure.figure.draw_without_rendering()


def ticks(ax: Axes) -> None:
    """Set few ticks with short numbers, so that they fit on small panels."""
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(formatter())


class LogLocator(_LogLocator):
    """Few ticks on a logarithmic axis: powers of ten, or round numbers over less than two decades."""

    def __init__(self) -> None:
        super().__init__(numticks=5)

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Return the places of the ticks."""
        low, high = sorted((vmin, vmax))
        if not 0 < low < high < 100 * low:
            return super().tick_values(vmin, vmax)
        found = np.asarray(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]).tick_values(low, high))
        return found[found > 0]


class LogFormatter(Formatter):
    """Ticks as powers of ten if all are; otherwise as plain numbers."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return self.format_ticks([x])[0]

    def format_ticks(self, values: Any) -> list[str]:
        """Return the texts of the ticks."""
        powers = np.log10(values)
        if np.allclose(powers, np.round(powers), atol=1e-9):
            return [rf"$\mathdefault{{10^{{{power:.0f}}}}}$" for power in powers]
        return [f"{value:.4g}" for value in values]


def scale(ax: Axes, log_x: bool, log_y: bool) -> None:
    """Make axes logarithmic."""
    for axis, log, set_scale in ((ax.xaxis, log_x, ax.set_xscale), (ax.yaxis, log_y, ax.set_yscale)):
        if log:
            set_scale("log")
            axis.set_major_locator(LogLocator())
            axis.set_major_formatter(LogFormatter())
            axis.set_minor_formatter(NullFormatter())


def formatter() -> ScalarFormatter:
    """Return a formatter with few digits and a common power of ten at the end of the axis."""
    made = ScalarFormatter(useMathText=True)
    made.set_powerlimits((-2, 4))
    return made


def dots(
    ax: Axes, x: Array, y: Array, x_bars: Array | None = None, y_bars: Array | None = None, **line: Any
) -> None:
    """Draw observations as circles, with bars (n,) of that length each way; `line` goes to matplotlib."""
    ax.errorbar(
        x,
        y,
        xerr=x_bars,
        yerr=y_bars,
        fmt="o",
        color=BLACK,
        markerfacecolor="white",
        markersize=5 if len(x) <= _MANY else 3,
        ecolor="0.5",
        elinewidth=1,
        **line,
        zorder=3,
    )


def bars(sigma: Array) -> Array | None:
    """Return two standard deviations (n,), 0 where unknown; None if none is known."""
    return 2 * np.nan_to_num(sigma) if np.isfinite(sigma).any() else None


def legend_below(figure: Figure | SubFigure, axes: Iterable[Axes]) -> None:
    """Add one legend for all panels below them, if there are labels."""
    labels: dict[str, Artist] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            labels.setdefault(label, handle)
    if not labels:
        return
    figure.legend(
        labels.values(), labels.keys(), loc="outside lower center", ncols=2, frameon=False, fontsize="small"
    )


def legend_under(ax: Axes, handles: Sequence[Artist], lines: float) -> None:
    """Add a legend in a row below an Axes, at a distance of so many lines of text."""
    ax.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        borderaxespad=lines,
        ncols=len(handles),
        columnspacing=1.0,
        handletextpad=0.4,
        fontsize="small",
        frameon=False,
    )


def label(name: str, model: FittedModel) -> str:
    """Return a column's name with its unit, as `text` does."""
    return text(labelled(name, model.units))


def text(name: str, width: int = _NAME) -> str:
    """Return a name for literal display by matplotlib ($ would begin a formula), with line breaks."""
    whole = name.replace(" = ", _TOGETHER)
    lines = wrap(whole, width, break_on_hyphens=False) or [whole]
    return "\n".join(lines).replace(_TOGETHER, " = ").replace("$", r"\$")
