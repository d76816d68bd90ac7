"""Error bars: standard deviations of values and derivatives under a Gaussian posterior of the weights.

Around the weights found, the posterior is Gaussian with covariance A^-1 (Laplace's approximation, MacKay
1992). A quantity with gradient g with respect to theta has the variance g' A^-1 g = |C g|^2, where C is lower
triangular and A^-1 = C' C. C is kept packed, in double precision: where data are nearly exact, g' A^-1 g is
smaller than the products it is the sum of by many orders, and single precision would be off by a factor.

One Gaussian knows nothing of other optima, nor of what another network would have answered. How far the
answers from other starts, and of networks that were almost chosen, lie apart is added (as deep ensembles do,
Lakshminarayanan et al. 2017).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet import blas
from swarmnet.activations import LINEAR
from swarmnet.network import Network
from swarmnet.propagation import Propagation
from swarmnet.threads import one_blas_thread

Array = NDArray[Any]

_NUMBERS = 1 << 21  # numbers in a tile's gradients


@dataclass(frozen=True)
class OtherFit:
    """Where training came to from another start, or with another network.

    Args:
        net: the network, of the same inputs and outputs.
        theta: (p,) its weights.
        share: how much it counts, from 0 to 1.
    """

    net: Network
    theta: Array
    share: float


def pack(C: Array) -> NDArray[np.float64]:
    """The lower half of C (p, p), row by row."""
    return np.asarray(C[np.tril_indices(len(C))], dtype=np.float64)


def unpack(packed: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """C (p, p) in Fortran order."""
    C = np.zeros((size, size), order="F")
    C[np.tril_indices(size)] = packed
    return C


def value_deviations(net: Network, theta: Array, packed: Array, X: Array) -> Array:
    """(n, k) standard deviations of the outputs at X (n, d)."""
    C = unpack(packed, net.size)
    out = np.empty((len(X), net.k))
    for rows, passes in _tiles(net, theta, X, order=1):
        for o in range(net.k):
            z_bar = np.zeros((net.k, passes.A[0].shape[-1]))
            z_bar[o] = 1.0 if passes.layers[-1].activation is LINEAR else passes.S[-1][o]
            out[rows, o] = _deviation(passes, z_bar, [], C)
    return out


def jacobian_deviations(net: Network, theta: Array, packed: Array, X: Array) -> Array:
    """(n, k, d) standard deviations of the partials at X (n, d)."""
    C = unpack(packed, net.size)
    out = np.empty((len(X), net.k, net.d))
    for rows, passes in _tiles(net, theta, X, order=2):
        for j in range(net.d):
            tangent = passes.tangent(j)
            for o in range(net.k):
                z_bar = np.zeros((net.k, passes.A[0].shape[-1]))
                cotangent = np.zeros_like(z_bar)
                cotangent[o] = 1.0
                out[rows, o, j] = _deviation(passes, z_bar, [(tangent, cotangent)], C)
    return out


@one_blas_thread()
def pinned(net: Network, theta: Array, packed: Array, x: Array, outputs: Array) -> NDArray[np.float64]:
    """C, packed, with the constants of some linear outputs so free that their values at x (1, d) are exact.

    Their deviations elsewhere are then those of the difference from x: the column of such an output's bias
    b is -C (g - e_b) with its gradient g at x.
    """
    C = unpack(packed, net.size)
    full = C.copy()
    _, passes = next(_tiles(net, theta, x, order=1))
    for o in outputs:
        z_bar = np.zeros((net.k, 1))
        z_bar[o] = 1.0
        g = np.empty((net.size, 1))
        passes.backward_rows(z_bar, [], g)
        bias = net.size - net.k + o
        g[bias] = 0.0
        full[:, bias] = -(C @ g)[:, 0]
    return _packed(full)


@one_blas_thread()
def permuted(packed: NDArray[np.float64], order: NDArray[np.intp]) -> NDArray[np.float64]:
    """C, packed, for theta[order] instead of theta."""
    return _packed(unpack(packed, len(order))[:, order])


def _packed(root: Array) -> NDArray[np.float64]:
    """C, packed, lower triangular with the same C' C as a full root (p, p)."""
    R = np.asarray(np.linalg.qr(root[:, ::-1], mode="r"))
    return pack(R[::-1, ::-1])


def widened(
    deviation: Array, best: Array, others: Sequence[OtherFit], answer: Callable[[OtherFit], Array]
) -> Array:
    """A deviation with the mean square distance of all fits' answers from the best one, whose share is 1."""
    total = 1.0 + sum(other.share for other in others)
    apart = sum((other.share * (answer(other) - best) ** 2 for other in others), np.zeros_like(best))
    return np.asarray(np.sqrt(deviation**2 + apart / total))


def _deviation(passes: Propagation, z_bar: Array, tangents: list[Any], C: Array) -> Array:
    """|C g| for the gradient g of each row."""
    g = passes.buffer("g", (len(C), z_bar.shape[-1]))
    passes.backward_rows(z_bar, tangents, g)
    V = blas.multiply(C, g)
    return np.asarray(np.sqrt(np.einsum("pr,pr->r", V, V)))


def _tiles(net: Network, theta: Array, X: Array, order: int) -> Iterator[tuple[slice, Propagation]]:
    """Slices of X's rows, each with a forward pass done."""
    passes = Propagation(net.layers)
    passes.load(theta)
    step = max(16, _NUMBERS // net.size)
    for start in range(0, len(X), step):
        part = X[start : start + step]
        passes.forward(np.vstack([part.T, np.ones(len(part))]), order=order)
        yield slice(start, start + len(part)), passes
