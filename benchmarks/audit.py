"""What the audit of a fit catches, and how often it raises a false alarm.

    python -m benchmarks.audit [--problems 50]

Caught must be, in five variations each: a slope column of the wrong sign, a column in another unit, and rows
that stick out. False alarms are verdicts on the data sets of the project, on the same data with noise, and on
random smooth problems. Printed are the counts, every miss and every false alarm, and the time of the audits.
"""

import argparse
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import swarmnet
from benchmarks.quantities import DEFINE
from swarmnet import MixedData

Array = NDArray[np.float64]
DATA = Path(__file__).parents[1] / "datasets"
NAMES = ["T", "p", "a"], ["u", "h"]  # not in alphabetical order


@dataclass(frozen=True)
class Case:
    """Data, and what the verdict on a column must begin with; no verdict if `wanted` is empty."""

    name: str
    data: MixedData
    wanted: str = ""
    options: tuple[tuple[str, Any], ...] = ()


def drawn(f: Any, d: int, counts: Any, seed: int, noise: float = 0.0, given: bool = False) -> MixedData:
    """One entry a row, `counts` of each column, of outputs f(X) (n, k) with slopes by central differences.

    `noise` is a share of each column's deviation; with `given` it is known as sigma.
    """
    rng = np.random.default_rng(seed)
    counts = np.asarray(counts)  # (k, 1 + d)
    k = len(counts)
    X = rng.uniform(-1, 1, (counts.sum(), d))
    step = 1e-5 * np.eye(d)
    full = np.stack([f(X)] + [(f(X + h) - f(X - h)) / 2e-5 for h in step], axis=2)  # (n, k, 1 + d)
    sigma = noise * np.broadcast_to(full.std(0), full.shape)
    full = full + sigma * rng.normal(size=full.shape)
    column = np.repeat(np.arange(counts.size), counts.ravel())
    seen = (np.arange(counts.size) == rng.permutation(column)[:, None]).reshape(full.shape)
    full = np.where(seen, full, np.nan)
    sigmas = (sigma[..., 0], sigma[..., 1:]) if given else (None, None)
    return MixedData(X, full[..., 0], full[..., 1:], *sigmas, inputs=NAMES[0][:d], outputs=NAMES[1][:k])


def times(data: MixedData, values: Any = 1.0, slopes: Any = 1.0) -> MixedData:
    """The data with values (k,) and slopes (k, d) in other units."""
    values, slopes = np.broadcast_to(values, data.k), np.broadcast_to(slopes, (data.k, data.d))
    Y_sigma = None if data.Y_sigma is None else data.Y_sigma * np.abs(values)
    J_sigma = None if data.J_sigma is None else data.J_sigma * np.abs(slopes)
    return replace(data, Y=data.Y * values, J=data.J * slopes, Y_sigma=Y_sigma, J_sigma=J_sigma)


def parabola(n: int = 15) -> MixedData:
    """x^2 at n points, and -2x, which is not its slope, at n others."""
    x = np.concatenate([np.linspace(-1, 1, n), np.linspace(-0.95, 0.95, n)])[:, None]
    is_value = (np.arange(2 * n) < n)[:, None]
    J = np.where(is_value, np.nan, -2 * x)[:, :, None]
    return MixedData(x, np.where(is_value, x**2, np.nan), J, inputs=["x"], outputs=["y"])


def wave(X: Array) -> Array:
    return np.array([np.sin(2 * X[:, 0]) * np.exp(X[:, 1] / 2) + X[:, 0] * X[:, 1]]).T


def two(X: Array) -> Array:
    return np.column_stack([wave(X)[:, 0], 20 * np.cos(X[:, 0] - X[:, 1]) + 3 * X[:, 1]])


def three(X: Array) -> Array:
    """A function of which the slopes along two inputs determine the third, but for a constant."""
    return np.array([np.exp(X[:, 0]) * X[:, 1] * (1 + X[:, 2]) + np.sin(2 * X[:, 0] * X[:, 2])]).T


def signs() -> Iterator[Case]:
    """Slopes of the wrong sign."""
    yield Case("parabola", parabola(), "dy/dx looks like -1.00 times what the other entries say")
    even, flip = [[15, 15, 15]], [[1, -1]]
    yield Case("two inputs", times(drawn(wave, 2, even, 0), 1, flip), "du/dp looks like -1.0")
    noisy = drawn(wave, 2, [[30, 30, 30]], 1, 0.05)
    yield Case("two inputs, 5 %", times(noisy, 1, [[-1, 1]]), "du/dT looks like -")
    given = drawn(wave, 2, [[30, 30, 30]], 2, 0.01, given=True)
    yield Case("two inputs, sigmas", times(given, 1, [[-1, 1]]), "du/dT looks like -")
    outputs = drawn(two, 2, [[20, 20, 20], [20, 20, 20]], 3)
    yield Case("two outputs", times(outputs, 1, [[1, 1], [1, -1]]), "dh/dp looks like -")
    slopes = drawn(wave, 2, [[0, 50, 60]], 4)
    yield Case("slopes only", times(slopes, 1, [[-1, 1]]), "du/dT looks like -")


