"""The sums over single entries that Levenberg-Marquardt needs, and those over quantities.

An entry is computed with its own gradient. Blocks of entries are shared among threads, and partial sums are
added in order, so that the result does not depend on the number of threads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from swarmnet import linalg as blas
from swarmnet.objective.quantity_entries import Block, TableBlock, quantity_blocks
from swarmnet.objective.row_chunks import Chunks, Entries
from swarmnet.objective.row_source import Array, Sums, Terms, joined

if TYPE_CHECKING:
    from swarmnet.objective.kernels.bound import BoundKernels, Workspace

PARTS = 8  # partial sums of a result; only bounds memory, and the threads that can share a sum
# Entries whose gradients are in memory at a time, and numbers in these gradients: the one that allows more
# entries counts. They only bound memory: for two layers of 24 units, normal equations take the same time
# within 3 % with 128 to 8192 entries, or 1 << 14 to 1 << 20 numbers.
_ENTRIES, _GRADIENTS = 512, 1 << 17
_PROBE = 0.1  # share of a step at whose end r'' is measured (Transtrum and Sethna 2012, section 4)
# Entries of each partial sum of J'J. With 256 normal equations take 0.89 times as long, with 4096 as long.
_ENTRIES_OF_PART = 1024


class EntrySums(ABC):
    """The sums over entries; `HeldRows` has the rows."""

    terms: Terms
    parts: Sequence[Chunks]
    group_sums: Array
    _kernels: BoundKernels

    @abstractmethod
    def _run(
        self, tasks: int, work: Callable[[int], None], multiplications: float, large: bool = True
    ) -> None:
        """Run the tasks."""

    @abstractmethod
    def _lent(self) -> AbstractContextManager[Workspace]:
        """Yield working memory that no other thread uses at the same time."""

    def normal(self, weights: Array, precision: Array) -> Sums:
        """Return squares (groups,), J'r (p,) and the upper half of J'J (p, p) in Fortran order."""
        p, spans = len(weights), self._blocks
        squares = np.zeros((len(spans), self.group_sums.shape[1]))
        Jr = np.zeros((len(spans), p))
        JJ = [np.zeros((p, p), order="F") for _ in spans]
        root = np.sqrt(precision)

        def work(number: int) -> None:
            for block, r, J in self._gradients(weights, spans[number], root):
                squares[number] += np.bincount(block.group, r * r, squares.shape[1])
                blas.add_gram(J, JJ[number])
                Jr[number] += J @ (r * root[block.group])

        self._run(len(spans), work, self._entry_count * p * p)
        for part in JJ[1:]:
            JJ[0] += part
        return squares.sum(0), Jr.sum(0), JJ[0]

    def leverages(self, weights: Array, precision: Array, factor: Array) -> Sums:
        """Return each group's sum of precision j' (L L')^-1 j, (groups,), with L = `factor` (p, p)."""
        spans = self._blocks
        totals = np.zeros((len(spans), self.group_sums.shape[1]))
        root = np.sqrt(precision)

        def work(number: int) -> None:
            for block, _, J in self._gradients(weights, spans[number], root):
                V = blas.divide(factor, J)
                totals[number] += np.bincount(block.group, np.einsum("pe,pe->e", V, V), totals.shape[1])

        self._run(len(spans), work, self._entry_count * len(weights) ** 2)
        return (totals.sum(0),)

    def squares(self, weights: Array) -> Sums:
        """Return each group's sum of squared residuals (groups,)."""
        spans = self._blocks
        totals = np.zeros((len(spans), self.group_sums.shape[1]))

        def work(number: int) -> None:
            with self._lent() as memory:
                for block in spans[number]:
                    r = block.residuals(self._kernels, memory, weights)
                    totals[number] += np.bincount(block.group, r * r, totals.shape[1])

        self._run(len(spans), work, self._entry_count * len(weights))
        return (totals.sum(0),)

    def bends(self, weights: Array, step: Array, precision: Array) -> Sums:
        """Return J'r'' (p,), with r'' the residuals' second derivatives along a step (p,), by differences."""
        spans = self._blocks
        totals = np.zeros((len(spans), len(weights)))
        root, probe = np.sqrt(precision), weights + _PROBE * step

        def work(number: int) -> None:
            for block, r, J in self._gradients(weights, spans[number], root):
                with self._lent() as memory:
                    moved = block.residuals(self._kernels, memory, probe)
                slope = (moved - r) * (root[block.group] / _PROBE)
                totals[number] += J @ ((slope - step @ J) * (2.0 / _PROBE))

        self._run(len(spans), work, 2.0 * self._entry_count * len(weights))
        return (totals.sum(0),)

    def residuals(self, weights: Array, precision: Array) -> Sums:
        """Return residuals (entries,) and gradients (entries, p), times sqrt(precision), and groups
        (entries,).

        For `joined`.
        """
        root, found = np.sqrt(precision), list[Sums]()
        whole: Block = TableBlock(self._entries, 0, self._entries.count)
        with self._lent() as memory:
            for block in [whole, *self._quantity_blocks]:
                r, J = block.gradients(self._kernels, memory, weights, root)
                found.append((r * root[block.group], J.T.copy(), block.group))
        return joined(found)

    def _gradients(
        self, weights: Array, span: Sequence[Block], root: Array
    ) -> Iterator[tuple[Block, Array, Array]]:
        """Yield blocks of entries with their residuals, and gradients (p, entries) times their group's root.

        Each result overwrites the gradients of the last one.
        """
        most = max(_ENTRIES, _GRADIENTS // len(weights))
        with self._lent() as memory:
            for whole in span:
                for block in whole.divided(most):
                    yield block, *block.gradients(self._kernels, memory, weights, root)

    def _quantity_losses(self, theta: Array) -> Array:
        """Return the part of each particle's loss (s,) that comes from quantities."""
        total, swarm = np.zeros(len(theta)), np.asarray(theta, np.float64, order="C")

        def work(particle: int) -> None:
            with self._lent() as memory:
                for block in self._quantity_blocks:
                    r = block.residuals(self._kernels, memory, swarm[particle])
                    total[particle] += r @ r

        self._run(len(theta), work, len(theta) * self._quantity_work)
        return self.terms.unit.partial * total

    def _quantity_gradient(self, weights: Array) -> Array:
        """Return the part of `gradient` that comes from quantities."""
        theta = np.asarray(weights, np.float64, order="C")
        spans = _shared(self._quantity_blocks)
        sums, one = np.zeros((len(spans), 1 + len(theta))), np.ones(self.group_sums.shape[1])

        def work(number: int) -> None:
            with self._lent() as memory:
                for block in spans[number]:
                    r, J = block.gradients(self._kernels, memory, theta, one)
                    sums[number, 0] += r @ r
                    sums[number, 1:] += J @ r

        self._run(len(spans), work, 3.0 * self._quantity_work)
        return np.asarray(self.terms.unit.partial * sums.sum(0))

    def quantity_grams(self, theta: Array) -> Sums:
        """Return G (s, w, w) and g (s, w) of the w output weights, from linear quantities, and squares (s,).

        Args:
            theta: (s, p) weights, those of the output layer 0.
        """
        s, first = len(theta), self.terms.net.layers[-1].start
        w, swarm = theta.shape[1] - first, np.asarray(theta, np.float64, order="C")
        G, g, squares, one = (
            np.zeros((s, w, w)),
            np.zeros((s, w)),
            np.zeros(s),
            np.ones(self.group_sums.shape[1]),
        )
        linear = [block for block in self._quantity_blocks if block.is_linear]

        def work(particle: int) -> None:
            with self._lent() as memory:
                for block in linear:
                    r, J = block.gradients(self._kernels, memory, swarm[particle], one)
                    G[particle] += J[first:] @ J[first:].T
                    g[particle] -= J[first:] @ r
                    squares[particle] += r @ r

        self._run(s, work, s * self._quantity_work * 3.0)
        unit = self.terms.unit.partial
        return unit * G, unit * g, unit * squares

    @cached_property
    def _entries(self) -> Entries:
        return Entries.of(self.parts, self.terms.unit)

    @cached_property
    def _blocks(self) -> list[Sequence[Block]]:
        """The entries of each partial sum."""
        count = self._entries.count
        parts = int(np.clip(count // _ENTRIES_OF_PART, 1, PARTS))
        edges = [count * i // parts for i in range(parts + 1)]
        of_table = [[TableBlock(self._entries, *span)] for span in pairwise(edges)]
        return [*of_table, *_shared(self._quantity_blocks)]

    @cached_property
    def _quantity_blocks(self) -> list[Block]:
        return quantity_blocks(self.parts, self.terms.quantities, self.terms.unit.partial)

    @cached_property
    def _quantity_work(self) -> float:
        """Multiplications of the loss of quantities."""
        return float(sum(block.passes for block in self._quantity_blocks) * self.terms.net.size)

    @cached_property
    def _entry_count(self) -> int:
        return self._entries.count + sum(len(block.group) for block in self._quantity_blocks)


def _shared(blocks: Sequence[Block]) -> list[Sequence[Block]]:
    """Divide blocks among partial sums."""
    count = min(PARTS, len(blocks))
    return [blocks[len(blocks) * i // count : len(blocks) * (i + 1) // count] for i in range(count)]
