"""The problems that the accuracy of swarmnet and its peers is measured on.

A problem is drawn by a seed: training data, and test data that nobody trains on. Derivatives are exact,
except where the training targets are random by nature (the basket option's).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy import polyval
from numpy.typing import NDArray
from scipy.stats import norm
from smt.examples.airfoil_parameters.learning_airfoil_parameters import load_cd_training_data
from smt.problems import RobotArm, Rosenbrock, WaterFlow, WingWeight
from smt.problems.problem import Problem as SmtProblem
from smt.sampling_methods import LHS

from swarmnet import MixedData, read_csv

Array = NDArray[np.float64]
Pair = tuple[MixedData, MixedData]
DATASETS = Path(__file__).parents[1] / "datasets"


@dataclass(frozen=True)
class Problem:
    """A name, what a seed draws (training data and test data), and the hidden layers where they are given."""

    name: str
    draw: Callable[[int], Pair]
    hidden: tuple[int, ...] | None = None
    heavy: bool = False


def rastrigin(X: Array) -> MixedData:
    wave = 2 * np.pi * X
    Y = (X**2 - 10 * np.cos(wave)).sum(1) + 20
    return MixedData(X, Y, 2 * X + 20 * np.pi * np.sin(wave))


def draw_rastrigin(seed: int) -> Pair:
    """JENN's second demo: 100 uniform points; the test is a 30 x 30 grid."""
    line = np.linspace(-1, 1.5, 30)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    return rastrigin(np.random.default_rng(seed).uniform(-1, 1.5, (100, 2))), rastrigin(grid)


def smt_data(problem: SmtProblem, X: Array) -> MixedData:
    with np.errstate(all="ignore"):  # RobotArm changes the global setting; this puts it back
        J = np.stack([problem(X, kx=j) for j in range(X.shape[1])], axis=2)
        return MixedData(X, problem(X), J)


def draw_smt(problem: SmtProblem, points: int, seed: int) -> Pair:
    """A Latin hypercube, as in SMT's own examples; the test points are 1,000 at random."""
    low, high = problem.xlimits.T
    X = LHS(xlimits=problem.xlimits, criterion="ese", seed=seed)(points)
    test = np.random.default_rng([seed, 1]).uniform(low, high, (1000, len(low)))
    return smt_data(problem, X), smt_data(problem, test)


