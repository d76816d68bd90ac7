"""How many measurements `swarmnet.suggest` saves.

    python -m benchmarks.suggest [--seeds 10] [--problems oscillation anisotropic] [-o suggest.csv]

Four functions are learnt from one entry at a time, with noise of 0.1 % of the column's spread: two from
values, two from values and partials. Each seed begins with 8 entries of a Latin hypercube, fits a polynomial
of the degree that it supports (`hidden=()`), and adds two entries at a time until the test error of the
values is at most 1 % of their spread, or there are 60 entries. Compared are points that `suggest` chooses
among 512 quasi-random ones, random points, and a new Latin hypercube of each size; the latter two take the
columns in turn. Printed: the median number of entries over the seeds, and the medians of its ratio to that of
random points and Latin hypercubes for the same seed. A run that ends with 60 entries counts as 62.
"""

import argparse
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import qmc

import swarmnet
from swarmnet import FittedModel, MixedData

Array = NDArray[np.float64]
NOISE, GOAL = 1e-3, 1e-2
STEP = 1e-20  # of complex steps, whose derivatives are exact but for rounding
FIRST, MORE, MOST = 8, 2, 60
STRATEGIES = ("suggested", "random", "latin hypercube")


@dataclass(frozen=True)
class Problem:
    """A function of d inputs from 0 to 1, and whether its partials can be measured beside its values."""

    name: str
    function: Callable[[Array], Array]
    d: int
    partials: bool

    @property
    def columns(self) -> list[str]:
        slopes = [f"dy/dx{j + 1}" for j in range(self.d)] if self.partials else []
        return ["y", *slopes]

    def entries(self, X: Array) -> Array:
        """Return the exact columns (n, columns) at X (n, d)."""
        steps = STEP * 1j * np.eye(self.d)
        slopes = [self.function(X + step).imag / STEP for step in steps]
        return np.column_stack([self.function(X), *slopes])[:, : len(self.columns)]

    @property
    def tested(self) -> tuple[Array, Array]:
        X = np.random.default_rng(0).uniform(size=(1000, self.d))
        return X, self.entries(X)


PROBLEMS = (
    Problem("oscillation", lambda X: np.sin(7.0 * X[:, 0] ** 2), 1, False),
    Problem("anisotropic", lambda X: np.sin(6.0 * X[:, 0]) + 0.3 * X[:, 1] ** 2, 2, False),
    Problem("damped wave", lambda X: np.exp(-3.0 * X[:, 0]) * np.sin(12.0 * X[:, 0]), 1, True),
    Problem(
        "exponential",
        lambda X: np.exp(1.5 * X[:, 0]) * np.cos(2.0 * X[:, 1]) + X[:, 0] ** 2 * X[:, 1],
        2,
        True,
    ),
)


class Laboratory:
    """Measures entries of a problem with noise."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem = problem
        self.test_X, self.test = problem.tested
        self._spread = self.test.std(0)
        self.rng = np.random.default_rng([seed, 1])

    def measured(self, X: Array, columns: list[str]) -> MixedData:
        """Return one entry a point of X (n, d)."""
        found = self.problem.entries(X)
        found += NOISE * self._spread * self.rng.normal(size=found.shape)
        number = np.array([self.problem.columns.index(name) for name in columns])
        found[np.arange(found.shape[1]) != number[:, None]] = np.nan
        return MixedData(X, found[:, :1], found[:, None, 1:] if self.problem.partials else None)

    def in_turn(self, first: int, n: int) -> list[str]:
        """Return the columns of entries `first` to first + n."""
        names = self.problem.columns
        return [names[i % len(names)] for i in range(first, first + n)]

    def hypercube(self, n: int, seed: int) -> MixedData:
        points = qmc.LatinHypercube(self.problem.d, seed=seed).random(n)
        return self.measured(points, self.in_turn(0, n))

    def error(self, model: FittedModel) -> float:
        """Return the test error of the values, relative to their spread."""
        wrong = model.predict(self.test_X)[:, 0] - self.test[:, 0]
        return float(np.sqrt(np.mean(wrong**2)) / self._spread[0])


def entries_needed(problem: Problem, strategy: str, seed: int) -> int:
    """Return with how many entries the goal is reached."""
    laboratory = Laboratory(problem, seed)
    corners = qmc.Sobol(problem.d, scramble=True, seed=seed).random(512)
    candidates = np.clip(0.5 + 1.5 * (corners - 0.5), 0.0, 1.0)
    data = laboratory.hypercube(FIRST, seed)
    while True:
        model = swarmnet.fit(data, hidden=(), seed=seed)
        if laboratory.error(model) <= GOAL:
            return data.n
        n = data.n + MORE
        if n > MOST:
            return n
        if strategy == "latin hypercube":
            data = laboratory.hypercube(n, 1000 * (seed + 1) + n)
            continue
        if strategy == "suggested":
            found = swarmnet.suggest(model, MORE, candidates, problem.columns)
            X, columns = found[list(model.inputs)].to_numpy(), list(found["entry"])
        else:
            X, columns = laboratory.rng.uniform(size=(MORE, problem.d)), laboratory.in_turn(data.n, MORE)
        data = MixedData.concat([data, laboratory.measured(X, columns)])


def measured(problem: Problem, seeds: int) -> Iterator[dict[str, object]]:
    """Yield the entries needed of each strategy, a row a seed."""
    for seed in range(seeds):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", swarmnet.SwarmnetWarning)
            counts = {strategy: entries_needed(problem, strategy, seed) for strategy in STRATEGIES}
        yield {"problem": problem.name, "seed": seed} | counts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--problems", nargs="*", default=[problem.name for problem in PROBLEMS])
    parser.add_argument("-o", "--output")
    given = parser.parse_args()
    tables = []
    for problem in PROBLEMS:
        if problem.name in given.problems:
            table = pd.DataFrame(measured(problem, given.seeds))
            ratios = {f"to {name}": table["suggested"] / table[name] for name in STRATEGIES[1:]}
            tables.append(table.assign(**ratios))
            medians = tables[-1][[*STRATEGIES, *ratios]].median()
            told = ", ".join(f"{name} {number:.3g}" for name, number in medians.items())
            print(f"{problem.name} ({', '.join(problem.columns)}): {told}", flush=True)
    whole = pd.concat(tables)
    for name in STRATEGIES[1:]:
        print(f"all, to {name}: {whole[f'to {name}'].median():.2f}")
    if given.output:
        whole.to_csv(given.output, index=False)


if __name__ == "__main__":
    main()
