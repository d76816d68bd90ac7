"""Whether two reported standard deviations hold the truth where few data are: at the middle and at the edges.

    pip install ".[bench]"
    python -m benchmarks.coverage [--seeds 100] [--trainer hybrid] [--hidden auto]

Functions of one input that are flat, straight and curved, and one of three inputs, from 12 to 60 noisy
points: values alone, or values and slopes by turns; with the noise told as sigmas, or to be estimated.
Printed: the share of seeds whose value, and then whose slopes, lie within two deviations of the truth, at
each of the places. Of Gaussian errors it would be 95.4 %.
"""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import swarmnet
from swarmnet import MixedData

Array = NDArray[np.float64]
NOISE = 0.2


@dataclass(frozen=True)
class Case:
    """A function: values (n, 1) and slopes (n, 1, d) at X (n, d), the points of a seed, and where to ask."""

    name: str
    values: Callable[[Array], Array]
    slopes: Callable[[Array], Array]
    points: Callable[[np.random.Generator], Array]
    places: Array


def line(n: int) -> Callable[[np.random.Generator], Array]:
    return lambda rng: np.linspace(-1.0, 1.0, n)[:, None]


ENDS = np.array([[-1.0], [0.0], [1.0]])
CASES = (
    Case("flat", lambda X: 5.0 + 0.0 * X, lambda X: 0.0 * X[:, :, None], line(20), ENDS),
    Case("straight", lambda X: 1.0 + 2.0 * X, lambda X: 2.0 + 0.0 * X[:, :, None], line(12), ENDS),
    Case("curved", lambda X: np.sin(3.0 * X), lambda X: 3.0 * np.cos(3.0 * X)[:, :, None], line(25), ENDS),
    Case(
        "three inputs",
        lambda X: X[:, :1] + np.sin(2.0 * X[:, 1:2]) * X[:, 2:] + X[:, 2:] ** 2,
        lambda X: np.stack(
            [np.ones(len(X)), 2.0 * np.cos(2.0 * X[:, 1]) * X[:, 2], np.sin(2.0 * X[:, 1]) + 2.0 * X[:, 2]], 1
        )[:, None],
        lambda rng: rng.uniform(-1.0, 1.0, (60, 3)),
        np.array([[-0.8, -0.8, -0.8], [0.0, 0.0, 0.0], [0.8, 0.8, 0.8], [0.8, -0.8, 0.0]]),
    ),
)


def draw(case: Case, told: bool, slopes: bool, rng: np.random.Generator) -> MixedData:
    X = case.points(rng)
    Y = case.values(X) + NOISE * rng.normal(size=(len(X), 1))
    J = case.slopes(X) + NOISE * rng.normal(size=case.slopes(X).shape)
    if slopes:
        Y[1::2], J[::2] = np.nan, np.nan
    sigmas = {"Y_sigma": np.full(Y.shape, NOISE), "J_sigma": np.full(J.shape, NOISE)} if told else {}
    return MixedData(X, Y, J if slopes else None, **(sigmas if slopes else dict(list(sigmas.items())[:1])))


def held(case: Case, told: bool, slopes: bool, seed: int, options: dict[str, object]) -> tuple[Array, Array]:
    """Whether the value at each place lies within two deviations, and the share of its slopes."""
    data = draw(case, told, slopes, np.random.default_rng(seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = swarmnet.fit(data, seed=seed, **options)  # type: ignore[arg-type]
    (Y, Y_std), (J, J_std) = (ask(case.places, return_std=True) for ask in (model.predict, model.jacobian))
    inside = np.abs(J - case.slopes(case.places)) <= 2.0 * J_std + 1e-9
    return (np.abs(Y - case.values(case.places)) <= 2.0 * Y_std)[:, 0], inside.mean((1, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--trainer", default="hybrid", help="hybrid or lm")
    parser.add_argument("--hidden", default="auto", help="units of each hidden layer, such as 8 or 8,8")
    parser.add_argument("--cases", default=",".join(case.name for case in CASES), help="which functions")
    given = parser.parse_args()
    hidden = "auto" if given.hidden == "auto" else [int(units) for units in given.hidden.split(",")]
    options = {"trainer": given.trainer, "hidden": hidden}
    for case in CASES:
        if case.name not in given.cases.split(","):
            continue
        for told in (True, False):
            for slopes in (False, True):
                runs = [held(case, told, slopes, seed, options) for seed in range(given.seeds)]
                values, partials = (np.mean([run[kind] for run in runs], axis=0) for kind in (0, 1))
                kinds = f"{'sigmas' if told else 'no sigmas'}, values{' and slopes' if slopes else ''}"
                shares = "  ".join(
                    " ".join(f"{share:4.0%}" for share in found) for found in (values, partials)
                )
                print(f"{case.name:14s}{kinds:30s}{shares}", flush=True)


if __name__ == "__main__":
    main()
