"""Scaling of values and partials together, from the data's units to the network's units and back.

The network's value is (y - y_offset) / y_scale at inputs (x - x_offset) / x_scale. By the chain rule,
partials are multiplied by x_scale / y_scale and second derivatives by x_scale^2 / y_scale. With logarithms, x
and y are those of the data's numbers.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import derivative_name
from swarmnet.data.dataset import Dataset
from swarmnet.data.logarithms import Logarithms
from swarmnet.data.mixed_data import MixedData
from swarmnet.data.quantities import Quantity
from swarmnet.data.statistics import Moments, Statistics
from swarmnet.errors import SwarmnetError, unknown

Array = NDArray[np.float64]

KINDS = ("standard", "minmax")
_MOST = 1e50  # largest scaled number: a product of squares of such numbers is finite
_SCALES_TRIED = np.logspace(-12, 12, 49)  # of an output that only quantities tell; the best is near enough
_TRIALS, _FAR = 200, 100.0  # random points; the misfit of a quantity that is nowhere a positive number
_LEVEL = 0.01  # difference of misfits that says nothing; only bounds rounding
_SIGN = 0.1  # chosen: what an error of a quantity's mean, in units of its size, adds to its misfit
_LEAST_SHARE = 1e-3  # smallest scale of a partial's residual, in units of the output's scale


@dataclass(frozen=True)
class Scaling:
    """Offsets and positive scales: x_offset (d,), x_scale (d,), y_offset (k,), y_scale (k,).

    With `logs`, they are those of the logarithms of some inputs and outputs. Training has no `logs`: its data
    are logarithms already.
    """

    x_offset: Array
    x_scale: Array
    y_offset: Array
    y_scale: Array
    logs: Logarithms | None = None

    @classmethod
    def identity(cls, d: int, k: int) -> "Scaling":
        """Return the scaling that changes nothing, for d inputs and k outputs."""
        return cls(np.zeros(d), np.ones(d), np.zeros(k), np.ones(k))

    @classmethod
    def of(cls, data: Dataset | Statistics, kind: str | None = "standard", outputs: bool = True) -> "Scaling":
        """Return the scaling for `data`, or for rows with these statistics. It uses observed entries only.

        "standard" gives inputs and outputs mean 0 and standard deviation 1. An input counts once for each
        entry observed in its row, times the row's weight. "minmax" maps inputs and outputs to [-1, 1]. An
        output whose values do not vary is scaled by its partials instead. With `outputs` False, outputs are
        not scaled.

        Raises:
            SwarmnetError: the kind is unknown.
        """
        known = _statistics(data)
        if kind is None:
            return cls.identity(known.d, known.k)
        if kind not in KINDS:
            raise unknown("scaling", kind, [*KINDS, "None"])
        x_offset, x_scale = _input_scale(known.X, kind)
        if not outputs:
            return cls(x_offset, x_scale, np.zeros(known.k), np.ones(known.k))
        pairs = [_output_scale(known, o, x_scale, kind) for o in range(known.k)]
        y_offset, y_scale = np.array(pairs).T
        return cls(x_offset, x_scale, y_offset, y_scale)

    def scale_X(self, X: Array) -> Array:
        """Return inputs (n, d) in the network's units."""
        X = X if self.logs is None else self.logs.of_inputs(X)
        return (X - self.x_offset) / self.x_scale

    def unscale_Y(self, Y: Array) -> Array:
        """Return the network's values (n, k) in the data's units."""
        found = Y * self.y_scale + self.y_offset
        return found if self.logs is None else self.logs.outputs_of(found)

    def unscale_J(self, J: Array) -> Array:
        """Return the network's partials (n, k, d) in the data's units, before the chain rule of `logs`."""
        return J * (self.y_scale[:, None] / self.x_scale)

    def unscale_H(self, H: Array) -> Array:
        """Return the same of the network's second derivatives (n, k, d, d)."""
        # Two divisions, because the product of two tiny scales may underflow to 0
        return H * (self.y_scale[:, None, None] / self.x_scale[:, None] / self.x_scale)

    @property
    def usual_range(self) -> Array:
        """Two scales (2, d) below and above the offsets of the inputs, in the data's units."""
        ends = self.x_offset + np.array([[-2.0], [2.0]]) * self.x_scale
        return ends if self.logs is None else self.logs.inputs_of(ends)

    def reordered(self, inputs: Sequence[int], outputs: Sequence[int]) -> "Scaling":
        """Return the scaling for inputs and outputs in another order."""
        j, o = list(inputs), list(outputs)
        logs = None if self.logs is None else self.logs.reordered(j, o)
        return Scaling(self.x_offset[j], self.x_scale[j], self.y_offset[o], self.y_scale[o], logs)

    def scale_data(
        self, data: MixedData, balance: bool = True, reference: Dataset | Statistics | None = None
    ) -> MixedData:
        """Return `data` in the network's units, with the scale of each entry's residual as its sigma.

        The scale is the sigma given with the entry, if there is one. Otherwise, with `balance`, it is the
        standard deviation of the output's values, or the root mean square of the partial's column, in
        `reference` (the training data or their statistics; `data` by default), so that all columns count
        equally. A partial's scale is at least 0.001 times its output's scale, so that partials with almost no
        effect count less. Without `balance`, the scale is 1.

        Raises:
            SwarmnetError: numbers are so far apart, or so close together, that their squares are not doubles.
        """
        known = _statistics(data if reference is None else reference) if balance else None
        quantities = self.scale_quantities(data.quantities, known)
        unit = np.array([quantity.unit for quantity in quantities])
        with np.errstate(all="ignore"):
            y_unit = 1.0 / self.y_scale
            j_unit = self.x_scale / self.y_scale[:, None]
            X, Y, J = self.scale_X(data.X), (data.Y - self.y_offset) * y_unit, data.J * j_unit
            Y_sigma = np.full_like(Y, np.nan) if data.Y_sigma is None else data.Y_sigma * y_unit
            J_sigma = np.full_like(J, np.nan) if data.J_sigma is None else data.J_sigma * j_unit
            if known is not None:
                values, partials = self._spread(known)
                Y_sigma = np.where(np.isnan(Y_sigma), values, Y_sigma)
                J_sigma = np.where(np.isnan(J_sigma), partials, J_sigma)
            Q, Q_sigma = data.Q / unit, None if data.Q_sigma is None else data.Q_sigma / unit
            _refuse_extremes(data, X, (Y, J, Q), (Y_sigma, J_sigma, Q_sigma))
        return replace(
            data,
            X=X,
            Y=Y,
            J=J,
            Y_sigma=Y_sigma,
            J_sigma=J_sigma,
            Q=Q,
            Q_sigma=Q_sigma,
            quantities=quantities,
            units={},
        )

    def scale_quantities(
        self, quantities: Sequence[Quantity], known: Statistics | None
    ) -> tuple[Quantity, ...]:
        """Return quantities that take the network's numbers, in units of their root mean square in `known`.

        Without `known`, their units stay.
        """
        size = np.ones(len(quantities)) if known is None else _positive(known.Q.root_mean_square, 1.0)
        own = self.x_offset, self.x_scale, self.y_offset, self.y_scale
        pairs = zip(quantities, size.tolist(), strict=True)
        return tuple(quantity.rescaled(*own, unit) for quantity, unit in pairs)

    def for_quantities(self, known: Statistics, quantities: Sequence[Quantity]) -> "Scaling":
        """Return the scaling with a scale by quantities for each output of which most entries are quantities.

        With that scale, a network whose values and derivatives are random numbers of size 1 gives quantities
        of their observed size, as nearly as possible.
        """
        found, counts = self, known.Q.count
        for o in range(known.k):
            about = [
                q for q, quantity in enumerate(quantities) if o in {out for out, _ in quantity.arguments}
            ]
            plain = known.Y.count[o] + known.J.count.reshape(known.k, -1)[o].sum()
            if about and plain < counts[about].sum():
                found = found._fitted_scale(known, [quantities[q] for q in about], about, o)
        return found

    def _fitted_scale(
        self, known: Statistics, quantities: Sequence[Quantity], numbers: Sequence[int], output: int
    ) -> "Scaling":
        rng, size = np.random.default_rng(0), known.Q.root_mean_square[list(numbers)]
        mean = known.Q.mean[list(numbers)]
        spread = known.rows.mean + known.rows.deviation * rng.normal(size=(_TRIALS, known.d))
        X = self.scale_X(np.clip(spread, known.rows.low, known.rows.high))
        random = [rng.normal(size=(len(quantity.arguments), _TRIALS)) for quantity in quantities]

        def scaled_by(scale: float) -> Scaling:
            return replace(self, y_scale=np.where(np.arange(known.k) == output, scale, self.y_scale))

        def misfit(scale: float) -> float:
            scaled = scaled_by(scale).scale_quantities(quantities, None)
            values = [q.evaluate(X, a)[0] for q, a in zip(scaled, random, strict=True)]
            finite = [value[np.isfinite(value)] for value in values]
            found = np.array([np.median(np.abs(value)) for value in finite])
            middle = np.array([np.median(value) for value in finite])
            with np.errstate(all="ignore"):
                # The sign decides between nearly equal sizes: log(1e-6) is as large as log(1e6)
                apart = np.abs(np.log(found / size)) + _SIGN * np.abs((middle - mean) / size)
            return float(np.where(np.isfinite(apart), apart, _FAR).sum())

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a median of no number
            misfits = np.array([misfit(scale) for scale in _SCALES_TRIED])
        # A ratio of derivatives is the same at every scale
        alike = _SCALES_TRIED[misfits <= misfits.min() + _LEVEL]
        apart = np.abs(np.log(alike / self.y_scale[output]))
        return scaled_by(float(alike[np.argmin(apart)]))

    def _spread(self, known: Statistics) -> tuple[Array, Array]:
        """Return the scales of values (k,) and partials (k, d) without a sigma; 1 for unobserved columns."""
        partials = known.J.root_mean_square.reshape(known.k, -1) * (self.x_scale / self.y_scale[:, None])
        values, partials = (_positive(scale, 1.0) for scale in (known.Y.deviation / self.y_scale, partials))
        # A partial that is almost 0, or 0 except for rounding, must not count as much as the others.
        largest = np.where(known.Y.weight > 0, values, partials.max(1, initial=0.0))
        return values, np.maximum(partials, _LEAST_SHARE * largest[:, None])


