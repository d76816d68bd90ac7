"""Sums over blocks of rows, added in an order that does not depend on who holds which block.

Blocks are numbered, and their sums are the leaves of a binary tree: nodes 2i and 2i + 1 of a level make a
node of the next. A process that holds consecutive blocks adds the nodes that these complete, and returns the
rest. So a sum is the same to the last bit on one machine and on any number of workers.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate

import numpy as np

from swarmnet.floating_point import far_out
from swarmnet.objective.row_source import Batch, Sums

MIXED = 4  # blocks from which a minibatch is drawn; only bounds memory


@dataclass(frozen=True)
class Node:
    """The sums over blocks `first` to first + 2^level (exclusive); first is a multiple of 2^level."""

    first: int
    level: int
    sums: Sums


def merged(nodes: Iterable[Node]) -> list[Node]:
    """Return nodes of consecutive blocks, with pairs that form a node of the next level added."""
    found: list[Node] = []
    with far_out():
        for node in nodes:
            while found and found[-1].level == node.level and found[-1].first % (2 << node.level) == 0:
                left = found.pop()
                node = Node(left.first, node.level + 1, _added(left.sums, node.sums))
            found.append(node)
    return found


def total(nodes: Iterable[Node]) -> Sums:
    """Return the sums over all blocks, at least one, from nodes in their order."""
    with far_out():
        return reduce(_added, (node.sums for node in merged(nodes)))


def leaves(sums: Iterable[Sums], first: int = 0) -> Iterator[Node]:
    """Return the blocks' sums as nodes."""
    return (Node(number, 0, found) for number, found in enumerate(sums, first))


def _added(one: Sums, other: Sums) -> Sums:
    return tuple(a + b for a, b in zip(one, other, strict=True))


class Numbering:
    """Row numbers that continue through blocks of given sizes."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes, self.ends = list(sizes), list(accumulate(sizes))
        self.n = self.ends[-1]

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield all rows in minibatches; the last one may be smaller.

        Rows are mixed within a few randomly drawn blocks at a time, so that only these must be read.
        """
        waiting = np.empty(0, np.intp)
        order = rng.permutation(len(self.sizes))
        for start in range(0, len(order), MIXED):
            chosen = order[start : start + MIXED]
            fresh = [np.arange(self.ends[block] - self.sizes[block], self.ends[block]) for block in chosen]
            waiting = np.concatenate([waiting, rng.permutation(np.concatenate(fresh))])
            whole = len(waiting) - len(waiting) % size
            for first in range(0, whole, size):
                yield waiting[first : first + size]
            waiting = waiting[whole:]
        if len(waiting):
            yield waiting

    def by_block(self, rows: Batch) -> dict[int, Batch]:
        """Return ascending rows by block, each numbered from the start of its block."""
        ordered, found = np.sort(rows), {}
        while len(ordered):
            block = bisect_right(self.ends, int(ordered[0]))
            count = int(np.searchsorted(ordered, self.ends[block]))
            found[block] = ordered[:count] - (self.ends[block] - self.sizes[block])
            ordered = ordered[count:]
        return found
