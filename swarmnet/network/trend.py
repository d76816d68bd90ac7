"""Trend: products of Legendre polynomials of the inputs, which a network adds to its outputs linearly.

phi_t(x) = prod over inputs j of P_q(u_j), with q = powers[t, j], u_j = (x_j - centre_j) / half_j, and P_q the
Legendre polynomial of degree q. On [-1, 1] they are orthogonal, so their coefficients can be determined
separately even at high degree.

All terms follow from one recurrence, phi_r = factor phi_a phi_b - share phi_c: either Bonnet's,
q P_q = (2 q - 1) u P_(q-1) - (q - 1) P_(q-2), or a product of two earlier terms. Kernels, exports and this
module all compute terms and their derivatives by it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.errors import SwarmnetError

Array = NDArray[Any]
Powers = tuple[int, ...]

ONE = -1  # stands for the constant 1 in a recurrence
MOST_DEGREE = 60  # only bounds the recurrence: Legendre polynomials are exact to rounding far beyond


@dataclass(frozen=True)
class Recurrence:
    """The steps by which all terms are computed. Row j < d is u_j; each later row is a step.

    Args:
        rows: (steps, 3) the rows a, b and c of factor * row_a * row_b - share * row_c; c may be ONE.
        factors: (steps, 2) factor and share.
        terms: (terms,) the row of each term.
    """

    rows: NDArray[np.int64]
    factors: NDArray[np.float64]
    terms: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Trend:
    """Polynomial terms of d inputs.

    Args:
        powers: (terms, d) the degree of each term in each input.
        centre: (d,) the input that becomes 0.
        half: (d,) the distance from it that becomes 1.

    Raises:
        SwarmnetError: powers that are no whole numbers of 0 or more, all 0, repeated, or too high; a range
            that is not positive or finite.

    Example:
        >>> Trend.of_degree(2, [0.0, 0.0], [1.0, 1.0]).powers.tolist()
        [[1, 0], [0, 1], [2, 0], [1, 1], [0, 2]]
    """

    powers: NDArray[np.int64]
    centre: NDArray[np.float64]
    half: NDArray[np.float64]

    def __post_init__(self) -> None:
        powers, d = np.asarray(self.powers), len(self.centre)
        whole = powers.ndim == 2 and powers.dtype.kind == "i" and powers.shape[1] == d
        if not whole or powers.size == 0 or powers.min() < 0 or powers.max() > MOST_DEGREE:
            raise SwarmnetError(f"the powers of a trend must be whole numbers (terms, {d}) to {MOST_DEGREE}")
        if powers.sum(1).max() > MOST_DEGREE:
            raise SwarmnetError(f"a term of a trend has a degree above {MOST_DEGREE}")
        if not powers.any(1).all() or len(np.unique(powers, axis=0)) < len(powers):
            raise SwarmnetError("a term of a trend is constant, or occurs twice")
        good = np.isfinite(self.centre).all() and np.isfinite(self.half).all() and (self.half > 0).all()
        if not good or len(self.half) != d:
            raise SwarmnetError("the inputs' ranges of a trend must be positive and finite")

    @classmethod
    def of_degree(
        cls, degree: int, low: Sequence[float] | Array, high: Sequence[float] | Array, least: int = 1
    ) -> "Trend":
        """Return all terms of a total degree from `least` to `degree`, for inputs from low to high (d,)."""
        return cls.of_powers([p for p in total_degree(len(low), degree) if sum(p) >= least], low, high)

    @classmethod
    def of_powers(
        cls, powers: Sequence[Powers], low: Sequence[float] | Array, high: Sequence[float] | Array
    ) -> "Trend":
        """Return the terms with these powers, for inputs from low to high (d,)."""
        bottom, top = np.asarray(low, float), np.asarray(high, float)
        half = 0.5 * (top - bottom)
        return cls(np.array(powers, np.int64), bottom + half, np.where(half > 0, half, 1.0))

    def __len__(self) -> int:
        return len(self.powers)

    @property
    def degrees(self) -> NDArray[np.int64]:
        """(terms,) the total degree of each term."""
        total: NDArray[np.int64] = self.powers.sum(1)
        return total

    @property
    def degree(self) -> int:
        """The highest total degree."""
        return int(self.degrees.max())

    def reordered(self, inputs: Sequence[int]) -> "Trend":
        """Return the same terms, in the same order, for inputs in another order."""
        at = list(inputs)
        return Trend(self.powers[:, at], self.centre[at], self.half[at])

    @cached_property
    def recurrence(self) -> Recurrence:
        """The steps by which all terms are computed."""
        d = len(self.centre)
        place: dict[Powers, int] = {_alone(d, j, 1): j for j in range(d)}
        rows: list[tuple[int, int, int]] = []
        factors: list[tuple[float, float]] = []

        def row_of(powers: Powers) -> int:
            if not any(powers):
                return ONE
            if powers not in place:
                a, b, c, factor, share = _step(powers, row_of)
                place[powers] = d + len(rows)
                rows.append((a, b, c))
                factors.append((factor, share))
            return place[powers]

        terms = [row_of(tuple(term)) for term in self.powers.tolist()]
        return Recurrence(
            np.array(rows, np.int64).reshape(-1, 3),
            np.array(factors, np.float64).reshape(-1, 2),
            np.array(terms, np.int64),
        )

    def jets(self, x: Array, order: int) -> list[Array]:
        """Return phi (terms, n) at x (d, n) and, up to `order`, its derivatives by x.

        Those are gradients (terms, d, n) and Hessians (terms, d, d, n).
        """
        d, n = x.shape
        u = (x - self.centre[:, None]) / self.half[:, None]
        slope = np.zeros((d, d, n))
        slope[np.arange(d), np.arange(d)] = 1.0 / self.half[:, None]
        value, gradient, hessian = [*u], [*slope], [np.zeros((d, d, n))] * d
        steps = self.recurrence
        for (a, b, c), (factor, share) in zip(steps.rows.tolist(), steps.factors.tolist(), strict=True):
            constant = c == ONE
            value.append(factor * value[a] * value[b] - share * (1.0 if constant else value[c]))
            if order >= 1:
                g = factor * (gradient[a] * value[b] + value[a] * gradient[b])
                gradient.append(g if constant else g - share * gradient[c])
            if order >= 2:
                both = gradient[a][:, None] * gradient[b]
                H = factor * (hessian[a] * value[b] + value[a] * hessian[b] + both + both.swapaxes(0, 1))
                hessian.append(H if constant else H - share * hessian[c])
        found = (value, gradient, hessian)[: order + 1]
        return [np.array([rows[term] for term in steps.terms]) for rows in found]


def total_degree(d: int, degree: int) -> list[Powers]:
    """Return the powers of all terms of d inputs up to a total degree, without the constant."""
    return [
        tuple(inputs.count(j) for j in range(d))
        for total in range(1, degree + 1)
        for inputs in combinations_with_replacement(range(d), total)
    ]


def hyperbolic_cross(d: int, level: int) -> list[Powers]:
    """Return the powers of all terms of d inputs with prod_j (q_j + 1) <= level + 1, by total degree.

    They have few mixed powers, so a function that is nearly a sum of functions of one input each needs few
    of them (Dung, Temlyakov and Ullrich 2018, "Hyperbolic Cross Approximation").
    """

    def within(inputs: int, most: int) -> Iterator[Powers]:
        if inputs == 0:
            yield ()
            return
        for q in range(most):
            for rest in within(inputs - 1, most // (q + 1)):
                yield (q, *rest)

    found = [powers for powers in within(d, level + 1) if any(powers)]
    return sorted(found, key=lambda powers: (sum(powers), [-q for q in powers]))


def _alone(d: int, j: int, power: int) -> Powers:
    return tuple(power if i == j else 0 for i in range(d))


def _step(powers: Powers, row_of: Any) -> tuple[int, int, int, float, float]:
    """Return a, b, c, factor and share of the step that computes a term from earlier ones."""
    d, last = len(powers), max(j for j, q in enumerate(powers) if q)
    q, alone = powers[last], _alone(len(powers), last, powers[last])
    if powers != alone:
        rest = tuple(0 if j == last else q for j, q in enumerate(powers))
        return row_of(rest), row_of(alone), ONE, 1.0, 0.0
    c = row_of(_alone(d, last, q - 2))
    return row_of(_alone(d, last, 1)), row_of(_alone(d, last, q - 1)), c, (2 * q - 1) / q, (q - 1) / q
