"""Agreement of a model with data: actual against predicted, and residuals, for values and partials."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import SwarmnetError, unknown
from swarmnet.model.columns import columns_of
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.metrics import evaluate
from swarmnet.plots import style
from swarmnet.plots.queries import Answers, Array, Drawn, column_of, is_log_output, matched, names_of

PREDICTED = "predicted"
_MARGIN = 0.05  # share of the range left free beyond the outermost points


def parity(
    model: FittedModel, data: MixedData, column: str, ax: Axes | None = None, *, error_bars: bool = False
) -> Axes:
    """Draw the observations of a column against the model's predictions, with the line of equality.

    Args:
        model: the model.
        data: the data to compare with; only observed entries are drawn.
        column: an output, "h", a partial, "dh/dT", or a quantity of the data.
        ax: the Axes, which is made square; a new figure by default.
        error_bars: draw two standard deviations of the predictions and, where the data have sigmas, of the
            observations.

    Raises:
        SwarmnetError: no such column, no observation of it, or error bars of a model that has none.
    """
    entries = _Entries.of(model, data, column)
    ax = style.axes(ax)
    _draw_parity(model, entries, ax, error_bars)
    ax.legend(loc="lower right", fontsize="small", frameon=False)
    return ax


def parity_panels(
    model: FittedModel,
    data: MixedData,
    columns: Sequence[str] | None = None,
    figure: Figure | SubFigure | None = None,
    *,
    error_bars: bool = False,
) -> dict[str, Axes]:
    """Draw `parity` in a panel for each of the `columns`, by default all columns that have entries.

    Returns:
        The Axes by column.

    Raises:
        SwarmnetError: as in `parity`; or too many panels, or a figure that is not empty.
    """
    entries = [_Entries.of(model, data, name) for name in _names(model, data, columns)]
    whole, axes = style.panels(figure, [each.column.name for each in entries])
    for each, ax in zip(entries, axes.values(), strict=True):
        _draw_parity(model, each, ax, error_bars)
    style.legend_below(whole, axes.values())
    style.settle(whole)
    return axes


def residuals(
    model: FittedModel,
    data: MixedData,
    column: str,
    against: str = PREDICTED,
    ax: Axes | None = None,
    *,
    standardised: bool | None = None,
) -> Axes:
    """Draw residuals (predicted minus actual, as in the loss) against the prediction or an input.

    Args:
        model: the model.
        data: the data to compare with; only observed entries are drawn.
        column: an output, "h", or a partial, "dh/dT".
        against: "predicted" or an input's name.
        ax: the Axes; a new figure by default.
        standardised: divide each residual by its observation's sigma, with lines at -2 and 2; by default
            if all these observations have a sigma.

    Raises:
        SwarmnetError: no such column or input, no observation, or sigmas that are asked for and missing.
    """
    entries = _Entries.of(model, data, column)
    divided = _divided(entries, standardised)
    across = _across(entries, against)
    ax = style.axes(ax)
    _draw_residuals(entries, against, across, divided, ax)
    if divided:
        ax.legend(fontsize="small")
    return ax


def residual_panels(
    model: FittedModel,
    data: MixedData,
    columns: Sequence[str] | None = None,
    against: str = PREDICTED,
    figure: Figure | SubFigure | None = None,
    *,
    standardised: bool | None = None,
) -> dict[str, Axes]:
    """Draw `residuals` in a panel for each of the `columns`, by default all columns that have entries.

    Returns:
        The Axes by column.

    Raises:
        SwarmnetError: as in `residuals`; or too many panels, or a figure that is not empty.
    """
    entries = [_Entries.of(model, data, name) for name in _names(model, data, columns)]
    divided = [_divided(each, standardised) for each in entries]
    across = [_across(each, against) for each in entries]
    whole, axes = style.panels(figure, [each.column.name for each in entries])
    for each, x, is_divided, ax in zip(entries, across, divided, axes.values(), strict=True):
        _draw_residuals(each, against, x, is_divided, ax)
    style.legend_below(whole, axes.values())
    return axes


@dataclass(frozen=True, eq=False)
class _Entries:
    """The rows that have an entry of one column, and the model's answers there."""

    column: Drawn
    data: MixedData
    answers: Answers
    actual: Array
    sigma: Array
    predicted: Array

    @classmethod
    def of(cls, model: FittedModel, data: MixedData, name: str) -> "_Entries":
        data = matched(model, data)
        column = column_of(model, name, data)
        rows = np.flatnonzero(np.isfinite(column.observed(data)))
        if not rows.size:
            raise SwarmnetError(f"the data have no entry of {name}: there is nothing to compare with")
        seen = data.take(rows)
        answers = Answers(model, seen.X)
        return cls(column, seen, answers, column.observed(seen), column.sigma(seen), answers.of(column))


