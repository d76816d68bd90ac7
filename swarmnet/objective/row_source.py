"""The protocol of rows in any place: sums over them of the terms of a loss."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.dataset import Dataset
from swarmnet.data.quantities import Quantity
from swarmnet.network.network import Network
from swarmnet.objective.noise_groups import EntryWeights
from swarmnet.scaling import Preparation

if TYPE_CHECKING:
    from swarmnet.objective.kernels.bound import BoundKernels, Workspace

Array = NDArray[Any]
Sums = tuple[Array, ...]
Batch = NDArray[np.intp]  # a minibatch, as row numbers
P = ParamSpec("P")
# Bytes of the widest layer's values in a chunk. Gradients of two layers of 32 to 128 units take 1.1 to 1.2
# times as long with 1 << 14, and as long within 7 % with 1 << 16.
_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class Terms:
    """The terms of the loss of a network, which are summed over rows.

    Args:
        net: the network.
        loss: of values, see `value_losses.LOSSES`.
        unit: the factors of values and of partials.
        dtype: of losses and gradients.
        quantities: the formulas of the quantities in the rows, which take the network's numbers.
    """

    net: Network
    loss: int
    unit: EntryWeights
    dtype: np.dtype[Any]
    quantities: tuple[Quantity, ...] = ()

    @property
    def chunk_rows(self) -> int:
        """Maximum rows of a chunk, a multiple of eight."""
        rows = _CHUNK_BYTES // (self.dtype.itemsize * max(*self.net.sizes, self.net.terms))
        return int(np.clip(rows // 8 * 8, 32, 256))

    def kernels(self) -> "BoundKernels":
        """Return the kernels for the network, each compiled on its first call."""
        from swarmnet.objective.kernels.bound import BoundKernels  # noqa: PLC0415  # imports Numba

        return BoundKernels(self.net, self.dtype, self.loss)

    def workspace(self) -> "Workspace":
        """Return working memory for one thread."""
        from swarmnet.objective.kernels.bound import Workspace  # noqa: PLC0415  # imports Numba

        return Workspace()


class RowSums(Protocol):
    """Sums over rows in any place."""

    @property
    def n(self) -> int:
        """Number of rows."""

    @property
    def threads(self) -> int:
        """How many of this process's threads share the work."""

    @property
    def one_gram(self) -> bool:
        """Whether all outputs have the same entries and weights, so that one Gram matrix serves all."""

    @property
    def group_sums(self) -> Array:
        """(6, groups), see `Grouping.sums`."""

    def single_threaded(self) -> "RowSums":
        """Return the same sums for use at the same time as these."""

    def total(self, sums: Callable[Concatenate[Any, P], Sums], *args: P.args, **kwargs: P.kwargs) -> Sums:
        """Return the sums over all rows; `sums` is a method of `HeldRows`."""

    def joined(self, sums: Callable[Concatenate[Any, P], Sums], *args: P.args, **kwargs: P.kwargs) -> Sums:
        """Return the parts of all rows joined instead of added."""

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield all rows in a random order in minibatches; the last one may be smaller."""

    def some(self, rows: Batch) -> "RowSums":
        """Return only the rows with these numbers."""


def joined(parts: Iterable[Sums]) -> Sums:
    """Join the results of `RowSums.joined` for parts of the rows, in order."""
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


@dataclass(frozen=True, eq=False)
class Source(ABC):
    """Rows in any place.

    Args:
        data: the rows before preparation.
        preparation: how they are prepared.
    """

    data: Dataset
    preparation: Preparation

    @abstractmethod
    def rows(self, terms: Terms, threads: int | None) -> RowSums:
        """Return the prepared rows, ready for sums."""