@dataclass(frozen=True, eq=False)
class Preparation:
    """How rows are prepared before a network is trained on them.

    Args:
        scaling: from the data's units to the network's.
        reference: statistics of the training rows, by which residuals are balanced; None: no balance.
        scales_values: whether residuals of values are scaled, as in the squared loss.
    """

    scaling: Scaling
    reference: Statistics | None
    scales_values: bool = True

    def of(self, part: MixedData) -> MixedData:
        """Return the prepared rows of `part`."""
        scaled = self.scaling.scale_data(part, self.reference is not None, self.reference)
        return scaled if self.scales_values else replace(scaled, Y_sigma=part.Y_sigma)

    def quantities(self, data: Dataset) -> tuple[Quantity, ...]:
        """Return the quantities of `data` as those of the prepared rows are."""
        return self.scaling.scale_quantities(data.quantities, self.reference)


def _refuse_extremes(
    data: MixedData,
    X: Array,
    targets: tuple[Array, Array, Array],
    sigmas: tuple[Array, Array, Array | None],
) -> None:
    partials = [derivative_name(out, into) for out in data.outputs for into in data.inputs]
    names = data.outputs, partials, [quantity.name for quantity in data.quantities]
    observed = list(zip(names, (data.Y, data.J, data.Q), targets, sigmas, strict=True))
    for columns, given, scaled, _ in ((data.inputs, data.X, X, None), *observed):
        bad = ~np.isnan(given) & ~(np.abs(scaled) <= _MOST)
        _refuse_column(columns, bad, "has numbers too far apart, or too small,")
    for columns, given, _, sigma in observed:
        if sigma is not None:
            bad = ~np.isnan(given) & ((sigma > _MOST) | (sigma < 1.0 / _MOST))
            _refuse_column(columns, bad, "has standard deviations too large or too small")


