"""Profiles: how a model's predictions change with one input at a time, through a base point."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from swarmnet.data.column_names import derivative_name
from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import SwarmnetError
from swarmnet.model.fitted_model import FittedModel
from swarmnet.plots import style
from swarmnet.plots.queries import (
    NEARNESS,
    Answers,
    Array,
    At,
    Drawn,
    QuantityColumn,
    Slice,
    column_of,
    input_of,
    is_log_input,
    is_log_output,
    names_of,
    place,
)

_POINTS = 201  # points of a curve
_MARGIN = 0.03
_STROKE = 0.35  # total half length of all strokes, as a share of the panel's; each one is from 0.012 to 0.035


def profile(
    model: FittedModel,
    column: str,
    input: str,
    at: At = None,
    data: MixedData | None = None,
    ax: Axes | None = None,
    *,
    nearness: float = NEARNESS,
) -> Axes:
    """Draw a column along one input, with the other inputs at the base point.

    The curve is the model's prediction, over the range of the training data and of `data`; what is beyond the
    training range is shaded. The band is two standard deviations, if the model has error bars. A dotted line
    marks the base point. Rows of the data are drawn as dots if all their other inputs are within `nearness`
    times that input's range of the base point, with two sigmas if given. Each dot is moved along the model
    into the slice: it is the prediction in the slice plus the observation's own residual, so that its
    distance from the curve is its misfit. For an output, slopes observed along the input are short tangent
    strokes, moved in the same way, through the row's value if it was observed, else through the curve.

    Args:
        model: the model.
        column: an output, "h", or a partial, "dh/dT".
        input: the input along the axis.
        at: the base point, see `swarmnet.plots`.
        data: observations to draw.
        ax: the Axes; a new figure by default.
        nearness: see above.

    Raises:
        SwarmnetError: no such column or input, an invalid base point, or an input that does not vary.
    """
    line = _Line.of(Slice.of(model, at, data, nearness), input)
    drawn = column_of(model, column, line.base.data)
    ax = style.axes(ax)
    line.draw(drawn, ax)
    line.draw_strokes(drawn, ax)
    others = [name for name in model.inputs if name != input]
    title = f"{column} at {place(model, line.base.at, others)}" if others else column
    ax.set(title=style.text(title, 40), xlabel=style.label(input, model), ylabel=style.label(column, model))
    ax.legend(fontsize="small")
    return ax


def profile_panels(
    model: FittedModel,
    columns: Sequence[str] | None = None,
    inputs: Sequence[str] | None = None,
    at: At = None,
    data: MixedData | None = None,
    figure: Figure | SubFigure | None = None,
    *,
    nearness: float = NEARNESS,
) -> dict[tuple[str, str], Axes]:
    """Draw `profile` in a grid: a row for each column (by default the outputs), a panel for each input.

    Panels in a row share the vertical axis, so that their heights show the inputs' effects.

    Returns:
        The Axes by (column, input).

    Raises:
        SwarmnetError: as in `profile`; or too many panels, or a figure that is not empty.
    """
    base = Slice.of(model, at, data, nearness)
    rows = list(model.outputs) if columns is None else names_of("columns", columns)
    across = list(model.inputs) if inputs is None else names_of("inputs", inputs)
    drawn = {name: column_of(model, name, base.data) for name in rows}
    lines = {name: _Line.of(base, name) for name in across}
    names = [(column, name) for column in rows for name in across]
    if len(rows) == 1:  # many inputs need several rows
        whole, axes = style.panels(figure, names, sharey=True)
    else:
        whole, axes = style.panels(figure, names, rows=len(rows), sharex="col", sharey="row")
    for (column, name), ax in axes.items():
        lines[name].draw(drawn[column], ax)
    for (column, name), ax in axes.items():  # after all curves and dots have set the limits
        lines[name].draw_strokes(drawn[column], ax)
        spec = ax.get_subplotspec()
        if spec is not None and spec.is_first_col():
            ax.set_ylabel(style.label(column, model))
        if column == rows[-1]:
            ax.set_xlabel(style.label(name, model))
    title = f"Profiles through {place(model, base.at, model.inputs)}"
    spec = next(iter(axes.values())).get_subplotspec()
    columns_of_panels = len(across) if spec is None else spec.get_gridspec().ncols
    whole.suptitle(style.text(title, 26 * max(2, columns_of_panels)))
    style.legend_below(whole, axes.values())
    return axes


@dataclass(frozen=True, eq=False)
class _Line:
    """The line through the base point along one input, and which rows (n,) of the data are near it."""

    base: Slice
    input: int
    answers: Answers  # along the line
    near: NDArray[np.bool_]
    note: str  # describes which observations are drawn
    is_log: bool  # whether the model takes the logarithm of the input, which then has a logarithmic axis

    @classmethod
    def of(cls, base: Slice, input: str) -> "_Line":
        j = input_of(base.model, input)
        at = base.at[j]
        is_log = is_log_input(base.model, j)
        points = np.geomspace if is_log else np.linspace
        x = points(min(base.low[j], at), max(base.high[j], at), _POINTS)
        if x[0] == x[-1]:
            raise SwarmnetError(f"{input} has only the value {at:g}: there is no profile along it")
        share = 100 * base.nearness
        note = f", shifted, others ± {share:.3g} % of range" if len(base.at) > 1 else ""
        return cls(base, j, base.answers([j], x[:, None]), base.near([j]), note, is_log)

    def draw(self, column: Drawn, ax: Axes) -> None:
        """Draw the curve, its band, the base point and the dots."""
        x, curve = self.answers.X[:, self.input], self.answers.of(column)
        style.ticks(ax)
        self._shade(ax)
        is_log = is_log_output(self.base.model, column)
        style.scale(ax, self.is_log, is_log)
        ax.axvline(self.base.at[self.input], color="0.5", linewidth=1, linestyle=":", zorder=1)
        if self.base.model.spread is not None:
            reach = 2 * self.answers.deviation(column)
            low, high = curve - reach, curve + reach
            if is_log:  # the deviation of the logarithm is the relative one
                low, high = curve * np.exp(-reach / curve), curve * np.exp(reach / curve)
            label = "± 2 standard deviations"
            ax.fill_between(x, low, high, color=style.SKY, alpha=0.5, linewidth=0, label=label)
        ax.plot(x, curve, color=style.BLUE, label="model")
        ax.margins(x=_MARGIN, y=0.08)
        data = self.base.data
        if data is None:
            return
        observed, sigma = column.observed(data), column.sigma(data)
        seen = self.near & np.isfinite(observed)
        if seen.any():
            x, bars = data.X[seen, self.input], style.bars(sigma[seen])
            shifted = self.shifted(column, observed[seen], data.X[seen])
            if is_log and bars is not None:  # the relative deviation remains
                bars = bars * shifted / observed[seen]
            style.dots(ax, x, shifted, None, bars, label=f"observed{self.note}")

    def _shade(self, ax: Axes) -> None:
        """Shade where the curve goes beyond the training range."""
        x, region = self.answers.X[:, self.input], self.base.model.region
        low, high = region.low[self.input], region.high[self.input]
        ends = [(x[0], min(low, x[-1])), (max(high, x[0]), x[-1])]
        label: str | None = "outside the training range"
        for left, right in ends:
            if left < right:
                ax.axvspan(left, right, color="0.9", linewidth=0, zorder=0, label=label)
                label = None

    def shifted(self, column: Drawn, observed: Array, X: Array, relative: Array | float = 1.0) -> Array:
        """Return observations (n,) at points (n, d), moved along the model into the slice.

        Their residuals remain, times `relative` (n,), or those of their logarithms if the model takes these.
        """
        there, here = Answers(self.base.model, X).of(column), self.in_slice(column, X)
        if is_log_output(self.base.model, column):
            return observed / there * here
        return relative * (observed - there) + here

    def in_slice(self, column: Drawn, X: Array) -> Array:
        """Return the model's prediction in the slice, at the input of points (n, d)."""
        return self.base.answers([self.input], X[:, [self.input]]).of(column)

    def draw_strokes(self, column: Drawn, ax: Axes) -> None:
        """Draw the slopes observed along the input if the column is an output, within the panel's limits."""
        data = self.base.data
        if data is None or isinstance(column, QuantityColumn) or column.input is not None:
            return
        slopes = data.J[:, column.output, self.input]
        seen = self.near & np.isfinite(slopes)
        if not seen.any():
            return
        X, value = data.X[seen], column.observed(data)[seen]
        along = derivative_name(column.name, self.base.model.inputs[self.input])
        is_log, curve = is_log_output(self.base.model, column), self.in_slice(column, X)
        relative = curve / Answers(self.base.model, X).of(column) if is_log else 1.0
        slope = self.shifted(column_of(self.base.model, along), slopes[seen], X, relative)
        y = np.where(np.isnan(value), curve, self.shifted(column, value, X))
        x, ends_of_x, ends_of_y = X[:, self.input], np.array(ax.get_xlim()), np.array(ax.get_ylim())
        if self.is_log:  # the axis is linear in ln x, and the slope by it is x times as large
            x, ends_of_x, slope = np.log(x), np.log(ends_of_x), slope * x
        if is_log:
            y, ends_of_y, slope = np.log(y), np.log(ends_of_y), slope / y
        (left, right), (bottom, top) = ends_of_x, ends_of_y
        # The length on the panel does not depend on units, and decreases with the number of strokes.
        half = np.clip(_STROKE / len(x), 0.012, 0.035)
        dx = half / np.hypot(1 / (right - left), slope / (top - bottom))
        ends = np.stack([[x - dx, y - slope * dx], [x + dx, y + slope * dx]]).transpose(2, 0, 1)
        for axis, log in enumerate((self.is_log, is_log)):
            if log:
                ends[:, :, axis] = np.exp(ends[:, :, axis])
        # Black like all observations, thicker than the curve and under the dots
        strokes = LineCollection(list(ends), colors=style.BLACK, linewidths=2.5, zorder=2.5)
        strokes.set_label(f"observed slopes{self.note}")
        ax.add_collection(strokes, autolim=False)
