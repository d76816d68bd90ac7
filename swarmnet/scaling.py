"""Scaling: from the data's units to those in which the network works, and back, values and partials together.

A network value is (y - y_offset) / y_scale at inputs (x - x_offset) / x_scale, so that by the chain rule
partials scale by x_scale / y_scale and second derivatives by x_scale^2 / y_scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from swarmnet.columns import derivative_name
from swarmnet.data import MixedData, along_rows
from swarmnet.errors import SwarmnetError, unknown

Array = NDArray[np.float64]

KINDS = ("standard", "minmax")
_MOST = 1e50  # as many scales a number may be away from 0, so that products of squares are finite
_LEAST_SHARE = 1e-3  # of an output's scale, the smallest scale of a partial's residual


@dataclass(frozen=True)
class Scaling:
    """Offsets and scales: x_offset (d,), x_scale (d,), y_offset (k,), y_scale (k,); scales are positive."""

    x_offset: Array
    x_scale: Array
    y_offset: Array
    y_scale: Array

    @classmethod
    def identity(cls, d: int, k: int) -> "Scaling":
        """No scaling."""
        return cls(np.zeros(d), np.ones(d), np.zeros(k), np.ones(k))

    @classmethod
    def of(cls, data: MixedData, kind: str | None = "standard", outputs: bool = True) -> "Scaling":
        """The scaling for `data`, from its observed entries alone.

        "standard" takes inputs and outputs to mean 0 and standard deviation 1, each row of the inputs
        counting once for each entry observed there, times its weight; "minmax" takes them to [-1, 1]. An
        output with too few values to have a spread is scaled by its slopes instead. With `outputs` False
        they are left alone.

        Raises:
            SwarmnetError: an unknown kind.
        """
        if kind is None:
            return cls.identity(data.d, data.k)
        if kind not in KINDS:
            raise unknown("scaling", kind, [*KINDS, "None"])
        x_offset, x_scale = _input_scale(data, kind)
        if not outputs:
            return cls(x_offset, x_scale, np.zeros(data.k), np.ones(data.k))
        pairs = [_output_scale(data, o, x_scale, kind) for o in range(data.k)]
        y_offset, y_scale = np.array(pairs).T
        return cls(x_offset, x_scale, y_offset, y_scale)

    def scale_X(self, X: Array) -> Array:
        """Inputs (n, d) as the network takes them."""
        return (X - self.x_offset) / self.x_scale

    def unscale_Y(self, Y: Array) -> Array:
        """Network values (n, k) in the data's units."""
        return Y * self.y_scale + self.y_offset

    def unscale_J(self, J: Array) -> Array:
        """Network partials (n, k, d) in the data's units."""
        return J * (self.y_scale[:, None] / self.x_scale)

    def unscale_H(self, H: Array) -> Array:
        """Network second derivatives (n, k, d, d) in the data's units."""
        # One division after the other: the product of two tiny scales may be 0.
        return H * (self.y_scale[:, None, None] / self.x_scale[:, None] / self.x_scale)

    @np.errstate(
        over="ignore", invalid="ignore", divide="ignore"
    )  # `_refuse_extremes` looks at what comes out
    def scale_data(
        self, data: MixedData, balance: bool = True, reference: MixedData | None = None
    ) -> MixedData:
        """`data` as the network sees it, each entry's sigma being the scale of its residual.

        That scale is the sigma given with the entry; else, with `balance`, the standard deviation of the
        values and the root mean square of the partial's column in `reference`, the data trained on (`data`
        by default), so that values and every partial count alike, but for a partial that moves its output by
        less than a thousandth of the output's spread for an input's: it counts less; else 1.

        Raises:
            SwarmnetError: numbers so far apart, or so close together, that their squares are not doubles.
        """
        if balance:
            known = self.scale_data(data if reference is None else reference, balance=False)
            rows = known.row_weights
            values, partials = _spread(known.Y, rows), _root_mean_square(known.J, rows)
            # A partial that hardly matters, or is 0 but for rounding, must not count like the others.
            has_values = np.asarray((~np.isnan(known.Y[rows > 0])).any(0))
            largest = np.where(has_values, values, partials.max(1, initial=0.0))
            partials = np.maximum(partials, _LEAST_SHARE * largest[:, None])
        y_unit = 1.0 / self.y_scale
        j_unit = self.x_scale / self.y_scale[:, None]
        Y = (data.Y - self.y_offset) * y_unit
        J = data.J * j_unit
        Y_sigma = np.full_like(Y, np.nan) if data.Y_sigma is None else data.Y_sigma * y_unit
        J_sigma = np.full_like(J, np.nan) if data.J_sigma is None else data.J_sigma * j_unit
        if balance:
            Y_sigma = np.where(np.isnan(Y_sigma), values, Y_sigma)
            J_sigma = np.where(np.isnan(J_sigma), partials, J_sigma)
        X = self.scale_X(data.X)
        _refuse_extremes(data, X, (Y, J), (Y_sigma, J_sigma))
        return replace(data, X=X, Y=Y, J=J, Y_sigma=Y_sigma, J_sigma=J_sigma)