def units() -> Iterator[Case]:
    """Columns in another unit."""
    water = swarmnet.read_csv(DATA / "water_enthalpy.csv")
    yield Case("water, dh/dT in J", times(water, 1e-3, [[1, 1e-3]]), "dh/dT looks 1000 times")
    yield Case("water, slopes in J", times(water, 1e-3), "h looks 1000 times too small for dh/dT and dh/dp")
    yield Case("water, twice dh/dT", times(water, 1, [[2, 1]]), "dh/dT looks like 2.00 times")
    noisy = swarmnet.read_csv(DATA / "water_noisy.csv")
    yield Case("noisy water with sigmas", times(noisy, 1e-3, [[1, 1e-3]]), "dh/dT looks 1")
    outputs = drawn(two, 2, [[30, 30, 30], [30, 30, 30]], 5, 0.01)
    yield Case("two outputs, 1 %", times(outputs, [1, 60]), "h looks ")
    slopes = drawn(wave, 2, [[0, 60, 50]], 6, 0.01)
    yield Case("slopes only, 1 %", times(slopes, 1, [[1, 57.3]]), "du/dp looks ")
    x = np.linspace(1, 2, 40)
    frame = {"x": x, "z": np.where(np.arange(40) % 2, x**3, np.nan), "q": 2 * (x**3 + 3 * x**3)}
    data = MixedData.from_frame(pd.DataFrame(frame), define={"q": "z + x*dz/dx"})
    yield Case("a formula, twice", data, "z looks like 0.50 times")


def outliers() -> Iterator[Case]:
    """Rows that stick out."""
    for noise in (0.0, 0.01, 0.05):
        for rows in ([30], [12, 40, 51]):
            x = np.linspace(0, 6, 60)[:, None]
            y = np.sin(x) + noise * np.random.default_rng(0).normal(size=x.shape)
            y[rows] += 100.0
            told = f"{len(rows)} rows stick out" if len(rows) > 1 else "1 row sticks out"
            yield Case(f"sine, {noise:.0%}, {rows}", MixedData(x, y), f"y: {told} by more than")
    data = drawn(two, 2, [[30, 30, 30], [30, 30, 30]], 7, 0.01)
    J = data.J.copy()
    row = int(np.flatnonzero(np.isfinite(J[:, 1, 0]))[3])
    J[row, 1, 0] -= 500.0
    yield Case("a slope of two outputs", replace(data, J=J), "dh/dT: 1 row sticks out by more than")
    given = drawn(wave, 2, [[40, 40, 40]], 8, 0.02, given=True)
    Y = given.Y.copy()
    Y[np.flatnonzero(np.isfinite(Y[:, 0]))[:2]] += 50.0
    yield Case("with sigmas", replace(given, Y=Y), "u: 2 rows stick out by more than")


def clean(problems: int) -> Iterator[Case]:
    """Data with which nothing is wrong but noise."""
    for path in sorted(DATA.glob("*.csv")):
        # These have no value and no derivative of G, only formulas of them
        gibbs = (["T", "p"], ["G"]) if path.stem.startswith("water_properties") else (None, None)
        yield Case(path.name, swarmnet.read_csv(path, *gibbs, define=DEFINE if gibbs[0] else None))
    for noise in (0.01, 0.05, 0.2):
        yield Case(f"wave, {noise:.0%}", drawn(wave, 2, [[30, 30, 30]], 9, noise))
        yield Case(f"two outputs, {noise:.0%}", drawn(two, 2, [[20, 30, 30], [30, 20, 30]], 10, noise))
        yield Case(f"slopes only, {noise:.0%}", drawn(three, 3, [[0, 40, 40, 40]], 11, noise))
    for seed in range(problems):
        yield Case(f"random {seed}", random_problem(seed), options=(("trainer", "lm"), ("hidden", (8,))))


def random_problem(seed: int) -> MixedData:
    """One or two smooth functions of one to three inputs, with 0 to 60 entries of each column and noise."""
    rng = np.random.default_rng(seed)
    d, k = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    A, b, c = rng.normal(size=(k, 3, d)), rng.normal(size=(k, 3)), rng.normal(size=(k, 3))

    def f(X: Array) -> Array:
        u = np.einsum("kmd,nd->nkm", A, X) + b
        return np.asarray((c * np.stack([np.sin(u), np.exp(u / 2), u * u], axis=3).diagonal(0, 2, 3)).sum(2))

    counts = rng.integers(4, 60, (k, 1 + d)) * (rng.random((k, 1 + d)) < 0.8)
    counts[:, 0] = np.maximum(counts[:, 0], 3)
    noise = float(rng.choice([0.0, 0.01, 0.05, 0.2]))
    return drawn(f, d, counts, seed, noise, given=bool(rng.random() < 0.3 and noise > 0))


def verdicts(case: Case) -> tuple[list[str], float]:
    """The verdicts on a case, and the seconds of its fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        model = swarmnet.fit(case.data, **dict(case.options))
        seconds = time.perf_counter() - start
    return [text for text in model.audit["verdict"] if text], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--problems", type=int, default=50, help="how many random ones")
    parser.add_argument("--only", help="cases whose name has this text")
    given = parser.parse_args()
    kinds = {"signs": signs(), "units": units(), "rows": outliers(), "clean": clean(given.problems)}
    for kind, cases in kinds.items():
        count, right = 0, 0
        for case in cases:
            if given.only and given.only not in case.name:
                continue
            found, seconds = verdicts(case)
            good = len(found) == 1 and found[0].startswith(case.wanted) if case.wanted else not found
            count, right = count + 1, right + good
            if case.wanted or not good:
                mark = "ok  " if good else "MISS" if case.wanted else "FALSE ALARM"
                print(f"{mark} {case.name} ({seconds:.1f} s): {'; '.join(found) or 'nothing'}", flush=True)
        print(f"{kind}: {right} of {count} right", flush=True)


if __name__ == "__main__":
    main()
