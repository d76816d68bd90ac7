"""Where the training points of a model are: the range of each input, and points spread over the data.

A point can be within all ranges and yet far from the data, in a gap or in a corner. To tell, a model keeps
up to 200 of its training points, each the farthest from those before (Gonzalez 1985), with inputs in units of
half their training range. The usual spacing of the data is the second-longest edge of the minimum spanning
tree of these points (Prim 1957): a spacing that occurs only once, such as that between two clusters or before
an outlier, is a gap, and one that occurs again, such as that between isotherms, is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import listed
from swarmnet.data.dataset import Dataset
from swarmnet.model.training_record import input_range
from swarmnet.number_format import ends, for_offset

Array = NDArray[np.float64]

FAR = "far from all rows"
_MOST_NAMED = 4  # inputs in a note
_MOST_POINTS, _MOST_NUMBERS = 200, 20_000  # kept points, and numbers in them; only bound a model file
_SAMPLE = 10_000  # rows from which the kept points are chosen; bounds the time
_BLOCK = 4096  # rows whose distances are computed at a time; bounds the memory
# Chosen: of points drawn like the training points, or anywhere in the box of evenly filled data, at most two
# in a thousand are far with 40 or more rows (1 to 20 inputs, uniform and normal).
_SPACINGS = 1.5
_ROUNDING = 16 * np.finfo(np.float64).eps  # relative; a few conversions of units


@dataclass(frozen=True, eq=False)
class TrainingPoints:
    """Training points spread over the data, from which distances are measured.

    Args:
        X: (m, d) points, in the data's units.
        unit: (d,) half the training range of each input; 0 for a constant one, along which distances are 0.
        reach: the distance to the nearest of these points beyond which a point is far from the data.
    """

    X: Array
    unit: Array
    reach: float

    @classmethod
    def of(cls, data: Dataset) -> TrainingPoints | None:
        """Return the points of data in canonical form, with the inputs' order; None for data in files."""
        rows = data.in_memory
        if rows is None:
            return None
        low, high = rows.X.min(0), rows.X.max(0)
        found = cls(rows.X, high / 2 - low / 2, 0.0)
        chosen = np.flatnonzero(np.append(True, (rows.X[1:] != rows.X[:-1]).any(1)))  # rows are sorted
        if len(chosen) > _SAMPLE:
            chosen = np.sort(np.random.default_rng(0).choice(chosen, _SAMPLE, replace=False))
        chosen = chosen[_farthest_first(found._scaled(rows.X[chosen]), most_points(data.d))]
        found = replace(found, X=rows.X[chosen])
        # A grid's point that is farthest from all others is half a diagonal away.
        spacings = max(_SPACINGS, 0.5 * np.count_nonzero(found.unit) ** 0.5)
        reach = spacings * _usual_spacing(found._scaled(found.X))
        return replace(found, reach=max(reach, float(found.distance(rows.X).max())))

    def distance(self, X: Array) -> Array:
        """Return the distance (n,) of each point of X (n, d) to the nearest of these points."""
        near, points = np.empty(len(X)), self._scaled(self.X)
        with np.errstate(over="ignore"):
            for first in range(0, len(X), _BLOCK):
                block = self._scaled(X[first : first + _BLOCK])
                squares = sum((x[:, None] - p) ** 2 for x, p in zip(block.T, points.T, strict=True))
                near[first : first + _BLOCK] = np.sqrt(np.asarray(squares).min(1))
        return near

    def far(self, X: Array) -> NDArray[np.bool_]:
        """Return (n,): whether each point of X (n, d) is far from the data."""
        return self.distance(X) > self.reach * (1.0 + _ROUNDING)

    def reordered(self, order: Sequence[int]) -> TrainingPoints:
        """Return the same points with the inputs in another order."""
        return TrainingPoints(self.X[:, order], self.unit[order], self.reach)

    def _scaled(self, X: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.divide(X, self.unit, out=np.zeros(X.shape), where=self.unit > 0)


def most_points(d: int) -> int:
    """Return how many points of d inputs a model keeps at most."""
    return max(2, min(_MOST_POINTS, _MOST_NUMBERS // d))


def _farthest_first(Z: Array, most: int) -> list[int]:
    """Return the numbers of points of Z (n, d), each the farthest from those before (Gonzalez 1985)."""
    at, near, kept = 0, np.full(len(Z), np.inf), list[int]()
    while len(kept) < min(most, len(Z)):
        kept.append(at)
        near = np.minimum(near, np.linalg.norm(Z - Z[at], axis=1))
        at = int(near.argmax())
    return kept


def _usual_spacing(Z: Array) -> float:
    """Return the second-longest edge of the minimum spanning tree of points Z (m, d) (Prim 1957).

    It is the only one for two points, and 0 for one.
    """
    at, near, edges = 0, np.full(len(Z), np.inf), [0.0]
    left = np.ones(len(Z), bool)
    for _ in range(len(Z) - 1):
        left[at] = False
        near = np.where(left, np.minimum(near, np.linalg.norm(Z - Z[at], axis=1)), np.inf)
        at = int(near.argmin())
        edges.append(float(near[at]))
    return sorted(edges)[-2] if len(edges) > 2 else edges[-1]


@dataclass(frozen=True, eq=False)
class Region:
    """The training range of each input, and points that say where within it the data are.

    Args:
        names: of d inputs.
        low: (d,) the lowest number of each input in the training rows; -inf where unknown.
        high: (d,) the highest; inf where unknown.
        points: training points, or None if unknown.
    """

    names: tuple[str, ...]
    low: Array
    high: Array
    points: TrainingPoints | None

    @classmethod
    def of(cls, names: Sequence[str], record: Mapping[str, Any], points: TrainingPoints | None) -> Region:
        """Return the region that a model's training record and points describe."""
        known = [input_range(record, name) or (-np.inf, np.inf) for name in names]
        low, high = np.array(known).T
        return cls(tuple(names), low, high, points)

    def outside(self, X: Array) -> NDArray[np.bool_]:
        """Return (n, d): whether each input of X (n, d) is beyond its range by more than rounding."""
        slack = _ROUNDING * np.maximum(np.abs(self.low), np.abs(self.high))
        return np.asarray((self.low - slack > X) | (self.high + slack < X))

    def far(self, X: Array) -> NDArray[np.bool_]:
        """Return (n,): whether each point is far from all training points; False where that is unknown."""
        return np.zeros(len(X), bool) if self.points is None else self.points.far(X)

    def words(self, X: Array) -> list[str]:
        """Return for each point of X (n, d) the inputs that are outside, "T + p"; or `FAR`, or ""."""
        pairs = zip(self.outside(X), self.far(X), strict=True)
        named = [(" + ".join(np.array(self.names)[beyond].tolist()), far) for beyond, far in pairs]
        return [names or (FAR if far else "") for names, far in named]

    def note(self, X: Array, gaps: bool = True) -> str:
        """Return a sentence about the points of X (n, d) that are outside or far from the data, or "".

        Args:
            X: points.
            gaps: whether to look for points within the range that are far from the data.
        """
        beyond = self.outside(X)
        outside = np.asarray(beyond.any(1))
        parts = []
        if outside.any():
            found = np.flatnonzero(beyond.any(0)).tolist()
            inputs = [self._beyond(j, X[beyond[:, j], j]) for j in found[:_MOST_NAMED]]
            if len(found) > _MOST_NAMED:
                inputs.append(f"and {len(found) - _MOST_NAMED} more inputs")
            parts.append(f"{_rows(outside)} outside the training range: {listed(inputs)}")
        if gaps and (far := self.far(X) & ~outside).any():
            parts.append(f"{_rows(far)} within the training range, but far from all training rows")
        return "; ".join(parts)

    def _beyond(self, j: int, numbers: Array) -> str:
        """Return as text where numbers of an input are, and its range: "x 2 to 10 (range 0 to 1)"."""
        low, high = float(numbers.min()), float(numbers.max())
        apart = min(abs(number - end) for number in (low, high) for end in (self.low[j], self.high[j]))
        digits = max(for_offset(low, apart, 2), for_offset(high, apart, 2), 6)
        found = " to ".join(dict.fromkeys(f"{number:.{digits}g}" for number in (low, high)))
        known = " to ".join(ends(float(self.low[j]), float(self.high[j]), digits))
        return f"{self.names[j]} {found} (range {known})"


def _rows(chosen: NDArray[np.bool_]) -> str:
    count = np.count_nonzero(chosen)
    return f"{count} of {len(chosen)} rows {'lies' if count == 1 else 'lie'}"