def _refuse_extremes(
    data: MixedData, X: Array, targets: tuple[Array, Array], sigmas: tuple[Array, Array]
) -> None:
    partials = [derivative_name(out, into) for out in data.outputs for into in data.inputs]
    for names, given, scaled in (
        (data.inputs, data.X, X),
        (data.outputs, data.Y, targets[0]),
        (partials, data.J, targets[1]),
    ):
        bad = ~np.isnan(given) & ~(np.abs(scaled) <= _MOST)
        _refuse_column(names, bad, "has numbers too far apart, or too small,")
    for names, given, sigma in (data.outputs, data.Y, sigmas[0]), (partials, data.J, sigmas[1]):
        bad = ~np.isnan(given) & ((sigma > _MOST) | (sigma < 1.0 / _MOST))
        _refuse_column(names, bad, "has standard deviations too large or too small")


def _refuse_column(names: Sequence[str], bad: NDArray[np.bool_], what: str) -> None:
    if bad.any():
        name = names[int(np.argmax(bad.reshape(len(bad), -1).any(0)))]
        raise SwarmnetError(f"{name!r} {what} for double precision: correct them, or use another unit")


def _input_scale(data: MixedData, kind: str) -> tuple[Array, Array]:
    weight = data.entries_per_row * data.row_weights
    seen = weight > 0
    X, weight = data.X[seen], weight[seen]
    low, high = X.min(0), X.max(0)
    if kind == "minmax":
        offset, scale = low / 2 + high / 2, high / 2 - low / 2
    else:
        # About the middle of the range, so that a huge offset costs no digits; rows count by entries, so
        # that a row with two entries is the same as two rows with one each.
        middle, half = low / 2 + high / 2, high / 2 - low / 2
        unit = _positive(half, 1.0)  # in units of which squares neither overflow nor vanish
        centred = (X - middle) / unit
        mean = np.average(centred, axis=0, weights=weight)
        offset = middle + mean * unit
        scale = np.sqrt(np.average((centred - mean) ** 2, axis=0, weights=weight)) * unit
    # An input that does not vary takes its own size for a scale: units then still cancel.
    size = np.where(offset != 0, np.abs(offset), 1.0)
    return offset, np.where(high > low, _positive(scale, size), size)


def _output_scale(data: MixedData, o: int, x_scale: Array, kind: str) -> tuple[float, float]:
    values, often = _observed(data.Y[:, o], data.row_weights)
    slopes, times = _observed(data.J[:, o] * x_scale, data.row_weights)
    largest = float(np.abs(slopes).max(initial=0.0))
    square = float(np.average((slopes / largest) ** 2, weights=times)) if largest > 0 else 0.0
    by_slopes = largest * float(np.sqrt(square))
    if len(values) == 0:
        return 0.0, by_slopes if by_slopes > 0 else 1.0
    low, high = values.min(), values.max()
    middle = low / 2 + high / 2
    offset, scale = middle, high / 2 - low / 2
    if kind == "standard" or len(values) == 1:
        unit = scale if scale > 0 else 1.0
        centred = (values - middle) / unit
        mean = float(np.average(centred, weights=often))
        offset = middle + mean * unit
        scale = float(np.sqrt(np.average((centred - mean) ** 2, weights=often))) * unit
    if high > low and scale > 0:
        return float(offset), float(scale)
    return float(offset), by_slopes or abs(float(offset)) or 1.0


def _positive(scale: Array, otherwise: Array | float) -> Array:
    return np.where((scale > 0) & np.isfinite(scale), scale, otherwise)


def _observed(column: Array, rows: Array) -> tuple[Array, Array]:
    """What was observed in a column (n, ...) and how often each counts, flat; `rows` are their weights."""
    often = np.broadcast_to(along_rows(rows, column.ndim), column.shape)
    seen = ~np.isnan(column) & (often > 0)
    return column[seen], often[seen]


def _spread(Y: Array, rows: Array) -> Array:
    """(k,) standard deviation of what was observed of each output; 1 where that is 0 or nothing."""
    return _column_scale(Y - _column_mean(Y, rows), rows)


def _root_mean_square(J: Array, rows: Array) -> Array:
    """(k, d) root mean square of what was observed in each column; 1 where that is 0 or nothing."""
    return _column_scale(J, rows)


def _column_mean(array: Array, rows: Array) -> Array:
    often = np.where(np.isnan(array), 0.0, along_rows(rows, array.ndim))
    total = often.sum(0)
    return np.asarray((np.where(often > 0, array, 0.0) * often).sum(0) / np.where(total > 0, total, 1.0))


def _column_scale(array: Array, rows: Array) -> Array:
    counts = ~np.isnan(array) & (along_rows(rows, array.ndim) > 0)
    largest = np.where(counts, np.abs(array), 0.0).max(0)
    unit = np.where(largest > 0, largest, 1.0)
    return np.where(largest > 0, np.sqrt(_column_mean((array / unit) ** 2, rows)) * unit, 1.0)