class Basket:
    """A call on a basket of Bachelier assets, after Huge and Savine, Differential Machine Learning.

    The spots at the first date are drawn more widely than the model would, so that there are points in the
    wings. The targets are the payoffs at the second date, one antithetic pair of paths a point, and
    their pathwise derivatives: both are right on average, and neither is exact.
    """

    strike, volatility, widening = 1.10, 0.2, 1.5

    def __init__(self, assets: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        factors = rng.uniform(-1, 1, (2 * assets, assets))
        covariance = factors.T @ factors
        deviations = np.sqrt(np.diag(covariance))
        correlation = covariance / np.outer(deviations, deviations)
        weights = rng.uniform(1, 10, assets)
        self.weights: Array = weights / weights.sum()
        vols = rng.uniform(5, 50, assets)
        weighted = self.weights * vols
        vols *= self.volatility / np.sqrt(weighted @ correlation @ weighted)
        self.root: Array = np.linalg.cholesky(correlation * np.outer(vols, vols))

    def spots(self, n: int, rng: np.random.Generator) -> Array:
        normals = rng.normal(size=(n, len(self.weights)))
        return 1.0 + self.widening * normals @ self.root.T

    def sample(self, n: int, rng: np.random.Generator) -> MixedData:
        X = self.spots(n, rng)
        step = rng.normal(size=X.shape) @ self.root.T
        ends = [(X + sign * step) @ self.weights - self.strike for sign in (1, -1)]
        payoff = np.mean([np.maximum(end, 0) for end in ends], axis=0)
        inside = np.mean([end > 0 for end in ends], axis=0)
        return MixedData(X, payoff, inside[:, None] * self.weights)

    def exact(self, X: Array) -> MixedData:
        forward = X @ self.weights - self.strike
        d = forward / self.volatility
        price = forward * norm.cdf(d) + self.volatility * norm.pdf(d)
        return MixedData(X, price, norm.cdf(d)[:, None] * self.weights)


def draw_basket(seed: int) -> Pair:
    """4,096 points to train on; the exact prices and deltas at 4,096 others of the same distribution."""
    basket, rng = Basket(7), np.random.default_rng(seed)
    train = basket.sample(4096, rng)
    return train, basket.exact(basket.spots(4096, rng))


@cache
def airfoil() -> MixedData:
    X, Y, J = (np.asarray(a, np.float64) for a in load_cd_training_data())
    return MixedData(X, Y, J)


def draw_airfoil(seed: int) -> Pair:
    """80 % to train on, 20 % to test."""
    data = airfoil()
    order = np.random.default_rng(seed).permutation(data.n)
    tests = data.n // 5
    return data.take(order[tests:]), data.take(order[:tests])


def draw_water(seed: int) -> Pair:
    """One entry a row; the data are the same for every seed."""
    return read_csv(DATASETS / "water_enthalpy.csv"), read_csv(DATASETS / "water_enthalpy_test.csv")


def one_entry_a_row(data: MixedData, values: int, rng: np.random.Generator) -> MixedData:
    """Of complete data, `values` rows with the value alone, the others with one partial each, in turn."""
    columns = np.r_[np.zeros(values, int), 1 + np.arange(data.n - values) % data.d]
    seen = rng.permutation(columns)[:, None] == np.arange(data.d + 1)
    return MixedData(
        data.X, np.where(seen[:, :1], data.Y, np.nan), np.where(seen[:, None, 1:], data.J, np.nan)
    )


def draw_mixed(formula: Callable[[Array], MixedData], box: Array, rows: int, values: int, seed: int) -> Pair:
    """A Latin hypercube of single entries; the test data are complete, 1,000 points at random."""
    rng = np.random.default_rng([seed, 1])
    X = LHS(xlimits=box, criterion="ese", seed=seed)(rows)
    test = rng.uniform(*box.T, (1000, len(box)))
    return one_entry_a_row(formula(X), values, rng), formula(test)


def complex_step(f: Callable[[NDArray[np.complex128]], NDArray[np.complex128]], X: Array) -> MixedData:
    """f at X (n, d) and its partials, exact but for rounding: Squire and Trapp, SIAM Review 40 (1998)."""
    steps = 1e-100j * np.eye(X.shape[1])
    return MixedData(X, f(X + 0j).real, np.stack([f(X + step).imag / 1e-100 for step in steps], axis=1))


def seawater_density(X: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """In kg/m3, of salinity (PSS-78), temperature (degrees C, IPTS-68) and pressure above the air's (bar).

    The equation of state EOS-80: Fofonoff and Millard, Unesco Technical Papers in Marine Science 44 (1983).
    """
    S, T, p = X.T
    root = S * np.sqrt(S)
    water = polyval([6.536332e-9, -1.120083e-6, 1.001685e-4, -9.095290e-3, 6.793952e-2, 999.842594], T)
    linear = polyval([5.3875e-9, -8.2467e-7, 7.6438e-5, -4.0899e-3, 8.24493e-1], T)
    surface = water + linear * S + polyval([-1.6546e-6, 1.0227e-4, -5.72466e-3], T) * root + 4.8314e-4 * S**2
    modulus = (
        polyval([-5.155288e-5, 1.360477e-2, -2.327105, 148.4206, 19652.21], T)
        + polyval([-6.1670e-5, 1.09987e-2, -0.603459, 54.6746], T) * S
        + polyval([-5.3009e-4, 1.6483e-2, 7.944e-2], T) * root
    )
    modulus += p * (
        polyval([-5.77905e-7, 1.16092e-4, 1.43713e-3, 3.239908], T)
        + polyval([-1.6078e-6, -1.0981e-5, 2.2838e-3], T) * S
        + 1.91075e-4 * root
    )
    modulus += p**2 * (
        polyval([5.2787e-8, -6.12293e-6, 8.50935e-5], T) + polyval([9.1697e-10, 2.0816e-8, -9.9348e-7], T) * S
    )
    return surface / (1 - p / modulus)


def option(X: Array) -> MixedData:
    """A call of strike 100 at an interest of 2 %: spot, volatility, years left; delta, vega and -theta.

    Black and Scholes, Journal of Political Economy 81, 637 (1973).
    """
    spot, volatility, years = X.T
    rate, strike, spread = 0.02, 100.0, volatility * np.sqrt(years)
    d = (np.log(spot / strike) + rate * years) / spread + spread / 2
    discounted = strike * np.exp(-rate * years) * norm.cdf(d - spread)
    vega = spot * norm.pdf(d) * np.sqrt(years)
    decay = vega * volatility / (2 * years) + rate * discounted
    return MixedData(X, spot * norm.cdf(d) - discounted, np.stack([norm.cdf(d), vega, decay], axis=1))


def trimer_energy(X: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Of three atoms by distances, in units of a pair's depth and distance; forces are minus its partials.

    Pair potentials of Morse, Physical Review 34, 57 (1929), with the curvature of Lennard-Jones's; and the
    triple-dipole term of Axilrod and Teller, J. Chem. Phys. 11, 299 (1943), as strong as argon's.
    """
    decay = np.exp(-6 * (X - 1))
    squares = X**2
    cosines = [
        (squares[:, i] + squares[:, j] - squares[:, k]) / (2 * X[:, i] * X[:, j])
        for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1))
    ]
    triple = 0.025 * (1 + 3 * np.prod(cosines, axis=0)) / np.prod(X, axis=1) ** 3
    return (decay * (decay - 2)).sum(1) + triple


SEAWATER = np.array([[1.0, 40.0], [0.0, 30.0], [0.0, 1000.0]])
NEAR_EXPIRY = np.array([[80.0, 120.0], [0.1, 0.5], [0.05, 0.5]])
DISTANCES = np.array([[0.9, 1.6]] * 3)  # always a triangle: two of the least are longer than the greatest


def smt_problem(name: str, problem: SmtProblem, points: int) -> Problem:
    return Problem(name, partial(draw_smt, problem, points))


# SMT's arm of one segment (two inputs) is y = x1, whose other partial is zero: two segments are the least
# that make a problem.
PROBLEMS = (
    Problem("rastrigin", draw_rastrigin, (24, 24)),
    Problem("basket", draw_basket),
    smt_problem("rosenbrock", Rosenbrock(ndim=2), 40),
    smt_problem("robot-arm", RobotArm(ndim=4), 100),
    smt_problem("wing-weight", WingWeight(), 100),
    smt_problem("water-flow", WaterFlow(), 80),
    Problem("water-mixed", draw_water),
    Problem("seawater", partial(draw_mixed, partial(complex_step, seawater_density), SEAWATER, 120, 12)),
    Problem("option", partial(draw_mixed, option, NEAR_EXPIRY, 200, 20)),
    Problem("trimer", partial(draw_mixed, partial(complex_step, trimer_energy), DISTANCES, 150, 15)),
    Problem("airfoil", draw_airfoil, (16, 12, 12), heavy=True),
)
