"""A network as a diagram: its weights, and the paths that make up a partial derivative."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from swarmnet.errors import SwarmnetError, unknown
from swarmnet.model.columns import columns_of
from swarmnet.model.fitted_model import FittedModel
from swarmnet.network.network import unit
from swarmnet.plots import style
from swarmnet.plots.queries import Array, At, base_point, input_ranges, place, require_model

_MOST_UNITS, _MOST_LAYERS = 40, 12
_FARTHEST = 0.25  # largest distance between units, as a share of the height
_WIDEST = 2.5  # widest line, in units of rcParams' line width
_DASHED = (0, (3, 1))
_HAIRLINE = 0.02  # share of the widest line below which a line is drawn thin and grey


def network(model: FittedModel, ax: Axes | None = None) -> Axes:
    """Draw the network's layers, inputs at the left and outputs at the right, and its weights.

    A line's width is the size of its weight relative to the largest in its layer, which is written above.
    Positive weights are blue and solid, negative ones vermillion and dashed. The weights are those between
    scaled inputs and outputs. Biases and a trend's coefficients are not drawn.

    Args:
        model: the model.
        ax: the Axes; by default a new figure, large enough for the names.

    Raises:
        SwarmnetError: a layer has more than 40 units, or there are more than 12 layers of weights.
    """
    require_model(model)
    weights = [W for W, _ in model.net.unflatten(model.theta)]
    largest = [float(np.abs(W).max()) for W in weights]
    diagram = _Diagram.of(model, ax)
    for layer, W in enumerate(weights):
        diagram.draw_edges(layer, W / (largest[layer] or 1.0))
        diagram.write_above(f"|w| ≤ {largest[layer]:.3g}", layer)
    for layer, size in enumerate(model.net.sizes):
        diagram.draw_units(layer, np.zeros(size))
    kinds = "weights and biases" if model.net.trend is None else "weights, biases and coefficients"
    title = f"Network {model.net.architecture}: {model.net.size} {kinds}"
    diagram.write(title, model.inputs, model.outputs, "weight")
    return diagram.ax


def derivative_flow(model: FittedModel, column: str, at: At = None, ax: Axes | None = None) -> Axes:
    """Draw the contribution of each edge to a partial derivative at a point.

    A partial is the sum, over all paths from the input to the output, of the product of the local slopes on
    the path, f'(z_u) w_iu from unit i to unit u. The flow through an edge is the sum over the paths through
    it, dA_i/dx f'(z_u) w_iu dY/dA_u, in the partial's unit. So the flows in every layer add up to the
    partial, and the flows into a unit equal those out of it. Lines are as wide as their flow, and units are
    coloured by theirs. Positive flows are blue and solid, negative ones vermillion and dashed. What a trend
    adds to the partial passes through no edge, and is written above.

    Args:
        model: the model.
        column: a partial, "dh/dT".
        at: the point, see `swarmnet.plots`.
        ax: the Axes; by default a new figure, large enough for the names.

    Raises:
        SwarmnetError: no such partial, an invalid point, or a network that is too large to draw.
    """
    require_model(model)
    named = columns_of(model.inputs, model.outputs)
    partials = {name: (c.output, c.input) for name, c in named.items() if c.input is not None}
    if column not in list(partials):
        raise unknown("partial", column, partials)
    point = base_point(model, at, *input_ranges(model, None))
    flows = edge_flows(model, point, *partials[column])
    added = trend_part(model, point, *partials[column])
    largest = max(float(np.abs(flow).max()) for flow in flows)
    if not np.isfinite(largest + added):
        raise SwarmnetError(f"the model's answer for {column} is not finite: nothing can be drawn of it")
    diagram = _Diagram.of(model, ax)
    through = [flows[0].sum(1), *(flow.sum(0) for flow in flows)]
    most = max(float(np.abs(sums).max()) for sums in through)
    for layer, flow in enumerate(flows):
        diagram.draw_edges(layer, flow / (largest or 1.0))
    for layer, sums in enumerate(through):
        diagram.draw_units(layer, sums / (most or 1.0))
    of_layers = float(flows[-1].sum())
    trend = "" if model.net.trend is None else f", trend adds {added:.4g}"
    diagram.write_above(f"layers sum to {of_layers:.4g}{trend}; widest line {largest:.3g}")
    places = [place(model, point, [name]) for name in model.inputs]
    diagram.write(f"{column} = {of_layers + added:.4g}, edge by edge", places, model.outputs, "flow")
    return diagram.ax


def edge_flows(model: FittedModel, point: Array, output: int, input: int) -> list[Array]:
    """Return, for each layer, the flow (fan_in, fan_out) through its edges of a partial at the point (d,)."""
    passes = model.net.passes(model.theta, model.scaling.scale_X(point)[:, None], order=1)
    tangents = [np.eye(model.net.d)[input], *(T[:, 0] for T in passes.tangent(unit(model.net.d, input))[0])]
    gradients = passes.pullback(unit(model.net.k, output))
    factor = _unit(model, point, output, input)
    flows = []
    for index, (W, _) in enumerate(model.net.unflatten(model.theta)):
        slope = passes.S[index][:, 0]
        flows.append(factor * tangents[index][:, None] * W * (slope * gradients[index + 1][:, 0]))
    return flows


def trend_part(model: FittedModel, point: Array, output: int, input: int) -> float:
    """Return what the trend adds to a partial at the point (d,)."""
    net = model.net
    if net.trend is None:
        return 0.0
    slopes = net.trend.jets(model.scaling.scale_X(point)[:, None], 1)[1][:, input, 0]
    factor = _unit(model, point, output, input)
    return float(factor * (slopes @ net.coefficients(model.theta)[:, output]))


def _unit(model: FittedModel, point: Array, output: int, input: int) -> float:
    """Return by what a partial of the network is to be multiplied at the point (d,)."""
    one = np.zeros((1, model.net.k, model.net.d))
    one[0, output, input] = 1.0
    found = model.scaling.unscale_J(one)
    if model.scaling.logs is not None:
        found = model.scaling.logs.jacobian(found, point[None], model.predict(point[None]))
    return float(found[0, output, input])


@dataclass(frozen=True, eq=False)
class _Diagram:
    """An empty drawing of a network; layers are one unit apart horizontally, heights are from 0 to 1."""

    model: FittedModel
    ax: Axes
    units: list[Array]  # (units, 2) positions of each layer's units
    diameter: float  # of a unit, in points

    @classmethod
    def of(cls, model: FittedModel, ax: Axes | None) -> "_Diagram":
        sizes = model.net.sizes
        if max(sizes) > _MOST_UNITS or len(sizes) - 1 > _MOST_LAYERS:
            raise SwarmnetError(
                f"a network {'-'.join(map(str, sizes))} is too large for a diagram: it can have "
                f"{_MOST_UNITS} units in a layer and {_MOST_LAYERS} layers of weights"
            )
        units = []
        for layer, size in enumerate(sizes):
            down = min(1 / size, _FARTHEST) * (np.arange(size) - (size - 1) / 2)
            units.append(np.column_stack([np.full(size, float(layer)), 0.5 - down]))
        ax = _new_axes(sizes) if ax is None else style.axes(ax)
        ax.set_axis_off()
        ax.set(xlim=(0, len(sizes) - 1), ylim=(0, 1))
        return cls(model, ax, units, mpl.rcParams["font.size"] * min(1.2, 14 / max(sizes)))

    @property
    def away(self) -> float:
        """Distance from the middle of a unit to its name, in points."""
        return self.diameter / 2 + 0.4 * float(mpl.rcParams["font.size"])

    def draw_edges(self, layer: int, strength: Array) -> None:
        """Draw lines between this layer and the next, of strengths (units, units) from -1 to 1."""
        start, end = self.units[layer], self.units[layer + 1]
        widest = _WIDEST * mpl.rcParams["lines.linewidth"]
        order = np.argsort(np.abs(strength), axis=None)  # the strongest on top
        i, u = np.unravel_index(order, strength.shape)
        share = strength[i, u]
        thin, positive = np.abs(share) <= _HAIRLINE, share > 0
        edges = LineCollection(
            list(np.stack([start[i], end[u]], axis=1)),
            linewidths=np.maximum(np.abs(share), _HAIRLINE) * widest,
            colors=np.where(thin, "0.8", np.where(positive, style.BLUE, style.VERMILLION)).tolist(),
            linestyles=["-" if solid else _DASHED for solid in thin | positive],
            clip_on=False,
        )
        edges.set_capstyle("butt")
        self.ax.add_collection(edges, autolim=False)

    def draw_units(self, layer: int, tint: Array) -> None:
        """Draw the units of a layer; `tint` (units,) is from -1 (vermillion) over 0 (white) to 1 (blue)."""
        full = np.where((tint > 0)[:, None], to_rgb(style.BLUE), to_rgb(style.VERMILLION))
        colors = 1 - np.abs(tint)[:, None] * (1 - full)
        x, y = self.units[layer].T
        area = self.diameter**2
        self.ax.scatter(x, y, area, colors, edgecolors="black", linewidths=1, zorder=3, clip_on=False)

    def write_above(self, words: str, layer: int | None = None) -> None:
        """Write text above the edges of a layer, or of all layers."""
        middle = (len(self.units) - 1) / 2 if layer is None else layer + 0.5
        self._write(words, (middle, 1), (0, 1), "center", "bottom", "small")

    def write(self, title: str, inputs: Sequence[str], outputs: Sequence[str], what: str) -> None:
        """Write names of inputs and outputs, activations below their layers, and the legend of signs."""
        self.ax.set_title(style.text(title, 60), pad=self.away + 1.4 * mpl.rcParams["font.size"])
        for (x, y), name in zip(self.units[0], inputs, strict=True):
            self._write(name, (x, y), (-1, 0), "right", "center", "medium")
        for (x, y), name in zip(self.units[-1], outputs, strict=True):
            self._write(name, (x, y), (1, 0), "left", "center", "medium")
        for layer, name in enumerate(["inputs", *(act.name for act in self.model.net.activations)]):
            self._write(name, (layer, 0), (0, -1), "center", "top", "small")
        signs = [
            Line2D([], [], color=style.BLUE, label=f"positive {what}"),
            Line2D([], [], color=style.VERMILLION, linestyle=_DASHED, label=f"negative {what}"),
        ]
        style.legend_under(self.ax, signs, 2.5)

    def _write(
        self,
        words: str,
        point: tuple[float, float],
        side: tuple[int, int],
        ha: Literal["left", "center", "right"],
        va: Literal["top", "center", "bottom"],
        size: str,
    ) -> None:
        """Write text beside the point, at the distance of a unit's name."""
        offset = (self.away * side[0], self.away * side[1])
        self.ax.annotate(
            style.text(words, 60) if side[1] else style.text(words),
            point,
            xytext=offset,
            textcoords="offset points",
            ha=ha,
            va=va,
            fontsize=size,
            annotation_clip=False,
        )


def _new_axes(sizes: Sequence[int]) -> Axes:
    """Return the Axes of a new figure with space for the names at the sides and the text of each layer."""
    width, height = mpl.rcParams["figure.figsize"]
    em = mpl.rcParams["font.size"] / 72  # inches
    wide = max(width, em * (7 * (len(sizes) - 1) + 15))
    high = max(height, em * (1.6 * max(sizes[0], sizes[-1]) + 10))
    return Figure(figsize=(wide, high), layout="constrained").subplots()
