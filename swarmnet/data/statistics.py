"""Means, deviations and ranges of columns, computed in one pass over parts of the rows and merged.

Each part is computed about the middle of its own range. Two parts are merged by the difference of their means
(Chan, Golub and LeVeque 1979). So neither a large offset nor the number of parts loses digits.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """Statistics of the observed numbers in each of m columns.

    Args:
        count: (m,) how many numbers were observed.
        weight: (m,) the sum of their weights.
        mean: (m,) their weighted mean; 0 where nothing was observed.
        deviation: (m,) their weighted standard deviation.
        low: (m,) the smallest; inf where nothing was observed.
        high: (m,) the largest; -inf where nothing was observed.
    """

    count: Array
    weight: Array
    mean: Array
    deviation: Array
    low: Array
    high: Array

    @classmethod
    def of(cls, columns: Iterable[Array], weights: Array | None = None) -> "Moments":
        """Return the moments of columns (n,), NaN where not observed; numbers of weight 0 are ignored.

        Args:
            columns: m columns.
            weights: (n,) row weights, or None if all are 1.
        """
        return cls(*np.array([_of_column(column, weights) for column in columns]).reshape(-1, 6).T)

    def __add__(self, other: "Moments") -> "Moments":
        """Return the moments of the rows of both."""
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        weight = self.weight + other.weight
        share = other.weight / np.where(weight > 0, weight, 1.0)
        unit = np.maximum(np.abs(low), np.abs(high))  # units in which squares neither overflow nor underflow
        unit = np.where((unit > 0) & np.isfinite(unit), unit, 1.0)
        apart = other.mean / unit - self.mean / unit
        squares = (1.0 - share) * (self.deviation / unit) ** 2 + share * (other.deviation / unit) ** 2
        return Moments(
            self.count + other.count,
            weight,
            np.where(share < 1.0, self.mean + share * apart * unit, other.mean),
            np.sqrt(squares + share * (1.0 - share) * apart**2) * unit,
            low,
            high,
        )

    @property
    def root_mean_square(self) -> Array:
        """(m,) the root mean square about 0; 0 where nothing was observed."""
        return np.hypot(self.mean, self.deviation)


@dataclass(frozen=True, eq=False)
class Statistics:
    """The statistics of rows that training needs; those of several parts can be added.

    Args:
        n: number of rows.
        X: of the inputs (d,), with each row counted once for each of its entries.
        rows: of the inputs (d,), with each row that has an entry counted once.
        Y: of the outputs' values (k,).
        J: of the partials (k d,), one output after another.
        Q: of the quantities (q,).
    """

    n: int
    X: Moments
    rows: Moments
    Y: Moments
    J: Moments
    Q: Moments

    @classmethod
    def of(
        cls, X: Array, Y: Array, J: Array, weights: Array | None, quantities: Array | None = None
    ) -> "Statistics":
        """Return the statistics of rows X (n, d), Y (n, k), J (n, k, d) and quantities (n, q).

        Their weights are (n,), or None for 1.
        """
        n, k, d = J.shape
        Q = np.zeros((n, 0)) if quantities is None else quantities
        entries = (~np.isnan(Y)).sum(1) + (~np.isnan(J)).sum((1, 2)) + (~np.isnan(Q)).sum(1)
        often = 1.0 if weights is None else weights
        return cls(
            n,
            Moments.of(X.T, entries * often),
            Moments.of(X.T, (entries > 0) * often),
            Moments.of(Y.T, weights),
            Moments.of(J.reshape(n, k * d).T, weights),
            Moments.of(Q.T, weights),
        )

    def __add__(self, other: "Statistics") -> "Statistics":
        """Return the statistics of the rows of both."""
        return Statistics(
            self.n + other.n,
            self.X + other.X,
            self.rows + other.rows,
            self.Y + other.Y,
            self.J + other.J,
            self.Q + other.Q,
        )

    @classmethod
    def total(cls, parts: Iterable["Statistics"]) -> "Statistics":
        """Return the statistics of the rows of all parts, at least one."""
        return functools.reduce(cls.__add__, parts)

    @property
    def d(self) -> int:
        """Number of inputs."""
        return len(self.X.mean)

    @property
    def k(self) -> int:
        """Number of outputs."""
        return len(self.Y.mean)

    @property
    def n_values(self) -> int:
        """Number of observed values."""
        return int(self.Y.count.sum())

    @property
    def n_derivatives(self) -> int:
        """Number of observed partial derivatives."""
        return int(self.J.count.sum())

    @property
    def total_weights(self) -> tuple[float, float]:
        """The total weights of all values, and of all partials and quantities."""
        return float(self.Y.weight.sum()), float(self.J.weight.sum() + self.Q.weight.sum())

    @property
    def n_entries(self) -> int:
        """Number of observed values, partials and quantities together."""
        return self.n_values + self.n_derivatives + int(self.Q.count.sum())


def _of_column(column: Array, weights: Array | None) -> tuple[float, ...]:
    seen = ~np.isnan(column)
    if weights is not None:
        seen &= weights > 0
    values = column[seen]
    if len(values) == 0:
        return 0.0, 0.0, 0.0, 0.0, np.inf, -np.inf
    often = None if weights is None else weights[seen]
    low, high = float(values.min()), float(values.max())
    # Computed about the middle of the range, so that a large offset loses no digits.
    middle, half = low / 2 + high / 2, high / 2 - low / 2
    unit = half if half > 0 else 1.0  # units in which squares neither overflow nor underflow
    values -= middle
    values /= unit
    mean = float(np.average(values, weights=often))
    values -= mean
    values *= values
    deviation = float(np.sqrt(np.average(values, weights=often))) * unit
    weight = float(len(values)) if often is None else float(often.sum())
    return float(len(values)), weight, middle + mean * unit, deviation, low, high
