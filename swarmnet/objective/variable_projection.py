"""Variable projection: the best linear output layer for given hidden layers (Golub and Pereyra 1973)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class LinearSystems:
    """The normal equations G w = g of each particle's output layer.

    Without quantities, each output has its own system; formulas of several outputs join them.

    Args:
        G: (s, systems or 1, m, m) Gram sums.
        g: (s, systems, m) products with the targets.
        squares: (s,) or () weighted sum of the squared targets.
    """

    G: Array
    g: Array
    squares: Array

    @classmethod
    def of_sums(cls, sums: Array, squares: Array, k: int, units: int) -> "LinearSystems":
        """Return one system for each of k outputs, from sums [G | g] (s, grams, units, units + targets)."""
        g = sums[..., units:].swapaxes(-1, -2).reshape(len(sums), k, units)
        return cls(sums[..., :units], g, squares)

    def joined(self) -> "LinearSystems":
        """Return one system for the weights of all outputs, in the order of theta."""
        s, k, m = self.g.shape
        G = np.zeros((s, m, k, m, k))
        every = np.arange(k)
        G[:, :, every, :, every] = np.moveaxis(np.broadcast_to(self.G, (s, k, m, m)), 1, 0)
        return LinearSystems(
            G.reshape(s, 1, m * k, m * k), self.g.swapaxes(1, 2).reshape(s, 1, m * k), self.squares
        )

    def plus(self, G: Array, g: Array, squares: Array) -> "LinearSystems":
        """Return the joined systems with further residuals: G (s, w, w), g (s, w) and squares (s,)."""
        return LinearSystems(self.G + G[:, None], self.g + g[:, None], self.squares + squares)

    def solved(self, l2: float, penalised: Array, ridge: float) -> tuple[Array, Array]:
        """Return the output layers (s, weights), and their sums of squares (s,) with their l2 penalty.

        Args:
            l2: penalty of each weight.
            penalised: (weights,) 1 for those that have it, 0 for biases.
            ridge: relative to the mean of G's diagonal.
        """
        s, systems, m = self.g.shape
        bare = l2 * penalised.reshape(-1, systems)[:, 0]  # the same for each output
        G = self.G + np.diag(bare)
        trace = np.trace(G, axis1=-2, axis2=-1)[..., None, None]
        good = np.isfinite(G).all((1, 2, 3)) & np.isfinite(self.g).all((1, 2))
        good &= np.isfinite(trace).all((1, 2, 3))
        g = np.where(good[:, None, None], self.g, 0.0)
        G[~good], trace[~good] = 0.0, 1.0
        # Without any ridge, the Gram matrix of two equal units or of a constant one is singular.
        ridge = max(ridge, 4.0 * m * float(np.finfo(float).eps))
        stiff = np.maximum(ridge * trace / m, np.finfo(float).tiny) * np.eye(m)
        w = np.linalg.solve(G + stiff, g[..., None])[..., 0]
        # |target - Phi w|^2 + l2 |w|^2 = squares - 2 g.w + w G w
        fit = np.einsum("skh,skh->s", w, g)
        bent = np.einsum("skh,skh->s", w, (G @ w[..., None])[..., 0])
        loss = np.maximum(self.squares - 2.0 * fit + bent, np.finfo(float).eps * self.squares)
        loss[~good] = np.inf
        return np.moveaxis(w, 1, -1).reshape(s, systems * m), loss
