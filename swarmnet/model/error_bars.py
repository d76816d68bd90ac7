"""Error bars: standard deviations of values and derivatives under a Gaussian posterior of the weights.

Around the fitted weights, the posterior is Gaussian with covariance A^-1 (Laplace's approximation, MacKay
1992). A quantity with gradient g with respect to theta has the variance g' A^-1 g = |C g|^2, where C is lower
triangular and A^-1 = C' C. C is stored packed, in double precision: for nearly exact data, g' A^-1 g is many
orders smaller than the products that it sums, and in single precision it would be wrong by a factor.

A single Gaussian does not represent other optima or other networks. So the spread among the predictions of
fits from other starts, and of other networks that were almost chosen, is added (as in deep ensembles,
Lakshminarayanan et al. 2017).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet import linalg as blas
from swarmnet.data.quantities import Quantity
from swarmnet.network.network import Network, unit
from swarmnet.objective.quantity_entries import QuantityBlock
from swarmnet.objective.row_chunks import VALUE, Entries
from swarmnet.objective.value_losses import SQUARED
from swarmnet.threads import ThreadTeam, one_blas_thread

Array = NDArray[Any]


@dataclass(frozen=True)
class GradientWork:
    """How gradients with respect to theta are computed; results differ by rounding only.

    Args:
        numbers: numbers in the gradients computed at a time.
        compiled_from: numbers in all gradients from which compiled kernels are worth importing Numba.
    """

    numbers: int = 1 << 18
    compiled_from: int = 1 << 21


USUAL = GradientWork()


@dataclass(frozen=True)
class OtherFit:
    """The result of training from another start, or with another network of the same inputs and outputs."""

    net: Network
    theta: Array  # (p,)
    share: float  # its weight in the error bars, from 0 to 1


def pack(C: Array) -> NDArray[np.float64]:
    """Return the lower half of C (p, p), row by row."""
    return np.asarray(C[np.tril_indices(len(C))], dtype=np.float64)


def unpack(packed: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return C (p, p) in Fortran order."""
    C = np.zeros((size, size), order="F")
    C[np.tril_indices(size)] = packed
    return C


def value_deviations(
    net: Network, theta: Array, packed: Array, X: Array, work: GradientWork = USUAL
) -> Array:
    """Return the standard deviations (n, k) of the outputs at X (n, d)."""
    return _deviations(net, theta, packed, X, [VALUE], work)[:, :, 0]


def jacobian_deviations(
    net: Network, theta: Array, packed: Array, X: Array, work: GradientWork = USUAL
) -> Array:
    """Return the standard deviations (n, k, d) of the partials at X (n, d)."""
    return _deviations(net, theta, packed, X, range(net.d), work)


@one_blas_thread()
def quantity_deviations(net: Network, theta: Array, packed: Array, X: Array, quantity: Quantity) -> Array:
    """Return the standard deviations (n,) of a quantity at X (n, d).

    Raises:
        SwarmnetError: it has a second derivative, and an activation has no third one.
    """
    out = np.empty(len(X))
    for rows, V in _quantity_roots(net, theta, packed, X, quantity):
        out[rows] = np.sqrt(np.einsum("pr,pr->r", V, V))
    return out


@one_blas_thread()
def quantity_roots(net: Network, theta: Array, packed: Array, X: Array, quantity: Quantity) -> Array:
    """Return V (p, n) such that V'V is the covariance (n, n) of a quantity's values at X (n, d).

    Raises:
        SwarmnetError: as in `quantity_deviations`.
    """
    out = np.empty((net.size, len(X)))
    for rows, V in _quantity_roots(net, theta, packed, X, quantity):
        out[:, rows] = V
    return out


