"""Bayesian polynomial regression on values and single partial derivatives of one output.

y(x) = sum_m w_m prod_j P_mj(u_j) with Legendre polynomials P, u the inputs mapped to [-1, 1], and all m of
total degree |m| <= p. The prior is w_m ~ N(0, 1 / alpha_g), with one alpha for each total degree g. Each
column of entries, the values and the partials by each input, has a noise sigma_c. alpha, sigma and p are
those of the greatest evidence (MacKay, Bayesian Interpolation, Neural Computation 4, 415, 1992). His updates:

    A = diag(alpha) + sum_c F_c^T F_c / sigma_c^2        F_c: the functions at the N_c entries of column c
    alpha_g   = gamma_g / |w_g|^2,           gamma_g = M_g - alpha_g tr_g(A^-1)   over degree g's M_g weights
    sigma_c^2 = |r_c|^2 / (N_c - gamma_c),   gamma_c = tr(A^-1 F_c^T F_c) / sigma_c^2
"""

from itertools import combinations_with_replacement

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular

Array = NDArray[np.float64]
Columns = NDArray[np.int64]

MOST_FUNCTIONS = 1_300
PATIENCE, GAIN = 3, 1.0  # degrees without such a gain in the evidence's logarithm: odd and even ones differ
UPDATES, TOLERANCE = 100, 1e-3  # of alpha and sigma, and the change of their logarithms that ends them
LEAST_SIGMA = 1e-15  # as a share of the column's root mean square: rounding


def exponents(d: int, degree: int) -> NDArray[np.int64]:
    """(M, d): all of total degree up to `degree`."""
    chosen = combinations_with_replacement(range(d + 1), degree)  # input d stands for "none"
    return np.array([np.bincount(inputs, minlength=d + 1)[:d] for inputs in chosen], dtype=np.int64)


class BayesianPolynomial:
    """Fitted to targets (N,) at points X (N, d) and columns (N,): 0 the value, j + 1 the partial by j."""

    def __init__(self, X: Array, columns: Columns, targets: Array) -> None:
        self.low, self.high = X.min(0), X.max(0)
        self.degree, self.evidence = 0, -np.inf
        degree = 1
        while (
            degree <= self.degree + PATIENCE
            and len(powers := exponents(X.shape[1], degree)) <= MOST_FUNCTIONS
        ):
            evidence, weights = self.fitted(powers, X, columns, targets)
            if evidence > self.evidence + GAIN:
                self.degree, self.evidence, self.powers, self.weights = degree, evidence, powers, weights
            degree += 1

    def functions(self, powers: NDArray[np.int64], X: Array, column: int) -> Array:
        """(n, M): the polynomials, or their partials by input `column` - 1."""
        slope = 2 / (self.high - self.low)
        U = (X - self.low) * slope - 1
        F = np.ones((len(X), len(powers)))
        for j in range(X.shape[1]):
            coefficients = np.eye(powers.max() + 1)
            if column == j + 1:
                coefficients = legendre.legder(coefficients, scl=slope[j], axis=0)
            F *= legendre.legval(U[:, j], coefficients).T[:, powers[:, j]]
        return F

    def fitted(
        self, powers: NDArray[np.int64], X: Array, columns: Columns, targets: Array
    ) -> tuple[float, Array]:
        """The logarithm of the evidence, but for a constant, and the weights."""
        present, M = np.unique(columns), len(powers)
        counts = np.array([np.sum(columns == c) for c in present])
        blocks = [np.c_[self.functions(powers, X[columns == c], c), targets[columns == c]] for c in present]
        blocks = [qr(block, mode="r")[0][: M + 1] if len(block) > M + 1 else block for block in blocks]
        column_of = np.repeat(np.arange(len(present)), [len(block) for block in blocks])
        rows = np.concatenate(blocks)
        F, y = rows[:, :M], rows[:, M]
        size = np.sqrt(np.bincount(column_of, y**2) / counts)
        group = powers.sum(1)
        sizes = np.bincount(group)
        alpha, sigma = np.ones(len(sizes)), 0.1 * size
        for _ in range(UPDATES):
            noise = sigma[column_of]
            stacked = np.c_[
                np.r_[F / noise[:, None], np.diag(np.sqrt(alpha[group]))], np.r_[y / noise, np.zeros(M)]
            ]
            R = qr(stacked, mode="r", overwrite_a=True)[0][: M + 1]
            root = R[:M, :M]
            weights = solve_triangular(root, R[:M, M])
            squares = np.bincount(column_of, (y - F @ weights) ** 2)
            evidence = (
                0.5 * sizes @ np.log(alpha)
                - counts @ np.log(sigma)
                - np.log(np.abs(np.diag(root))).sum()
                - 0.5 * (squares @ sigma**-2.0 + alpha[group] @ weights**2)
            )
            inverse = solve_triangular(root, np.eye(M))  # A^-1 = inverse inverse^T
            gamma = np.bincount(column_of, ((F @ inverse) ** 2).sum(1)) / sigma**2
            old = np.log(np.r_[alpha, sigma])
            free = sizes - alpha * np.bincount(group, (inverse**2).sum(1))
            alpha = np.maximum(free, 1e-3) / np.maximum(np.bincount(group, weights**2), 1e-33)
            sigma = np.maximum(np.sqrt(squares / np.maximum(counts - gamma, 1e-3)), LEAST_SIGMA * size)
            if np.abs(np.log(np.r_[alpha, sigma]) - old).max() < TOLERANCE:
                break
        return float(evidence), weights

    def column(self, X: Array, column: int) -> Array:
        """(n,) the value (0), or the partial by input `column` - 1, at X (n, d)."""
        return self.functions(self.powers, X, column) @ self.weights
