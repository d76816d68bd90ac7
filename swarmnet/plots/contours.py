"""Contours of an output over two inputs, with the gradient as arrows."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from swarmnet.data.column_names import derivative_name
from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import SwarmnetError, unknown
from swarmnet.model.fitted_model import FittedModel
from swarmnet.plots import style
from swarmnet.plots.queries import NEARNESS, Answers, Array, At, Slice, column_of, input_of, place

_POINTS, _ARROWS = 81, 12  # points along an axis
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
    contours, the longer the arrow; the longest is as long as the distance between arrows.

    Args:
        model: the model.
        output: an output's name.
        x: the input along the horizontal axis.
        y: the input along the vertical axis.
        at: the base point, see `swarmnet.plots`.
        data: mark where the output's values (dots) and partials (crosses) were observed, in rows whose other
            inputs are within `nearness` times their range of the base point.
        ax: the Axes, which is made square and shares its space with a colour bar; a new figure by default.
        nearness: see data.

    Raises:
        SwarmnetError: a name that is not the model's, an invalid base point, or an input or an output that
            does not vary.
    """
    base = Slice.of(model, at, data, nearness)
    if output not in model.outputs:
        raise unknown("output", output, model.outputs)
    inputs = [input_of(model, x), input_of(model, y)]
    if x == y:
        raise SwarmnetError(f"x and y are both {x}: a contour needs two inputs")
    for name, j in zip((x, y), inputs, strict=True):
        if base.low[j] == base.high[j]:
            raise SwarmnetError(f"{name} has only the value {base.low[j]:g}: there is no contour over it")
    ax = style.axes(ax)
    style.ticks(ax)
    _draw_levels(base, inputs, output, ax)
    _draw_arrows(base, inputs, output, ax)
    _draw_marks(base, inputs, output, ax)
    others = [name for name in model.inputs if name not in (x, y)]
    title = f"{output} at {place(model, base.at, others)}" if others else output
    ax.set(
        title=style.text(title, 40), xlabel=style.label(x, model), ylabel=style.label(y, model), box_aspect=1
    )
    style.legend_under(ax, ax.get_legend_handles_labels()[0], 4.5)
    return ax


def _grid(base: Slice, inputs: Sequence[int], shares: Array) -> tuple[Array, Array, Answers]:
    """Return horizontal and vertical coordinates (m, m) at shares of the two ranges, and the answers."""
    across, up = np.meshgrid(*(base.low[j] + shares * (base.high[j] - base.low[j]) for j in inputs))
    return across, up, base.answers(inputs, np.column_stack([across.ravel(), up.ravel()]))


def _draw_levels(base: Slice, inputs: Sequence[int], output: str, ax: Axes) -> None:
    across, up, answers = _grid(base, inputs, np.linspace(0.0, 1.0, _POINTS))
    levels = answers.of(column_of(base.model, output)).reshape(across.shape)
    if np.ptp(levels) <= _ROUNDING * np.abs(levels).max():
        raise SwarmnetError(f"{output} is {levels.min():g} everywhere here: it has no contours")
    filled = ax.contourf(across, up, levels, 12, cmap=_COLORS)
    ax.contour(filled, colors="0.4", linewidths=0.6)
    bar = ax.figure.colorbar(filled, ax=ax, label=style.text(output))
    bar.ax.yaxis.set_major_formatter(style.formatter())


def _draw_arrows(base: Slice, inputs: Sequence[int], output: str, ax: Axes) -> None:
    across, up, answers = _grid(base, inputs, (np.arange(_ARROWS) + 0.5) / _ARROWS)
    names = [derivative_name(output, base.model.inputs[j]) for j in inputs]
    ranges = (base.high - base.low)[inputs]
    U, V = (answers.of(column_of(base.model, name)) * wide for name, wide in zip(names, ranges, strict=True))
    scale = _ARROWS * (float(np.hypot(U, V).max()) or 1.0)
    shape: dict[str, Any] = {"width": 0.004, "headwidth": 4, "minlength": 0.1}
    ax.quiver(across, up, U, V, angles="uv", pivot="middle", scale_units="width", scale=scale, **shape)
    ax.plot([], [], linestyle="none", marker=r"$\rightarrow$", color="black", markersize=12, label="gradient")


def _draw_marks(base: Slice, inputs: Sequence[int], output: str, ax: Axes) -> None:
    if base.data is None:
        return
    near, o = base.near(inputs), base.model.outputs.index(output)
    valued = near & np.isfinite(base.data.Y[:, o])
    sloped = near & np.isfinite(base.data.J[:, o]).any(axis=1)
    across, up = base.data.X[:, inputs].T
    if sloped.any():
        ax.plot(across[sloped], up[sloped], "x", color=style.VERMILLION, clip_on=False, label="slope")
    if valued.any():
        style.dots(ax, across[valued], up[valued], label="value", clip_on=False)
