"""The quadratic model of the regularised loss at a point, and its steps.

With J the Jacobian of the residuals and A = J'J + diag(alpha), a step s solves A s = -gradient, with
the damping of Marquardt (1963) on the diagonal. If there are fewer residuals than weights, the same step
follows from the smaller matrix J diag(1/alpha) J' (Woodbury's identity). `bend` adds the second-order
correction of Transtrum and Sethna (2012), "Improvements to the Levenberg-Marquardt algorithm"."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from swarmnet import linalg as blas
from swarmnet.trainers.protocols import LeastSquares
from swarmnet.trainers.result import Array

_MOST_BEND = 0.75  # largest ratio of twice the second-order step to the first: Transtrum and Sethna (2012)
_LEAST_KNOWN = 1e-24  # smallest share of the largest diagonal of A; only keeps A regular for useless weights


class Linearisation(Protocol):
    """The quadratic model of M at a point."""

    gradient: Array

    def step(self, damping: float) -> Array:
        """Return the minimum of the model, with A + damping diag(metric) in place of A."""

    def bend(self, step: Array) -> Array:
        """Return the second-order correction of that step."""

    def effective(self) -> tuple[Array, Array, float]:
        """Return gamma_g (groups,), 1 - alpha_i (A^-1)_ii (p,), and log|A|."""


class NormalEquations:
    """The model through J'J (p, p)."""

    def __init__(self, objective: LeastSquares, theta: Array, precision: Array, decay: Array) -> None:
        self._objective, self._theta, self._precision, self._decay = objective, theta, precision, decay
        _, Jr, self._JJ = objective.gauss_newton(theta, precision)
        self.gradient = Jr + decay * theta
        self._metric = float(np.mean(np.diag(self._JJ)))

    def step(self, damping: float) -> Array:
        self._damped = self._factor(self._decay + damping * self._metric)
        return self._solved(self.gradient)

    def _solved(self, gradient: Array) -> Array:
        L, unit = self._damped
        return np.asarray(-unit * blas.solve(L, unit * gradient))

    def bend(self, step: Array) -> Array:
        bends = self._objective.bends(self._theta, step, self._precision)
        return _half(self._solved(bends), step)

    def effective(self) -> tuple[Array, Array, float]:
        L, inverse = self.roots()
        share = 1.0 - self._decay * np.einsum("ij,ij->j", inverse, inverse)
        used = self._objective.leverages(self._theta, self._precision, L)
        return used, share, 2.0 * float(np.log(np.diag(L)).sum())

    def roots(self) -> tuple[Array, Array]:
        """Return L with L L' = A, in the lower half, and its inverse, lower triangular."""
        L, unit = self._factor(self._decay)
        L = np.asfortranarray(L / unit[:, None])
        return L, blas.inverse(L)

    def _factor(self, diagonal: Array) -> tuple[Array, Array]:
        """Return L and u with L L' = u (JJ + diagonal) u, a matrix with unit diagonal."""
        own = _diagonal(self._JJ) + diagonal
        own = np.maximum(own, _LEAST_KNOWN * (own.max() or 1.0))
        unit = 1.0 / np.sqrt(own)

        def scaled() -> Array:
            A: Array = self._JJ * unit
            A *= unit[:, None]
            _diagonal(A)[:] = 1.0
            return A

        return _cholesky(scaled), unit


class DualEquations:
    """The model through K = J diag(1/alpha) J' (entries, entries), for few residuals and all alpha > 0."""

    def __init__(self, objective: LeastSquares, theta: Array, precision: Array, decay: Array) -> None:
        self._objective, self._theta, self._precision = objective, theta, precision
        r, Q, self._group = objective.residual_jacobian(theta, precision)
        self._root = np.sqrt(decay)
        Q *= 1.0 / self._root
        self._Q, self._K = Q, np.zeros((len(Q), len(Q)), order="F")
        blas.add_gram(Q, self._K, lower=True)
        self._slope = r @ Q + decay * theta / self._root
        self.gradient = self._slope * self._root
        self._Q_slope = Q @ self._slope
        self._groups = len(precision)

    def step(self, damping: float) -> Array:
        self._stiff = 1.0 + damping
        self._damped = self._factor(self._stiff)
        return self._solved(self._slope, self._Q_slope)

    def _solved(self, slope: Array, Q_slope: Array) -> Array:
        z = blas.solve(self._damped, Q_slope / self._stiff)
        return np.asarray(-(slope - z @ self._Q) / (self._stiff * self._root))

    def bend(self, step: Array) -> Array:
        bends = self._objective.bends(self._theta, step, self._precision) / self._root
        second = self._solved(bends, self._Q @ bends)
        return np.asarray(_half(second * self._root, step * self._root) / self._root)

    def effective(self) -> tuple[Array, Array, float]:
        L = self._factor(1.0)
        inverse = blas.inverse(L)
        used = 1.0 - np.einsum("ij,ij->j", inverse, inverse)
        V = blas.multiply(inverse, self._Q.copy())
        share = np.einsum("ij,ij->j", V, V)
        log_det = 2.0 * float(np.log(np.diag(L)).sum() + np.log(self._root).sum())
        return np.bincount(self._group, used, self._groups), share, log_det

    def _factor(self, stiff: float) -> Array:
        """Return L with L L' = K / stiff + 1."""

        def damped() -> Array:
            K: Array = self._K / stiff
            _diagonal(K)[:] += 1.0
            return K

        return _cholesky(damped)


def _half(second: Array, first: Array) -> Array:
    """Return half of the second-order step, or 0 if it is not a small correction of the first."""
    small = 2.0 * float(np.linalg.norm(second)) <= _MOST_BEND * float(np.linalg.norm(first))
    return 0.5 * second if small else np.zeros_like(second)


def _diagonal(A: Array) -> Array:
    """Return a writable view of the diagonal."""
    return np.asarray(np.einsum("ii->i", A))


def _cholesky(made: Callable[[], Array]) -> Array:
    """Return L of a new A, with a larger diagonal if rounding has made A indefinite."""
    for jitter in (0.0, 1e-13, 1e-11, 1e-9, 1e-7):
        A = made()
        if jitter:
            diagonal = _diagonal(A)
            diagonal += jitter * diagonal.max()
        if blas.factor(A):
            return A
    raise np.linalg.LinAlgError("A is not positive definite")
