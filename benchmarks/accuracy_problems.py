"""The problems that the accuracy of swarmnet and its peers is measured on.

A problem is drawn by a seed: training data, and test data that nobody trains on. Derivatives are exact,
except where the training targets are random by nature (the basket option's).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
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
    Problem("airfoil", draw_airfoil, (16, 12, 12), heavy=True),
)
