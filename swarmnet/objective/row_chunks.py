"""Rows of MixedData in chunks for the kernels, and the table of their single entries.

A row with partials along m inputs is computed as a jet with m tangents, or by a pullback of the gradient of
each output with observed partials, whichever needs fewer passes. Rows of the same kind share chunks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.mixed_data import MixedData
from swarmnet.objective.noise_groups import EntryWeights, Grouping

Array = NDArray[Any]
Rows = NDArray[np.intp]

VALUE = -1  # stands for "no input" in `Entries.input` and `Entries.second`


@dataclass(frozen=True, eq=False)
class Chunks:
    """Rows of one kind in c chunks of r rows each; the last one is filled with rows of weight 0.

    Args:
        count: number of rows.
        inputs: (c, 1 + m, d, r) each row's point, and its m directions.
        target: (c, 1 + m, k, r) its values, and its partials along each direction.
        weight: (c, 1 + m, k, r) their weights, 0 where not observed.
        group: (c, 1 + m, k, r) their noise groups, see `noise_groups.Groups`.
        J: (c, k, d, r) the partials of rows computed by pullback, with m = 0; k = 0 here for other rows.
        J_weight: (c, k, d, r) their weights.
        J_group: (c, k, d, r) their noise groups.
        Q: (c, q, r) their quantities.
        Q_weight: (c, q, r) their weights.
        Q_group: (c, q, r) their noise groups.
    """

    count: int
    inputs: Array
    target: Array
    weight: Array
    group: Array
    J: Array
    J_weight: Array
    J_group: Array
    Q: Array
    Q_weight: Array
    Q_group: Array

    @property
    def tangents(self) -> int:
        """The number of tangents m."""
        return int(self.inputs.shape[1]) - 1

    @property
    def rows(self) -> int:
        """Rows in each chunk, r."""
        return int(self.inputs.shape[3])

    @property
    def has_gradients(self) -> bool:
        """Whether these rows are computed by pullback."""
        return bool(self.J.shape[1])

    @cached_property
    def outputs(self) -> Array:
        """The outputs that have partials in `J`."""
        return np.flatnonzero(self.J_weight.any((0, 2, 3)))

    @cached_property
    def squares(self) -> float:
        """The weighted sum of the squared targets."""
        target, weight = self.target.astype(np.float64), self.weight.astype(np.float64)
        J, J_weight = self.J.astype(np.float64), self.J_weight.astype(np.float64)
        return float(np.vdot(target * weight, target) + np.vdot(J * J_weight, J))

    def take(self, rows: Rows, most: int) -> "Chunks":
        """Return some rows, by their numbers, in chunks of at most `most` rows."""
        length = _length(len(rows), most)
        at = rows // self.rows, rows % self.rows
        arrays = [np.moveaxis(array, -1, 1)[at] for array in self._arrays]
        return Chunks(len(rows), *(_chunked(array, length) for array in arrays))

    @cached_property
    def as_jets(self) -> "Chunks":
        """The same rows as jets, with a tangent for each input along which a partial was observed."""
        if not self.has_gradients:
            return self
        inputs = np.flatnonzero(self.J_weight.any((0, 1, 3)))
        chunks, _, d, rows = self.inputs.shape
        directions = np.zeros((chunks, len(inputs), d, rows), self.inputs.dtype)
        directions[:, np.arange(len(inputs)), inputs] = 1.0

        def joined(values: Array, partials: Array) -> Array:
            return np.ascontiguousarray(
                np.concatenate([values, partials[:, :, inputs].swapaxes(1, 2)], axis=1)
            )

        none = self.J[:, :0]
        return Chunks(
            self.count,
            np.concatenate([self.inputs, directions], axis=1),
            joined(self.target, self.J),
            joined(self.weight, self.J_weight),
            joined(self.group, self.J_group),
            none,
            none,
            none,
            self.Q,
            self.Q_weight,
            self.Q_group,
        )

    @property
    def _arrays(self) -> list[Array]:
        return [getattr(self, field.name) for field in fields(self)[1:]]


@dataclass(frozen=True, eq=False)
class Entries:
    """The table of single entries: values first, then first partials, then second ones.

    Args:
        X: (n, d) the rows' points.
        row: (entries,) row in X.
        output: (entries,) output.
        input: (entries,) input of a partial, or VALUE.
        second: (entries,) the other input of a second partial, or VALUE.
        target: (entries,) observed number.
        weight: (entries,) 1 / sigma^2 times the row weight.
        group: (entries,) see `noise_groups.Groups`.
    """

    X: Array
    row: Array
    output: Array
    input: Array
    second: Array
    target: Array
    weight: Array
    group: Array

    @classmethod
    def of(cls, parts: Sequence[Chunks], unit: EntryWeights) -> "Entries":
        """Return the entries of chunks, whose weights also contain the factors `unit`."""
        found = [entry for chunks in parts for entry in _entries(chunks, unit)]
        if not found:
            none = np.zeros(0, np.intp)
            return cls(np.zeros((0, 1)), none, none, none, none, np.zeros(0), np.zeros(0), none)
        starts = np.cumsum([0, *(len(X) for X, *_ in found)])
        columns = [
            (row + start, *others) for start, (_, row, *others) in zip(starts[:-1], found, strict=True)
        ]
        X = np.concatenate([X for X, *_ in found])
        joined = [np.concatenate(column) for column in zip(*columns, strict=True)]
        order = np.argsort((joined[2] != VALUE) + (joined[3] != VALUE).astype(int), kind="stable")
        return cls(X, *(np.ascontiguousarray(column[order]) for column in joined))

    @property
    def count(self) -> int:
        """Number of entries."""
        return len(self.row)

    @cached_property
    def has_second(self) -> bool:
        """Whether there are second partials."""
        return bool((self.second != VALUE).any())

    @cached_property
    def columns(self) -> tuple[Array, ...]:
        """All arrays, in the form that kernels take."""
        return tuple(np.require(getattr(self, field.name), requirements=["C", "W"]) for field in fields(self))


def _entries(chunks: Chunks, unit: EntryWeights) -> Iterator[tuple[Array, ...]]:
    """Yield the points of chunks with the columns of `Entries`, for values and for partials."""
    X = np.ascontiguousarray(unchunked(chunks.inputs[:, 0]), np.float64)
    rows = chunks.rows
    sure = chunks.weight[:, 0]
    if unit.value > 0 and sure.any():
        chunk, output, place = at = np.nonzero(sure)
        weight = sure[at].astype(np.float64) / unit.value
        target = chunks.target[:, 0][at].astype(np.float64)
        none = np.full(len(place), VALUE)
        yield X, chunk * rows + place, output, none, none, target, weight, chunks.group[:, 0][at]
    if unit.partial == 0:
        return
    jets = chunks.as_jets
    directions = jets.inputs[:, 1:].argmax(2)  # (c, m, r)
    chunk, part, output, place = at = np.nonzero(jets.weight[:, 1:])
    if len(place):
        weight = jets.weight[:, 1:][at].astype(np.float64) / unit.partial
        target = jets.target[:, 1:][at].astype(np.float64)
        along, none = directions[chunk, part, place], np.full(len(place), VALUE)
        yield X, chunk * rows + place, output, along, none, target, weight, jets.group[:, 1:][at]


class Chunker:
    """Divides MixedData into chunks.

    Args:
        data: the rows.
        measured: the same rows with only measured sigmas, see `Grouping.sums`.
        weights: the factors of values and partials in the weights.
        dtype: of the numbers.
        most: maximum rows of a chunk.
    """

    def __init__(
        self, data: MixedData, measured: MixedData, weights: EntryWeights, dtype: Any, most: int
    ) -> None:
        self._data, self._dtype, self._most = data, dtype, most
        groups = Grouping(data.k, data.d, len(data.quantities))
        often = data.weights
        self._Y, self._Y_weight = weights.of(weights.value, data.Y, data.Y_sigma, often)
        self._J, self._J_weight = weights.of(weights.partial, data.J, data.J_sigma, often)
        self._Y_group = groups.of(np.broadcast_to(groups.values, data.Y.shape), measured.Y_sigma, 0)
        self._Q, self._Q_weight = weights.of(weights.partial, data.Q, data.Q_sigma, often)
        self._Q_group = groups.of(np.broadcast_to(groups.quantities, data.Q.shape), measured.Q_sigma, 1)
        self._J_group = groups.of(np.broadcast_to(groups.partials, data.J.shape), measured.J_sigma, 1)

    def all(self) -> tuple[list[Chunks], Rows]:
        """Return the chunks of all rows that have entries, kind by kind, and the number of each row."""
        data = self._data
        seen = ~np.isnan(data.J)
        inputs = np.asarray(seen.any(1))  # (n, d)
        count = inputs.sum(1)
        many = count > np.minimum(data.k, seen.any(2).sum(1))
        some = data.entries_per_row > 0
        parts, numbers = [], []
        for m in np.unique(count[some & ~many]):
            rows = np.flatnonzero(some & ~many & (count == m))
            directions = np.nonzero(inputs[rows])[1].reshape(len(rows), m)
            parts.append(self._jets(rows, directions))
            numbers.append(rows)
        if many.any():
            rows = np.flatnonzero(many)
            parts.append(self._gradients(rows))
            numbers.append(rows)
        return parts, np.concatenate([*numbers, np.empty(0, np.intp)])

    def _jets(self, rows: Rows, directions: Array) -> Chunks:
        n, m = directions.shape
        every = np.arange(n)
        points = np.zeros((n, 1 + m, self._data.d))
        points[:, 0] = self._data.X[rows]
        points[every[:, None], 1 + np.arange(m), directions] = 1.0
        at = rows[:, None, None], np.arange(self._data.k)[:, None], directions[:, None, :]

        def jets(values: Array, partials: Array) -> Array:  # (n, 1 + m, k)
            return np.concatenate([values[rows, None], partials[at].swapaxes(1, 2)], axis=1)

        none = np.zeros((n, 0, self._data.d))
        return self._of(
            n,
            points,
            jets(self._Y, self._J),
            jets(self._Y_weight, self._J_weight),
            jets(self._Y_group, self._J_group),
            none,
            none,
            none,
            *self._quantities(rows),
        )

    def _gradients(self, rows: Rows) -> Chunks:
        values = (array[rows, None] for array in (self._data.X, self._Y, self._Y_weight, self._Y_group))
        partials = (array[rows] for array in (self._J, self._J_weight, self._J_group))
        return self._of(len(rows), *values, *partials, *self._quantities(rows))

    def _quantities(self, rows: Rows) -> list[Array]:
        return [array[rows] for array in (self._Q, self._Q_weight, self._Q_group)]

    def _of(self, count: int, *arrays: Array) -> Chunks:
        length = _length(count, self._most)
        typed = [array if array.dtype.kind == "i" else array.astype(self._dtype) for array in arrays]
        return Chunks(count, *(_chunked(array, length) for array in typed))


def _length(rows: int, most: int) -> int:
    """Return the rows of each chunk, for as few and equal chunks as possible, a multiple of eight (SIMD)."""
    chunks = max(1, -(-rows // most))
    return max(8, -(-rows // (chunks * 8)) * 8)


def _chunked(array: Array, length: int) -> Array:
    """Return (rows, ...) as (chunks, ..., length), filled up with zeros."""
    chunks = max(1, -(-len(array) // length))
    full = np.zeros((chunks * length, *array.shape[1:]), array.dtype)
    full[: len(array)] = array
    return np.ascontiguousarray(np.moveaxis(full.reshape(chunks, length, *array.shape[1:]), 1, -1))


def unchunked(array: Array) -> Array:
    """Return (chunks, ..., length) as (rows, ...)."""
    rows_first = np.moveaxis(array, -1, 1)
    chunks, length, *rest = rows_first.shape
    return rows_first.reshape(chunks * length, *rest)


def taken(parts: Sequence[Chunks], rows: Rows, most: int) -> list[Chunks]:
    """Return the rows with these ascending numbers, counted through all parts."""
    found, end = [], 0
    for chunks in parts:
        start, end = end, end + chunks.count
        low, high = np.searchsorted(rows, [start, end])
        if low < high:
            found.append(chunks.take(rows[low:high] - start, most))
    return found
