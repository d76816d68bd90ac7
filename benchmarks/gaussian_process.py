"""An exact Gaussian process on values and single partial derivatives of one output.

The process is a linear function plus one of covariance a^2 e0(|z - z'|), where z_j = x_j / l_j and l_j is the
length scale of input j. The kernel e0(r) is the squared exponential exp(-r^2 / 2), or Matern's of order 5/2,
(1 + q + q^2 / 3) exp(-q) with q = sqrt(5) r. A partial of a Gaussian process is one too, and its covariances
are partials of the kernel (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, sections
4.2 and 9.4), with D = z - z', e1 = -e0' / r, e2 = -e1' / r and e3 = -e2' / r:

    cov(y, dy'/dz_j)         =  a^2 e1 D_j
    cov(dy/dz_i, dy'/dz_j)   =  a^2 (e1 [i = j] - e2 D_i D_j)

An entry is a point and a column: 0 for the value, j + 1 for the partial by input j. Each column has a noise.
Length scales and noises are of maximum likelihood, found by L-BFGS from several starts; the linear function
and `a` have their best values in closed form, by generalised least squares (section 2.7).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

Array = NDArray[np.float64]
Columns = NDArray[np.int64]

START_LENGTHS = (1.0, 3.0, 10.0)
START_NOISE = 1e-6  # of each column: a variance, as a share of a^2
LOWEST_NOISE = np.finfo(float).eps / 4  # times the entries; with less, rounding makes covariances indefinite
FAILED = 1e25  # minus the log likelihood where they are


def linear(Z: Array, columns: Columns) -> Array:
    """(N, d + 1): the functions 1 and z_j, or their partials, at N entries."""
    rows = np.eye(Z.shape[1] + 1)[columns]
    rows[columns == 0, 1:] = Z[columns == 0]
    return rows


def squared_exponential(squares: Array) -> list[Array]:
    """e0, e1, e2, e3 at squared distances (N, M)."""
    return [np.exp(-0.5 * squares)] * 4


def matern(squares: Array) -> list[Array]:
    """e0, e1, e2, e3 at squared distances (N, M)."""
    q = np.sqrt(5.0 * squares)
    e = np.exp(-q)
    inverse = 1.0 / np.maximum(q, 1e-150)  # of 0 it is multiplied by D = 0
    return [(1.0 + q + q**2 / 3.0) * e, 5.0 / 3.0 * (1.0 + q) * e, 25.0 / 3.0 * e, 125.0 / 3.0 * e * inverse]


KERNELS = {"squared exponential": squared_exponential, "Matern 5/2": matern}


def covariance(
    kernel: str, Z: Array, columns: Columns, others: Array, their_columns: Columns
) -> tuple[Array, Array, Array]:
    """(N, M): cov / a^2 between entries; its part with factors D; cov / a^2 with e1 to e3 for e0 to e2."""
    e = KERNELS[kernel](cdist(Z, others, "sqeuclidean"))
    factor = np.ones_like(e[0])
    for j in range(Z.shape[1]):
        mine, theirs = columns == j + 1, their_columns == j + 1
        factor[mine] *= others[:, j] - Z[mine, j, None]
        factor[:, theirs] *= Z[:, j, None] - others[theirs, j]
    equal = (columns[:, None] == their_columns) & (columns[:, None] > 0)
    partials = (columns[:, None] > 0).astype(int) + (their_columns > 0)
    products = [np.choose(partials, e[first : first + 3]) * factor for first in (0, 1)]
    cov, stretched = (p + np.where(equal, e[1 + first], 0.0) for first, p in enumerate(products))
    return cov, products[0], stretched


class GaussianProcess:
    """Fitted to targets (N,) at N entries, by maximum likelihood. Inputs and values have to be standardised.

    Raises:
        numpy.linalg.LinAlgError: no start has a covariance that is positive definite.
    """

    def __init__(
        self, X: Array, columns: Columns, targets: Array, kernel: str = "squared exponential"
    ) -> None:
        self.kernel = kernel
        self.X, self.columns, self.targets = X, columns, targets
        self.present, self.noise_of = np.unique(columns, return_inverse=True)
        d, noises = X.shape[1], len(self.present)
        starts = [
            np.r_[np.full(d, np.log(length)), np.full(noises, np.log(START_NOISE))]
            for length in START_LENGTHS
        ]
        bounds = [(-5.0, 10.0)] * d + [(np.log(LOWEST_NOISE * len(X)), 3.0)] * noises
        options = {"maxiter": 1000, "ftol": 1e-12}
        found = [
            minimize(self.misfit, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
            for start in starts
        ]
        best = min(found, key=lambda one: one.fun)
        self.log_likelihood = -float(best.fun)
        self.lengths: Array = np.exp(best.x[:d])
        _, _, self.alpha, self.beta = self.solved(best.x)

    def solved(self, logs: Array) -> tuple[Array, Array, Array, Array]:
        """The Cholesky factor of C = cov / a^2, the linear function's residuals r, C^-1 r, its weights."""
        lengths, noise = np.exp(logs[: self.X.shape[1]]), np.exp(logs[self.X.shape[1] :])
        Z = self.X / lengths
        C = covariance(self.kernel, Z, self.columns, Z, self.columns)[0]
        C[np.diag_indices_from(C)] += noise[self.noise_of]
        L = cholesky(C, lower=True, overwrite_a=True, check_finite=False)
        H, y = linear(Z, self.columns), self.targets * np.r_[1.0, lengths][self.columns]
        beta = np.linalg.lstsq(
            solve_triangular(L, H, lower=True), solve_triangular(L, y, lower=True), rcond=None
        )[0]
        r = y - H @ beta
        return L, r, cho_solve((L, True), r), beta

    def misfit(self, logs: Array) -> tuple[float, Array]:
        """Minus the log likelihood but for a constant, and its gradient by the logarithms.

        A length scale changes the covariances by z, and the partials dy/dz = l dy/dx.
        """
        try:
            L, r, alpha, _ = self.solved(logs)
        except np.linalg.LinAlgError:
            return FAILED, np.zeros_like(logs)
        d, N = self.X.shape[1], len(r)
        Z = self.X / np.exp(logs[:d])
        _, product, stretched = covariance(self.kernel, Z, self.columns, Z, self.columns)
        variance = r @ alpha / N
        W = cho_solve((L, True), np.eye(N)) - np.outer(alpha, alpha) / variance
        counts = np.bincount(self.columns, minlength=d + 1)[1:]
        sums = np.bincount(self.columns, alpha * r / variance - (W * product).sum(1), minlength=d + 1)[1:]
        WC = W * stretched  # dC / dlog l_j is D_j^2 times that, less the differences' own change
        stretch = (WC.sum(1) @ Z**2) - np.einsum("nj,nm,mj->j", Z, WC, Z, optimize=True)  # WC * D_j^2 / 2
        noise = 0.5 * np.exp(logs[d:]) * np.bincount(self.noise_of, np.diag(W))
        value = 0.5 * N * np.log(variance) + np.log(np.diag(L)).sum() - counts @ logs[:d]
        return float(value), np.r_[stretch + sums - counts, noise]

    def column(self, X: Array, column: int) -> Array:
        """(n,) the posterior mean of the value (0), or of the partial by input `column` - 1, at X (n, d)."""
        Z, columns = X / self.lengths, np.full(len(X), column)
        K = covariance(self.kernel, Z, columns, self.X / self.lengths, self.columns)[0]
        mean = K @ self.alpha + linear(Z, columns) @ self.beta
        return mean / self.lengths[column - 1] if column else mean
