"""How often the default chooses as well as hindsight would.

    python -m benchmarks.choice [--functions 20] [--problems water-mixed robot-arm] [-o choice.csv]

Random functions of one to four inputs, smooth or with a front, a ridge or a kink, are given by one entry a
row (a value or a partial, noise of 0 or 2 %). Polynomials, networks and networks with a linear trend are
fitted apart from each other, and then the default, which chooses among polynomials and networks with and
without a linear trend. Printed, for each: 1 - R2 of the values and the median one of the partials on test
points, and two ratios of their geometric mean, of the default to the best in hindsight. The first is to the
best candidate of the same fit: the polynomial, and the fits that the default's error bars contain. The
second is to the best of the three separate fits, which also differ by the luck of their starts. Below: how
often they are at most 3, and their medians.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import swarmnet
from benchmarks.accuracy import partials_unexplained, unexplained
from benchmarks.accuracy_problems import PROBLEMS
from swarmnet import FittedModel, MixedData

Array = NDArray[np.float64]
CANDIDATES = {
    "polynomial": {"hidden": ()},
    "network": {"degree": 0},
    "network with trend": {"degree": 1},
    "default": {},
}
STEP = 1e-20  # of complex steps, whose derivatives are exact but for rounding


def function_of(rng: np.random.Generator, d: int) -> Callable[[Array], Array]:
    """Return a random function of X (n, d), real or complex, with values (n,)."""
    A, c = rng.normal(size=(3, d)) / np.sqrt(d), rng.normal(size=3)
    kind = rng.integers(4)

    def function(X: Array) -> Array:
        u, v, w = (X @ A.T + 0.3 * c).T
        smooth = np.exp(0.7 * u) + np.sin(2.0 * v) / (1.3 + w**2)
        special = (0.0, np.tanh(6.0 * u), np.sqrt(0.02 + v**2), 1.0 / (1.0 + 12.0 * w**2))[kind]
        return np.asarray(smooth + special)

    return function


def random_problem(seed: int) -> tuple[str, MixedData, MixedData]:
    """Return a name, training rows with one entry each, and complete test rows."""
    rng = np.random.default_rng(seed)
    d = int(rng.integers(1, 5))
    function, noise = function_of(rng, d), float(rng.choice([0.0, 0.0, 0.02]))
    test = complete(function, rng.uniform(-1, 1, (1000, d)))
    train = complete(function, rng.uniform(-1, 1, (60 * d, d)))
    entries = np.concatenate([train.Y[:, :, None], train.J], axis=2)
    entries += noise * entries.std(0) * rng.normal(size=entries.shape)
    entries[:, 0][np.arange(1 + d) != rng.integers(1 + d, size=train.n)[:, None]] = np.nan
    name = f"random {seed}: {d} inputs, noise {noise:g}"
    return name, MixedData(train.X, entries[:, :, 0], entries[:, :, 1:]), test


def complete(function: Callable[[Array], Array], X: Array) -> MixedData:
    """Return values and all partials at X (n, d)."""
    steps = STEP * 1j * np.eye(X.shape[1])
    J = np.stack([function(X + step).imag / STEP for step in steps], axis=1)
    return MixedData(X, function(X)[:, None], J[:, None])


def errors(model: FittedModel, test: MixedData) -> tuple[float, float]:
    """Return 1 - R2 of the values, and the median one of the partials that vary."""
    partials = partials_unexplained(model, test)
    return unexplained(model.predict(test.X)[:, 0], test.Y[:, 0]), float(np.median(partials))


def measured(train: MixedData, test: MixedData) -> Iterator[dict[str, object]]:
    """Yield the errors and seconds of each candidate and of the default, and the best of its other fits."""
    for name, options in CANDIDATES.items():
        start = time.perf_counter()
        model = swarmnet.fit(train, **options)
        seconds = time.perf_counter() - start
        others = [replace(model, net=o.net, theta=o.theta, others=(), spread=None) for o in model.others]
        values, partials = errors(model, test)
        yield {
            "candidate": name,
            "model": repr(model.net),
            "values": values,
            "partials": partials,
            "best other": min((np.prod(errors(other, test)) ** 0.5 for other in others), default=np.inf),
            "seconds": seconds,
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--functions", type=int, default=20)
    parser.add_argument("--problems", nargs="*", default=[])
    parser.add_argument("-o", "--output")
    given = parser.parse_args()
    problems = [random_problem(seed) for seed in range(given.functions)]
    problems += [(p.name, *p.draw(0)) for p in PROBLEMS if p.name in given.problems]
    rows = []
    for name, train, test in problems:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", swarmnet.SwarmnetWarning)
            found = pd.DataFrame(measured(train, test)).assign(problem=name).set_index("candidate")
        error = np.sqrt(found["values"] * found["partials"])
        own, apart = error["default"], error.drop("default")
        ratios = {
            "same fit": own / min(own, apart["polynomial"], found.loc["default", "best other"]),
            "separate fits": own / apart.min(),
        }
        told = ", ".join(f"{ratio:.2g} ({which})" for which, ratio in ratios.items())
        print(f"{name}: default is {told} times the best")
        print(found.drop(columns="problem").to_string(float_format="{:.2g}".format), flush=True)
        rows.append(found.reset_index().assign(**ratios))
    table = pd.concat(rows)
    for which in ratios:
        first = table.groupby("problem")[which].first()
        print(f"{which}: at most 3 times the best: {(first <= 3).mean():.0%} of {len(first)}; ", end="")
        print(f"median {first.median():.2g}")
    if given.output:
        table.to_csv(given.output, index=False)


if __name__ == "__main__":
    main()
