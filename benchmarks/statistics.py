"""How often a fit at its defaults goes wrong: test errors of many seeds, and the share far above the median.

    python -m benchmarks.statistics [--seeds 200] [--problem noisy] [--data 0] [-o statistics.csv]

A seed draws the data anew and is the seed of the fit. With `--data` that one draws the data of all fits: what
is left is the luck of the training alone. Three small problems, without seconds to limit them:

    waves      two inputs, two periods along each (after Rastrigin); 40 points with value and both partials
    entries    three inputs, a smooth function; 90 rows of one entry each, 30 values and 20 of each partial
    noisy      one input; 20 values and 20 derivatives at different points, with noise of 5 % and 10 %

Points are scrambled Sobol ones. Printed: the median over the seeds of the RMSE at test points without noise,
of the values and of the partials; the largest error over that median; and the share of seeds whose error is
over three times the median, of the values, of the partials, and of either.
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import qmc

import swarmnet
from swarmnet import MixedData

Array = NDArray[np.float64]
Pair = tuple[MixedData, MixedData]
FAR = 3.0  # medians from which a fit has gone wrong
COLUMNS = ("values", "partials")


def points(n: int, d: int, seed: int) -> Array:
    """n points of [-1, 1]^d."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # n is no power of 2
        return np.asarray(2.0 * qmc.Sobol(d, seed=seed).random(n) - 1.0)


def waves(X: Array) -> MixedData:
    Y = (X**2 - np.cos(2 * np.pi * X)).sum(1)
    return MixedData(X, Y, 2 * X + 2 * np.pi * np.sin(2 * np.pi * X))


def draw_waves(seed: int) -> Pair:
    line = np.linspace(-1, 1, 25)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    return waves(points(40, 2, seed)), waves(grid)


def smooth(X: Array) -> MixedData:
    x, y, z = X.T
    bell = np.exp(-(y**2))
    partials = 2 * np.cos(2 * x) * bell + z, -2 * y * np.sin(2 * x) * bell, x + 2 * z
    return MixedData(X, np.sin(2 * x) * bell + x * z + z**2, np.stack(partials, 1))


def draw_entries(seed: int) -> Pair:
    train, test = smooth(points(90, 3, seed)), smooth(points(1000, 3, 10_000 + seed))
    row, kind = np.arange(90), np.random.default_rng(seed).permutation(90) % 9
    Y, J = np.full_like(train.Y, np.nan), np.full_like(train.J, np.nan)
    Y[kind < 3] = train.Y[kind < 3]
    for j in range(3):
        own = row[(kind >= 3) & (kind % 3 == j)]
        J[own, 0, j] = train.J[own, 0, j]
    return MixedData(train.X, Y, J), test


def bend(X: Array) -> MixedData:
    return MixedData(X, np.sin(5 * X) + X**2, 5 * np.cos(5 * X) + 2 * X)


def draw_noisy(seed: int) -> Pair:
    train, rng = bend(points(40, 1, seed)), np.random.default_rng(seed)
    Y = train.Y + 0.05 * train.Y.std() * rng.normal(size=train.Y.shape)
    J = train.J + 0.10 * train.J.std() * rng.normal(size=train.J.shape)
    Y[::2], J[1::2] = np.nan, np.nan
    return MixedData(train.X, Y, J), bend(np.linspace(-1, 1, 200)[:, None])


PROBLEMS: dict[str, Callable[[int], Pair]] = {
    "waves": draw_waves,
    "entries": draw_entries,
    "noisy": draw_noisy,
}


def errors(problem: str, seed: int, data: int) -> dict[str, object]:
    """RMSE of values and of partials at the test points, and what the fit says of itself."""
    train, test = PROBLEMS[problem](data)
    model = swarmnet.fit(train, seed=seed)
    return {
        "problem": problem,
        "seed": seed,
        "values": rms(model.predict(test.X) - test.Y),
        "partials": rms(model.jacobian(test.X) - test.J),
        "log_evidence": model.training["log_evidence"],
        "weights": model.net.size,
        "seconds": model.training["seconds"],
    }


def rms(residuals: Array) -> float:
    return float(np.sqrt(np.mean(residuals**2)))


def summary(table: pd.DataFrame) -> str:
    """One problem's line."""
    ratios = table[list(COLUMNS)] / table[list(COLUMNS)].median()
    cells = ""
    for name in COLUMNS:
        cells += f"{table[name].median():12.2g}{ratios[name].max():9.1f}{(ratios[name] > FAR).mean():8.1%}"
    either = (ratios > FAR).any(axis=1).mean()
    return f"{cells}{either:9.1%}{table['seconds'].median():10.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--problem", choices=PROBLEMS, action="append", help="this one alone")
    parser.add_argument("--data", type=int, help="the seed that draws the data of all fits")
    parser.add_argument("-o", "--output", type=Path, help="write all fits into this file (CSV)")
    given = parser.parse_args()
    print(f"{given.seeds} seeds; errors over {FAR:g} medians")
    header = "".join(f"{name:>12}{'largest':>9}{'over':>8}" for name in COLUMNS)
    print(f"{'':10s}{header}{'either':>9}{'seconds':>10}")
    tables = []
    for problem in given.problem or PROBLEMS:
        drawn = [seed if given.data is None else given.data for seed in range(given.seeds)]
        tables.append(pd.DataFrame([errors(problem, seed, data) for seed, data in enumerate(drawn)]))
        print(f"{problem:10s}{summary(tables[-1])}", flush=True)
        if given.output:
            pd.concat(tables).to_csv(given.output, index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
