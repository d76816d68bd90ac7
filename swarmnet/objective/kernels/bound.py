"""The kernels bound to one network, with their working memory; `row_sums` and `model` call them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.network.network import Network
from swarmnet.objective.kernels.entries import AT_A_TIME, entry_gradients, residuals_of_entries
from swarmnet.objective.kernels.layer_activations import Activations
from swarmnet.objective.kernels.losses import gradient_losses, jet_gradient, jet_losses, pulled_gradient
from swarmnet.objective.kernels.projection import gram_sums
from swarmnet.objective.kernels.queries import hessians, jacobians, outputs
from swarmnet.objective.kernels.trends import arrays_of
from swarmnet.objective.row_chunks import Chunks, Entries

Array = NDArray[Any]


class Workspace:
    """Working memory of one thread, reused because allocating it takes as long as a small kernel."""

    def __init__(self) -> None:
        self._memory: dict[object, Array] = {}

    def rows(self, use: object, count: int, width: int, dtype: Any) -> Array:
        """Return an array (count, width) for one use, in the same memory every time."""
        memory = self._memory.get(use)
        if memory is None or memory.size < count * width:
            memory = self._memory[use] = np.empty(count * width, dtype)
        return memory[: count * width].reshape(count, width)


class BoundKernels:
    """The kernels for a network.

    Args:
        net: the network.
        dtype: of losses and gradients; kernels of entries always use float64.
        loss: see `value_losses.LOSSES`.
    """

    def __init__(self, net: Network, dtype: Any, loss: int) -> None:
        self._dtype, self._loss = np.dtype(dtype), loss
        sizes = np.array(net.sizes)
        self._offsets = np.concatenate([[0], np.cumsum(sizes[1:])])
        self._activations = self._exact = Activations(net.activations, dtype)
        if self._dtype != np.float64:
            self._exact = Activations(net.activations, np.float64)
        # What describes the network to the kernels of sums, and to those of entries and queries.
        self._of = net
        self._net = sizes, self._activations.addresses, arrays_of(net, self._dtype)
        self._exact_net = sizes, self._exact.addresses, arrays_of(net, np.float64)
        self._widest = max(net.sizes)
        self._all = sum(net.sizes)
        self._product = max(a * b for a, b in zip(net.sizes[:-1], net.sizes[1:], strict=True))

    def losses(
        self, work: Workspace, swarm: Array, first: int, last: int, part: Chunks, span: Array, out: Array
    ) -> None:
        """Write the losses of particles first to last of a swarm over some chunks to out (s,)."""
        of = swarm, first, last, *self._net, self._loss, span
        arrays = part.inputs, part.target, part.weight
        width = (1 + part.tangents) * part.rows * (self._all if part.has_gradients else self._widest)
        memory = work.rows("losses", 5, width, self._dtype)
        if part.has_gradients:
            partials = part.J, part.J_weight, part.outputs
            gradient_losses(*of, *arrays, *partials, self._offsets, memory, out)
        else:
            jet_losses(*of, *arrays, memory, out)
        self._activations.check()

    def gradient(self, work: Workspace, theta: Array, part: Chunks, span: Array, gradient: Array) -> float:
        """Add half the loss's gradient over some chunks to gradient (p,); return the loss."""
        of = theta, *self._net, self._loss, span
        arrays = part.inputs, part.target, part.weight
        width = max(max(2, 1 + part.tangents) * part.rows * self._all, self._product)
        memory = work.rows("gradient", 10, width, self._dtype)
        if part.has_gradients:
            partials = part.J, part.J_weight, part.outputs
            loss = pulled_gradient(*of, *arrays, *partials, self._offsets, memory, gradient)
        else:
            loss = jet_gradient(*of, *arrays, self._offsets, memory, gradient)
        self._activations.check()
        return float(loss)

    def grams(
        self, work: Workspace, swarm: Array, first: int, last: int, part: Chunks, span: Array, out: Array
    ) -> None:
        """Add particles' [G | g] over some chunks to out (s, grams, units, units + targets)."""
        of = swarm, first, last, *self._net, span
        memory = work.rows("losses", 5, (1 + part.tangents) * part.rows * self._widest, self._dtype)
        gram_sums(*of, part.inputs, part.target, part.weight, memory, out)
        self._activations.check()

    def residuals(self, work: Workspace, theta: Array, table: Entries, first: int, last: int) -> Array:
        """Return the residuals (entries,) of entries first to last.

        Raises:
            SwarmnetError: an entry is a second partial, and an activation has no `third`.
        """
        memory = work.rows("entries", 4, self._parts(table) * AT_A_TIME * self._widest, np.float64)
        of, r = (theta, *self._exact_net), np.empty(last - first)
        residuals_of_entries(*of, *table.columns, first, last, memory, r)  # type: ignore[call-arg]
        self._exact.check()
        return r

    def entry_gradients(
        self, work: Workspace, theta: Array, table: Entries, first: int, last: int, root: Array
    ) -> tuple[Array, Array]:
        """Return residuals (entries,) of entries first to last, and their gradients (p, entries).

        The gradients are multiplied by the root of their entry's group precision. Each call overwrites the
        gradients of the last one.

        Raises:
            SwarmnetError: an entry is a second partial, and an activation has no `third`.
        """
        memory = work.rows("kept", 7, self._parts(table) * AT_A_TIME * self._all, np.float64)
        r, J = np.empty(last - first), work.rows("J", len(theta), last - first, np.float64)
        of = theta, *self._exact_net
        entry_gradients(*of, *table.columns, first, last, root, self._offsets, memory, r, J)  # type: ignore[call-arg]
        self._exact.check()
        return r, J

    def _parts(self, table: Entries) -> int:
        """The most parts of an entry's jet."""
        if not table.has_second:
            return 2
        self._of.need_third()
        return 4

    def outputs(self, work: Workspace, theta: Array, X: Array, first: int, last: int, out: Array) -> None:
        """Write Y (n, k) at rows first to last of X (n, d) to out."""
        memory = work.rows("queries", 5, AT_A_TIME * self._all, np.float64)
        outputs(theta, *self._exact_net, X, first, last, memory, out)
        self._exact.check()

    def jacobians(self, work: Workspace, theta: Array, X: Array, first: int, last: int, out: Array) -> None:
        """Write J (n, k, d) at rows first to last of X (n, d) to out."""
        memory = work.rows("queries", 5, AT_A_TIME * self._all, np.float64)
        jacobians(theta, *self._exact_net, X, first, last, self._offsets, memory, out)
        self._exact.check()

    def hessians(self, work: Workspace, theta: Array, X: Array, first: int, last: int, out: Array) -> None:
        """Write H (n, k, d, d) at rows first to last of X (n, d) to out."""
        width = (1 + X.shape[1]) * AT_A_TIME * self._all
        memory = work.rows("hessians", 5, width, np.float64)
        hessians(theta, *self._exact_net, X, first, last, self._offsets, memory, out)
        self._exact.check()
