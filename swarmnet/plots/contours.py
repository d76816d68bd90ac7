"""Contours of a column over two inputs, of an output with its gradient as arrows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure, SubFigure

from swarmnet.data.column_names import derivative_name
from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import SwarmnetError
from swarmnet.model.columns import Column
from swarmnet.model.fitted_model import FittedModel
from swarmnet.plots import style
from swarmnet.plots.queries import (
    NEARNESS,
    Answers,
    Array,
    At,
    Drawn,
    Slice,
    column_of,
    input_of,
    is_log_input,
    is_log_output,
    names_of,
    place,
)

_POINTS, _ARROWS = 81, 12  # points along an axis
_LEVELS = 12
_WIDE = 0.6  # of a panel with its colour bar, as a share of a figure's width
_ROUNDING = 1e-12  # relative differences below this are rounding, not contours
# Lightness decreases along the map, so that it works in grey; it stays light enough for black arrows.
_COLORS = ListedColormap(mpl.colormaps["YlGnBu"](np.linspace(0.0, 0.6, 256)))


def contour(
    model: FittedModel,
    output: str,
    x: str,
    y: str,
    at: At = None,
    data: MixedData | None = None,
    ax: Axes | None = None,
    *,
    nearness: float = NEARNESS,
) -> Axes:
    """Draw an output over two inputs, with the others at the base point, and arrows along its gradient.

    An arrow is (dY/dx range_x, dY/dy range_y): the linear change of the output over the width and the height
    of the square panel. So it does not depend on units and is perpendicular to the contours. The closer the
    contours, the longer the arrow; the longest is as long as the distance between arrows. Where the model
    takes logarithms, axes and levels are logarithmic, and the arrows are the gradient of the logarithms.

    Args:
        model: the model.
        output: an output's name; or another column, a partial or a formula, which gets no arrows.
        x: the input along the horizontal axis.
        y: the input along the vertical axis.
        at: the base point, see `swarmnet.plots`.
        data: mark where the output's values (dots) and partials (crosses), or the other column, were
            observed, in rows whose other inputs are within `nearness` times their range of the base point.
        ax: the Axes, which is made square and shares its space with a colour bar; a new figure by default.
        nearness: see data.

    Raises:
        SwarmnetError: a name that is not the model's, an invalid base point, or an input or a column that
            does not vary.
    """
    plane = _Plane.of(Slice.of(model, at, data, nearness), x, y)
    column = column_of(model, output, plane.base.data)
    ax = style.axes(ax)
    plane.draw(column, ax, 40)
    style.legend_under(ax, ax.get_legend_handles_labels()[0], 4.5)
    return ax


def contour_panels(
    model: FittedModel,
    columns: Sequence[str] | None = None,
    x: str | None = None,
    y: str | None = None,
    at: At = None,
    data: MixedData | None = None,
    figure: Figure | SubFigure | None = None,
    *,
    nearness: float = NEARNESS,
) -> dict[str, Axes]:
    """Draw `contour` in a panel for each of the `columns`, by default the outputs.

    `x` and `y` are the model's first and second input by default.

    Returns:
        The Axes by column.

    Raises:
        SwarmnetError: as in `contour`; or the model has one input, too many panels, or a figure that is not
            empty.
    """
    base = Slice.of(model, at, data, nearness)
    x, y = _two_inputs(model, x, y)
    plane = _Plane.of(base, x, y)
    names = list(model.outputs) if columns is None else names_of("columns", columns)
    drawn = {name: column_of(model, name, base.data) for name in names}
    whole, axes = style.panels(figure, names, width=_WIDE)
    for name, ax in axes.items():
        plane.draw(drawn[name], ax, 30)
    style.legend_below(whole, axes.values())
    style.settle(whole)
    return axes


def _two_inputs(model: FittedModel, x: str | None, y: str | None) -> tuple[str, str]:
    if len(model.inputs) < 2:
        raise SwarmnetError(f"the model has one input, {model.inputs[0]}: contours need two; draw a profile")
    first = next(name for name in model.inputs if name != y) if x is None else x
    return first, next(name for name in model.inputs if name != first) if y is None else y


@dataclass(frozen=True)
class _Plane:
    """The plane through the base point along two inputs; where the model takes logarithms, of these."""

    base: Slice
    inputs: tuple[int, int]

    @classmethod
    def of(cls, base: Slice, x: str, y: str) -> "_Plane":
        inputs = input_of(base.model, x), input_of(base.model, y)
        if x == y:
            raise SwarmnetError(f"x and y are both {x}: a contour needs two inputs")
        for name, j in zip((x, y), inputs, strict=True):
            if base.low[j] == base.high[j]:
                raise SwarmnetError(f"{name} has only the value {base.low[j]:g}: there is no contour over it")
        return cls(base, inputs)

    def draw(self, column: Drawn, ax: Axes, title_width: int) -> None:
        """Draw contours, a colour bar, arrows and marks, and name the axes."""
        model, named = self.base.model, [self.base.model.inputs[j] for j in self.inputs]
        style.ticks(ax)
        style.scale(ax, *(is_log_input(model, j) for j in self.inputs))
        self._draw_levels(column, ax)
        if isinstance(column, Column) and column.input is None:
            self._draw_arrows(column, ax)
        self._draw_marks(column, ax)
        others = [name for name in model.inputs if name not in named]
        title = f"{column.name} at {place(model, self.base.at, others)}" if others else column.name
        x, y = (style.label(name, self.base.model) for name in named)
        ax.set(title=style.text(title, title_width), xlabel=x, ylabel=y, box_aspect=1)

    def _grid(self, shares: Array) -> tuple[Array, Array, Answers]:
        """Return the coordinates (m, m) at shares of the two ranges, and the answers there."""
        across, up = np.meshgrid(*(self._along(j, shares) for j in self.inputs))
        return across, up, self.base.answers(self.inputs, np.column_stack([across.ravel(), up.ravel()]))

    def _along(self, input: int, shares: Array) -> Array:
        low, high = self.base.low[input], self.base.high[input]
        if is_log_input(self.base.model, input):
            return np.asarray(low * (high / low) ** shares)
        return np.asarray(low + shares * (high - low))

    def _draw_levels(self, column: Drawn, ax: Axes) -> None:
        across, up, answers = self._grid(np.linspace(0.0, 1.0, _POINTS))
        heights = answers.of(column).reshape(across.shape)
        low, high = float(heights.min()), float(heights.max())
        if high - low <= _ROUNDING * max(abs(low), abs(high)):
            raise SwarmnetError(f"{column.name} is {low:g} everywhere here: it has no contours")
        levels: Any = _LEVELS
        norm = None
        ticks: dict[str, Any] = {"format": style.formatter()}
        if is_log_output(self.base.model, column):
            levels, norm = np.geomspace(low, high, _LEVELS + 1), LogNorm(low, high)
            ticks = {"format": style.LogFormatter(), "ticks": style.LogLocator()}
        filled = ax.contourf(across, up, heights, levels, cmap=_COLORS, norm=norm)
        ax.contour(filled, colors="0.4", linewidths=0.6)
        beside = ax.inset_axes((1.04, 0.0, 0.05, 1.0))  # as high as the square panel
        ax.figure.colorbar(filled, cax=beside, label=style.label(column.name, self.base.model), **ticks)

    def _draw_arrows(self, column: Column, ax: Axes) -> None:
        across, up, answers = self._grid((np.arange(_ARROWS) + 0.5) / _ARROWS)
        U, V = (self._change(column, answers, j) for j in self.inputs)
        scale = _ARROWS * (float(np.hypot(U, V).max()) or 1.0)
        shape: dict[str, Any] = {"width": 0.004, "headwidth": 4, "minlength": 0.1}
        ax.quiver(across, up, U, V, angles="uv", pivot="middle", scale_units="width", scale=scale, **shape)
        marker = r"$\rightarrow$"
        ax.plot([], [], linestyle="none", marker=marker, color="black", markersize=12, label="gradient")

    def _change(self, output: Column, answers: Answers, input: int) -> Array:
        """Return the linear change (n,) of an output over the range of an input; of logarithms, if taken."""
        model, low, high = self.base.model, self.base.low[input], self.base.high[input]
        slopes = answers.of(column_of(model, derivative_name(output.name, model.inputs[input])))
        if is_log_output(model, output):
            slopes = slopes / answers.of(output)
        if is_log_input(model, input):
            return np.asarray(slopes * answers.X[:, input] * np.log(high / low))
        return np.asarray(slopes * (high - low))

    def _draw_marks(self, column: Drawn, ax: Axes) -> None:
        data = self.base.data
        if data is None:
            return
        near = self.base.near(self.inputs)
        seen = near & np.isfinite(column.observed(data))
        across, up = data.X[:, self.inputs].T
        if isinstance(column, Column) and column.input is None:
            sloped = near & np.isfinite(data.J[:, column.output]).any(axis=1)
            if sloped.any():
                cross: dict[str, Any] = {"marker": "x", "linestyle": "none", "color": style.VERMILLION}
                ax.plot(across[sloped], up[sloped], clip_on=False, label="slope", **cross)
        if seen.any():
            style.dots(ax, across[seen], up[seen], label="value", clip_on=False)