def _refuse_column(names: Sequence[str], bad: NDArray[np.bool_], what: str) -> None:
    if bad.any():
        name = names[int(np.argmax(bad.reshape(len(bad), -1).any(0)))]
        raise SwarmnetError(f"{name!r} {what} for double precision: correct them, or use another unit")


def _statistics(data: Dataset | Statistics) -> Statistics:
    return data if isinstance(data, Statistics) else data.statistics


def _input_scale(inputs: Moments, kind: str) -> tuple[Array, Array]:
    low, high = inputs.low, inputs.high
    if kind == "minmax":
        offset, scale = low / 2 + high / 2, high / 2 - low / 2
    else:
        offset, scale = inputs.mean, inputs.deviation
    # For a constant input its magnitude is the scale, so that a change of units still cancels.
    size = np.where(offset != 0, np.abs(offset), 1.0)
    return offset, np.where(high > low, _positive(scale, size), size)


def _output_scale(known: Statistics, o: int, x_scale: Array, kind: str) -> tuple[float, float]:
    weight = known.J.weight.reshape(known.k, -1)[o]
    slopes = known.J.root_mean_square.reshape(known.k, -1)[o] * x_scale
    largest = float(slopes.max())
    square = float(np.average((slopes / largest) ** 2, weights=weight)) if largest > 0 else 0.0
    by_slopes = largest * float(np.sqrt(square))
    if known.Y.weight[o] == 0:
        return 0.0, by_slopes if by_slopes > 0 else 1.0
    low, high = float(known.Y.low[o]), float(known.Y.high[o])
    if kind == "standard":
        offset, scale = float(known.Y.mean[o]), float(known.Y.deviation[o])
    else:
        offset, scale = low / 2 + high / 2, high / 2 - low / 2
    if high > low and scale > 0:
        return offset, scale
    return offset, by_slopes or abs(offset) or 1.0


def _positive(scale: Array, otherwise: Array | float) -> Array:
    return np.where((scale > 0) & np.isfinite(scale), scale, otherwise)
