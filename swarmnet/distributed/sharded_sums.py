"""Sums over rows that the workers of a Dask cluster read and hold: pip install ".[dask]".

A shard is some blocks of rows (see `tree_reduction`), divided into chunks on its worker. Each sum sends the
weights, one task per shard, and returns partial sums. If a worker dies, Dask reads its shards again on other
workers and repeats their tasks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.mixed_data import MixedData
from swarmnet.distributed.cluster import Cluster
from swarmnet.objective.row_chunks import Chunks, taken
from swarmnet.objective.row_source import Batch, Source, Sums, Terms, joined
from swarmnet.objective.row_sums import HeldRows, ready
from swarmnet.objective.tree_reduction import Node, Numbering, leaves, merged, total
from swarmnet.scaling import Preparation
from swarmnet.threads import ThreadTeam

if TYPE_CHECKING:
    from distributed import Future

Array = NDArray[Any]
P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Call:
    """A method of HeldRows with its arguments."""

    sums: Callable[..., Sums]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Shard:
    """Blocks of rows in a worker's memory."""

    terms: Terms  # what is summed
    blocks: list[list[Chunks]]
    group_sums: list[Array]  # of each block, see `Grouping.sums`

    def __sizeof__(self) -> int:
        # Dask uses it to estimate a worker's memory and the cost of moving a shard.
        return bytes_of(self.blocks)

    def describe(self) -> tuple[list[int], list[Array]]:
        """Return the number of rows of each block, and its sums by groups."""
        return [sum(part.count for part in parts) for parts in self.blocks], self.group_sums

    def each(self, call: Call, some: dict[int, Batch] | None) -> Iterator[Sums]:
        """Yield the sums over each block, or over some rows of some blocks."""
        kernels, most = ready(self.terms), self.terms.chunk_rows
        for number in range(len(self.blocks)) if some is None else some:
            parts = self.blocks[number] if some is None else taken(self.blocks[number], some[number], most)
            rows = HeldRows(self.terms, parts, self.group_sums[number], ThreadTeam(1), kernels)
            yield call.sums(rows, *call.args, **call.kwargs)


# Not a class method: cloudpickle sends those with their code, and other functions by name.
def _shard(terms: Terms, preparation: Preparation, rows: Iterable[MixedData]) -> Shard:
    """Divide blocks of rows into chunks."""
    held = [HeldRows.of(terms, preparation.of(block), block, 1) for block in rows]
    return Shard(terms, [list(rows.parts) for rows in held], [rows.group_sums for rows in held])


def bytes_of(value: object) -> int:
    """Return the bytes of the arrays in nested lists, tuples and dataclasses."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if is_dataclass(value):
        return sum(bytes_of(getattr(value, field.name)) for field in fields(value))
    return sum(map(bytes_of, value)) if isinstance(value, list | tuple) else 0


def _total(shard: Shard, first: int, some: dict[int, Batch] | None, call: Call) -> list[Node]:
    """Return a shard's part of a sum; its blocks are numbered from `first`."""
    return merged(leaves(shard.each(call, some), first))


def _joined(shard: Shard, call: Call) -> Sums:
    return joined(shard.each(call, None))


@dataclass(frozen=True, eq=False)
class WorkerSource(Source):
    """Rows that workers hold, which are sent to them from memory, or which they read from files."""

    cluster: Cluster

    def rows(self, terms: Terms, threads: int | None) -> "ShardedRows":
        """Give each worker its rows; the workers' numbers of threads were set when they started."""
        shards = self.data.shares(max(self.cluster.shards, self.cluster.threads), self.cluster.block_rows)
        make = partial(_shard, terms, self.preparation)
        return ShardedRows(terms, self.cluster.submit(make, shards), self.cluster)


class CopiedSource(Source):
    """Files whose rows each process that uses them reads into its own memory."""

    def rows(self, terms: Terms, threads: int | None) -> "ShardedRows":
        """Read the rows as one shard."""
        shard = _shard(terms, self.preparation, chain.from_iterable(self.data.parts))
        return ShardedRows(terms, [shard], _ThisProcess())


class Workers(Protocol):
    """Holds shards and runs tasks on them; see `Cluster`."""

    def submit(self, work: Callable[..., R], *items: Sequence[Any]) -> list[Any]: ...
    def results(self, futures: Sequence[Any]) -> list[Any]: ...
    def shared(self, item: T, size: int) -> Any: ...


class _ThisProcess:
    """Runs all tasks in this process."""

    def submit(self, work: Callable[..., R], *items: Sequence[Any]) -> list[R]:
        return [work(*each) for each in zip(*items, strict=True)]

    def results(self, futures: Sequence[T]) -> list[T]:
        return list(futures)

    def shared(self, item: T, size: int) -> T:
        return item


class ShardedRows:
    """Rows in shards on workers, or in a single shard in this process.

    The shards are results of `Workers.submit`, in the order of the rows.
    """

    threads = 1  # of this process

    def __init__(self, terms: Terms, shards: Sequence[Any], workers: Workers) -> None:
        self.terms, self._workers = terms, workers
        described = workers.results(workers.submit(Shard.describe, shards))
        # Shards whose rows have no entry have no blocks.
        self._shards = [shard for shard, (sizes, _) in zip(shards, described, strict=True) if sizes]
        blocks = [len(sizes) for sizes, _ in described if sizes]
        self._firsts = list(accumulate(blocks, initial=0))[:-1]
        self._numbering = Numbering([size for sizes, _ in described for size in sizes])
        self.group_sums = total(leaves((sums,) for _, found in described for sums in found))[0]
        self.n = self._numbering.n
        self._some: list[dict[int, Batch] | None] = [None] * len(blocks)  # a minibatch's rows of blocks

    @property
    def one_gram(self) -> bool:
        """Whether one Gram matrix serves all outputs."""
        return self.terms.net.k == 1

    def single_threaded(self) -> "ShardedRows":
        """Return itself: a cluster can do several calls at a time."""
        return self

    def total(
        self, sums: Callable[Concatenate[HeldRows, P], Sums], *args: P.args, **kwargs: P.kwargs
    ) -> Sums:
        """Return the sums over all rows."""
        calls = self._calls(Call(sums, args, kwargs))
        asked = self._workers.submit(_total, self._shards, self._firsts, self._some, calls)
        return total(chain.from_iterable(self._workers.results(asked)))

    def joined(
        self, sums: Callable[Concatenate[HeldRows, P], Sums], *args: P.args, **kwargs: P.kwargs
    ) -> Sums:
        """Return the parts of all rows joined instead of added."""
        asked = self._workers.submit(_joined, self._shards, self._calls(Call(sums, args, kwargs)))
        return joined(self._workers.results(asked))

    def _calls(self, call: Call) -> "list[Call | Future]":
        """Return the same call for each shard."""
        return [self._workers.shared(call, bytes_of(call.args))] * len(self._shards)

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield all rows in minibatches, see `Numbering.batches`."""
        return self._numbering.batches(size, rng)

    def some(self, rows: Batch) -> "ShardedRows":
        """Return the rows with these numbers, in the order of the files; only their shards are used."""
        asked: dict[int, dict[int, Batch]] = {}
        for block, chosen in self._numbering.by_block(rows).items():
            shard = int(np.searchsorted(self._firsts, block, "right")) - 1
            asked.setdefault(shard, {})[block - self._firsts[shard]] = chosen
        some = copy(self)
        some._shards = [self._shards[shard] for shard in asked]
        some._some = list(asked.values())
        # Blocks are numbered as on one machine, where only these are counted.
        some._firsts = list(accumulate(map(len, asked.values()), initial=0))[:-1]
        return some
