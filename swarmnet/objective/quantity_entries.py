"""Single entries in blocks: those of the table of values and partials, and those of quantities.

A quantity's arguments are computed as entries of the table, and so are their gradients; the formula's
derivatives combine them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.quantities import Quantity
from swarmnet.objective.row_chunks import VALUE, Chunks, Entries, unchunked

if TYPE_CHECKING:
    from swarmnet.objective.kernels.bound import BoundKernels, Workspace

Array = NDArray[Any]

_ROWS = 128  # entries of a quantity in a block: that many are in one pass of the kernels


class Block(Protocol):
    """Entries whose residuals and gradients are computed together."""

    @property
    def group(self) -> Array:
        """(entries,) their noise groups."""

    @property
    def passes(self) -> int:
        """The number of values and derivatives that are computed for them."""

    @property
    def is_linear(self) -> bool:
        """Whether they are linear in values and derivatives."""

    def divided(self, most: int) -> Iterator[Block]:
        """Yield blocks of up to `most` entries, if these can be chosen."""

    def residuals(self, kernels: BoundKernels, work: Workspace, theta: Array) -> Array:
        """Return sqrt(weight) (prediction - target), (entries,)."""

    def gradients(
        self, kernels: BoundKernels, work: Workspace, theta: Array, root: Array
    ) -> tuple[Array, Array]:
        """Return the residuals (entries,), and gradients (p, entries) times their group's root (groups,).

        Each call overwrites the gradients of the last one.
        """


@dataclass(frozen=True, eq=False)
class TableBlock:
    """Entries `first` to `last` of a table."""

    table: Entries
    first: int
    last: int

    @property
    def group(self) -> Array:
        """(entries,) their noise groups."""
        return self.table.group[self.first : self.last]

    @property
    def passes(self) -> int:
        """The number of values and derivatives that are computed for them."""
        return self.last - self.first

    @property
    def is_linear(self) -> bool:
        """Whether they are linear in values and derivatives."""
        return True

    def divided(self, most: int) -> Iterator[TableBlock]:
        """Yield blocks of up to `most` entries."""
        for start in range(self.first, self.last, most):
            yield TableBlock(self.table, start, min(start + most, self.last))

    def residuals(self, kernels: BoundKernels, work: Workspace, theta: Array) -> Array:
        """Return the residuals (entries,)."""
        return kernels.residuals(work, theta, self.table, self.first, self.last)

    def gradients(
        self, kernels: BoundKernels, work: Workspace, theta: Array, root: Array
    ) -> tuple[Array, Array]:
        """Return the residuals (entries,), and gradients (p, entries) times their group's root (groups,)."""
        return kernels.entry_gradients(work, theta, self.table, self.first, self.last, root)


@dataclass(frozen=True, eq=False)
class QuantityBlock:
    """Entries of one quantity.

    Args:
        quantity: the formula.
        X: (entries, d) their points.
        target: (entries,) observed numbers.
        weight: (entries,) 1 / sigma^2 times the row weight.
        group: (entries,) noise groups.
    """

    quantity: Quantity
    X: Array
    target: Array
    weight: Array
    group: Array

    @classmethod
    def unweighted(cls, quantity: Quantity, X: Array) -> QuantityBlock:
        """Return the quantity at points X (n, d), with target 0 and weight 1."""
        n = len(X)
        return cls(quantity, X, np.zeros(n), np.ones(n), np.zeros(n, np.intp))

    @cached_property
    def arguments(self) -> Entries:
        """The arguments of all entries, one argument after another, with target 0 and weight 1."""
        n, found = len(self.X), self.quantity.arguments
        padded = np.array([(output, *along, VALUE, VALUE)[:3] for output, along in found], np.intp)
        output, first, second = np.repeat(padded.T, n, axis=1)
        size = n * len(found)
        return Entries(
            np.ascontiguousarray(self.X, np.float64),
            np.tile(np.arange(n), len(found)),
            output,
            first,
            second,
            np.zeros(size),
            np.ones(size),
            np.zeros(size, np.intp),
        )

    @property
    def passes(self) -> int:
        """The number of values and derivatives that are computed for them."""
        return self.arguments.count

    @property
    def is_linear(self) -> bool:
        """Whether they are linear in values and derivatives."""
        return self.quantity.is_linear

    def divided(self, most: int) -> Iterator[QuantityBlock]:
        """Yield this block, which is small."""
        yield self

    def residuals(self, kernels: BoundKernels, work: Workspace, theta: Array) -> Array:
        """Return the residuals (entries,)."""
        table = self.arguments
        found = kernels.residuals(work, theta, table, 0, table.count)
        return self._residuals(self.quantity.evaluate(self.X, found.reshape(-1, len(self.X)), True)[0])

    def gradients(
        self, kernels: BoundKernels, work: Workspace, theta: Array, root: Array
    ) -> tuple[Array, Array]:
        """Return the residuals (entries,), and gradients (p, entries) times their group's root (groups,)."""
        table = self.arguments
        found, J = kernels.entry_gradients(work, theta, table, 0, table.count, np.ones(1))
        value, slopes = self.quantity.evaluate(self.X, found.reshape(-1, len(self.X)), True)
        slopes *= np.sqrt(self.weight) * root[self.group]
        return self._residuals(value), np.einsum("pae,ae->pe", J.reshape(len(J), *slopes.shape), slopes)

    def _residuals(self, value: Array) -> Array:
        return np.asarray(np.sqrt(self.weight) * (value - self.target))


def quantity_blocks(parts: Sequence[Chunks], quantities: Sequence[Quantity], unit: float) -> list[Block]:
    """Return the observed quantities of chunks, whose weights also contain the factor `unit`.

    Derivatives as they are share a table; there may be many, of few rows each.
    """
    if unit == 0:
        return []
    found: list[Block] = []
    for chunks in parts if quantities else ():
        X = unchunked(chunks.inputs[:, 0]).astype(np.float64)
        partials: list[QuantityBlock] = []
        for number, quantity in enumerate(quantities):
            target, weight, group = (
                array[:, number].ravel() for array in (chunks.Q, chunks.Q_weight, chunks.Q_group)
            )
            target, weight = target.astype(np.float64), weight.astype(np.float64) / unit
            seen = np.flatnonzero(weight)
            blocks = [
                QuantityBlock(quantity, X[rows], target[rows], weight[rows], group[rows])
                for rows in (seen[start : start + _ROWS] for start in range(0, len(seen), _ROWS))
            ]
            (partials if quantity.is_partial else found).extend(blocks)
        if partials:
            table = _table(partials)
            spans = range(0, table.count, _ROWS)
            found += [TableBlock(table, start, min(start + _ROWS, table.count)) for start in spans]
    return found


def _table(partials: Sequence[QuantityBlock]) -> Entries:
    """Return the table of entries whose quantities are derivatives as they are."""
    factor = np.array([block.quantity.scale[0] / block.quantity.unit for block in partials])
    tables = [block.arguments for block in partials]
    count = [table.count for table in tables]
    factors = np.repeat(factor, count)
    output, first, second = (
        np.concatenate([getattr(table, name) for table in tables]) for name in ("output", "input", "second")
    )
    return Entries(
        np.concatenate([block.X for block in partials]),
        np.arange(sum(count)),
        output,
        first,
        second,
        np.concatenate([block.target for block in partials]) / factors,
        np.concatenate([block.weight for block in partials]) * factors**2,
        np.concatenate([block.group for block in partials]),
    )