def _quantity_roots(
    net: Network, theta: Array, packed: Array, X: Array, quantity: Quantity
) -> Iterator[tuple[slice, Array]]:
    """Yield some rows and their V (p, rows), which the next one overwrites."""
    from swarmnet.objective.kernels.bound import BoundKernels, Workspace  # noqa: PLC0415  # imports Numba

    kernels, memory, C = BoundKernels(net, np.float64, SQUARED), Workspace(), unpack(packed, net.size)
    one = np.ones(1)
    step = max(16, USUAL.numbers // (net.size * len(quantity.arguments)))
    for start in range(0, len(X), step):
        rows = slice(start, start + step)
        block = QuantityBlock.unweighted(quantity, X[rows])
        yield rows, blas.multiply(C, block.gradients(kernels, memory, theta, one)[1])


@one_blas_thread()
def pinned(net: Network, theta: Array, packed: Array, x: Array, outputs: Array) -> NDArray[np.float64]:
    """Return C, packed, with the free constants of some linear outputs fixed by their values at x (1, d).

    The deviation of such an output is then that of its difference from x: with the gradient g at x, the
    column of its bias b becomes -C (g - e_b).
    """
    C = unpack(packed, net.size)
    full = C.copy()
    passes = net.passes(theta, x.T, order=2)
    for o in outputs:
        g = passes.weight_gradients(int(o))[:, 0]
        bias = net.layers[-1].bias.start + o
        g[bias] = 0.0
        full[:, bias] = -(C @ g)
    return _packed(full)


@one_blas_thread()
def permuted(packed: NDArray[np.float64], order: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return C, packed, for theta[order] instead of theta."""
    return _packed(unpack(packed, len(order))[:, order])


def _packed(root: Array) -> NDArray[np.float64]:
    """Return C, packed: lower triangular with the same C' C as `root` (p, p)."""
    R = np.asarray(np.linalg.qr(root[:, ::-1], mode="r"))
    return pack(R[::-1, ::-1])


def widened(deviation: Array, best: Array, fits: Sequence[OtherFit], answers: Sequence[Array]) -> Array:
    """Return a deviation combined with the weighted mean square distance of all fits' answers from `best`."""
    total = 1.0 + sum(fit.share for fit in fits)
    apart = np.zeros_like(best)
    for fit, answer in zip(fits, answers, strict=True):
        apart += fit.share * (answer - best) ** 2
    return np.asarray(np.sqrt(deviation**2 + apart / total))


def _deviations(
    net: Network, theta: Array, packed: Array, X: Array, inputs: Sequence[int], how: GradientWork
) -> Array:
    """Return (n, k, inputs): deviations of the partials along some inputs, or of the values."""
    C = unpack(packed, net.size)
    out = np.empty((len(X), net.k, len(inputs)))
    step = max(16, how.numbers // net.size)
    starts = range(0, len(X), step)
    team = ThreadTeam()
    many = len(X) * net.size >= how.compiled_from
    gradients = [_compiled(net, theta) if many else _plain(net, theta) for _ in range(team.size)]

    def work(worker: int, task: int) -> None:
        rows = slice(starts[task], starts[task] + step)
        for o, column in product(range(net.k), range(len(inputs))):
            g = gradients[worker](X[rows], o, inputs[column])
            V = blas.multiply(C, g)
            out[rows, o, column] = np.sqrt(np.einsum("pr,pr->r", V, V))

    with one_blas_thread():
        team.run(len(starts), work)
    return out


Gradients = Callable[[Array, int, int], Array]


def _plain(net: Network, theta: Array) -> Gradients:
    """Return a NumPy function of X (rows, d) that gives the gradients (p, rows) of a value or a partial."""

    def gradients(X: Array, output: int, input: int) -> Array:
        passes = net.passes(theta, X.T, order=2)
        return passes.weight_gradients(output, None if input == VALUE else unit(net.d, input))

    return gradients


def _compiled(net: Network, theta: Array) -> Gradients:
    """Return the same as a compiled kernel, for one thread: a call overwrites the last result."""
    from swarmnet.objective.kernels.bound import BoundKernels, Workspace  # noqa: PLC0415  # imports Numba

    kernels, memory = BoundKernels(net, np.float64, SQUARED), Workspace()

    def gradients(X: Array, output: int, input: int) -> Array:
        n = len(X)
        where = np.arange(n), np.full(n, output), np.full(n, input), np.full(n, VALUE)
        table = Entries(X, *where, target=np.zeros(n), weight=np.ones(n), group=np.zeros(n, int))
        return kernels.entry_gradients(memory, theta, table, 0, n, np.ones(1))[1]

    return gradients
