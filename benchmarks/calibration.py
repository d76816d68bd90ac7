"""Whether the reported standard deviations are as large as the errors are.

    pip install ".[bench]"
    python -m benchmarks.calibration [--seeds 5]

Noise of known size (none, 1, 5 or 20 %) is added to the values and to the derivatives, a share of each
column's root mean square (the values less their mean); swarmnet is not told of it. Printed: the share of
unseen true values and true derivatives that lie within two reported standard deviations, over all seeds,
beside the 95.4 % that Gaussian errors of just that size would have; and the reported deviation over the
error, both root mean square, and both as medians (1.48 for Gaussian errors).
"""

import argparse
import warnings

import numpy as np
from numpy.typing import NDArray

import swarmnet
from benchmarks.accuracy_problems import PROBLEMS
from benchmarks.noise import CASES, Case, rms
from swarmnet import MixedData

LEVELS = (0.0, 0.01, 0.05, 0.20)
MIXED = [
    Case(f"{p.name}, one entry a row", p.draw) for p in PROBLEMS if p.name in ("seawater", "option", "trimer")
]
Array = NDArray[np.float64]


def with_noise(data: MixedData, level: float, seed: int) -> MixedData:
    rng = np.random.default_rng([seed, 3])
    Y_size = level * np.nanstd(data.Y, axis=0)
    J_size = level * rms(data.J)
    Y = data.Y + Y_size * rng.normal(size=data.Y.shape)
    return MixedData(data.X, Y, data.J + J_size * rng.normal(size=data.J.shape))


def shares(case: Case, level: float, seed: int) -> list[tuple[Array, Array]]:
    """Errors and reported deviations at the test points, of the values and of the derivatives.

    Each column is in units of its own size, so that a root mean square over all of them is of some use.
    A derivative that is zero everywhere has no such unit and is left out.
    """
    train, test = case.data(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = swarmnet.fit(with_noise(train, level, seed), seed=seed)
    Y, Y_std = model.predict(test.X, return_std=True)
    J, J_std = model.jacobian(test.X, return_std=True)
    size = rms(test.J)
    seen = size > 1e-9 * size.max()
    y_size = test.Y.std(0)
    return [
        ((Y - test.Y) / y_size, Y_std / y_size),
        ((J - test.J)[:, seen] / size[seen], J_std[:, seen] / size[seen]),
    ]


def show(case: Case, seeds: int) -> None:
    print(f"\n{case.name}, {seeds} seeds")
    heads = "".join(
        f"{kind + ' within 2':>20}{'std/error':>11}{'medians':>9}" for kind in ("values", "partials")
    )
    print(f"  {'noise':8s}{heads}")
    for level in LEVELS:
        runs = [shares(case, level, seed) for seed in range(seeds)]
        cells = ""
        for kind in (0, 1):
            error = np.abs(np.concatenate([run[kind][0].ravel() for run in runs]))
            std = np.concatenate([run[kind][1].ravel() for run in runs])
            within = np.mean(error <= 2 * std)
            cells += f"{within:>20.1%}{rms(std) / rms(error):11.2f}{np.median(std) / np.median(error):9.2f}"
        print(f"  {level:<8.0%}{cells}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    given = parser.parse_args()
    print("the share that Gaussian errors of the reported size would have within two deviations: 95.4 %")
    for case in (*CASES, *MIXED):
        show(case, given.seeds)


if __name__ == "__main__":
    main()