def _names(model: FittedModel, data: MixedData, columns: Sequence[str] | None) -> list[str]:
    data = matched(model, data)
    if columns is not None:
        return names_of("columns", columns)
    named = [*columns_of(model.inputs, model.outputs), *(quantity.name for quantity in data.quantities)]
    return [name for name in named if np.isfinite(column_of(model, name, data).observed(data)).any()]


def _draw_parity(model: FittedModel, entries: _Entries, ax: Axes, error_bars: bool) -> None:
    across = 2 * entries.answers.deviation(entries.column) if error_bars else None
    up = style.bars(entries.sigma) if error_bars else None
    style.ticks(ax)
    is_log = is_log_output(model, entries.column)
    style.scale(ax, is_log, is_log)
    low, high = _limits(entries, is_log)
    ax.plot([low, high], [low, high], color=style.BLUE, linewidth=1, zorder=1, label="actual = predicted")
    label = "observed, ± 2 standard deviations" if error_bars else "observed"
    style.dots(ax, entries.predicted, entries.actual, across, up, label=label)
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal", xlabel=PREDICTED, ylabel="actual")
    ax.set_title(style.label(entries.column.name, entries.answers.model))
    ax.text(0.04, 0.96, _quality(model, entries), va="top", fontsize="small", transform=ax.transAxes)


def _divided(entries: _Entries, standardised: bool | None) -> bool:
    """Return whether residuals are divided by sigma."""
    has_sigmas = bool(np.isfinite(entries.sigma).all())
    if standardised and not has_sigmas:
        name = entries.column.name
        raise SwarmnetError(f"{name} has entries without a sigma: its residuals cannot be standardised")
    return has_sigmas if standardised is None else standardised


def _across(entries: _Entries, against: str) -> Array:
    inputs = entries.data.inputs
    if against == PREDICTED:
        return entries.predicted
    if against not in inputs:
        raise unknown("against", against, [PREDICTED, *inputs])
    return entries.data.X[:, inputs.index(against)]


def _draw_residuals(entries: _Entries, against: str, x: Array, divided: bool, ax: Axes) -> None:
    residual = (entries.predicted - entries.actual) / (entries.sigma if divided else 1.0)
    style.ticks(ax)
    ax.axhline(0.0, color=style.BLUE, linewidth=1, zorder=1)
    if divided:
        for level, label in ((2.0, "± 2 sigma"), (-2.0, None)):
            ax.axhline(level, color=style.BLUE, linewidth=1, linestyle="--", zorder=1, label=label)
    style.dots(ax, x, residual)
    ax.margins(_MARGIN)
    ax.set_title(style.label(entries.column.name, entries.answers.model))
    ax.set_xlabel(PREDICTED if against == PREDICTED else style.label(against, entries.answers.model))
    ax.set_ylabel("(predicted - actual) / sigma" if divided else "predicted - actual")


def _limits(entries: _Entries, is_log: bool) -> tuple[float, float]:
    both = np.concatenate([entries.actual, entries.predicted])
    low, high = float(both.min()), float(both.max())
    if is_log:
        factor = (high / low) ** _MARGIN if high > low else 2.0
        return low / factor, high * factor
    margin = _MARGIN * ((high - low) or abs(high) or 1.0)
    return low - margin, high + margin


def _quality(model: FittedModel, entries: _Entries) -> str:
    """Return the column's RMSE and R2 as text; for R2 near 1, 1 - R2 instead."""
    errors = evaluate(model, entries.data).set_index("column").loc[entries.column.name].to_dict()
    lines = [f"n = {errors['entries']:.0f}", f"RMSE = {errors['rmse']:.3g}"]
    r2 = errors["r2"]
    if np.isfinite(r2):  # undefined where all targets are equal
        lines.append(f"R² = {r2:.3g}" if r2 < 0.99 else f"1 - R² = {1 - r2:.2g}")
    return "\n".join(lines)
