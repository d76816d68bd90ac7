"""What is asked of rows, wherever they are: sums over them of the terms of a loss."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.statistics import Statistics
from swarmnet.network.network import Network
from swarmnet.objective.noise_groups import EntryWeights

if TYPE_CHECKING:
    from swarmnet.objective.kernels.bound import BoundKernels, Workspace

Array = NDArray[Any]
Sums = tuple[Array, ...]
Batch = NDArray[np.intp]  # a minibatch: rows by their numbers
P = ParamSpec("P")
_CHUNK_BYTES = 1 << 18  # of the widest layer's values in a chunk: they stay in the cache


@dataclass(frozen=True)
class Terms:
    """What is summed over rows: the terms of the loss under a network.

    Args:
        net: the network.
        loss: of values, see `losses.LOSSES`.
        unit: the factors of values and of partials.
        dtype: of losses and gradients.
    """

    net: Network
    loss: int
    unit: EntryWeights
    dtype: np.dtype[Any]

    @property
    def chunk_rows(self) -> int:
        """Rows in a chunk at most, a multiple of eight."""
        rows = _CHUNK_BYTES // (self.dtype.itemsize * max(self.net.sizes))
        return int(np.clip(rows // 8 * 8, 32, 256))

    def kernels(self) -> "BoundKernels":
        """Those for the network, each compiled when it is first called."""
        from swarmnet.objective.kernels.bound import BoundKernels  # noqa: PLC0415  # imports Numba

        return BoundKernels(self.net, self.dtype, self.loss)

    def workspace(self) -> "Workspace":
        """Memory for one thread."""
        from swarmnet.objective.kernels.bound import Workspace  # noqa: PLC0415  # imports Numba

        return Workspace()


class RowSums(Protocol):
    """Sums over rows, wherever these are."""

    @property
    def n(self) -> int:
        """How many rows."""

    @property
    def threads(self) -> int:
        """How many of this process's threads share the work."""

    @property
    def one_gram(self) -> bool:
        """Whether every output has the same entries and weights, so that one Gram matrix serves all."""

    @property
    def group_sums(self) -> Array:
        """(6, groups) see `Grouping.sums`."""

    def twin(self) -> "RowSums":
        """The same sums, to be asked for at the same time as these."""

    def total(self, sums: Callable[Concatenate[Any, P], Sums], *args: P.args, **kwargs: P.kwargs) -> Sums:
        """The sums over all rows; `sums` is a method of `HeldRows`."""

    def joined(self, sums: Callable[Concatenate[Any, P], Sums], *args: P.args, **kwargs: P.kwargs) -> Sums:
        """The same of what is not to be added up, but to be joined."""

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """All rows in a random order, cut into minibatches; the last one is what remains."""

    def some(self, rows: Batch) -> "RowSums":
        """The rows with these numbers alone."""


def joined(parts: Iterable[Sums]) -> Sums:
    """What `RowSums.joined` found for parts of the rows, in their order."""
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


class Source(Protocol):
    """Rows that are elsewhere than in a MixedData of this process, and how they are to be scaled."""

    @property
    def d(self) -> int:
        """Inputs."""

    @property
    def k(self) -> int:
        """Outputs."""

    @property
    def statistics(self) -> Statistics:
        """Of the rows before they are scaled."""

    def rows(self, terms: Terms, threads: int | None) -> RowSums:
        """These rows, ready to be summed over."""
