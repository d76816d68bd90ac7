"""How much wild entries harm a fit with Gaussian noise, and one with Student's t.

    pip install ".[bench]"
    python -m benchmarks.outliers [--seeds 3] [--seconds 30] [--share 0.05]

To a share of all entries, values and partials alike, ten times the range of their column is added or
subtracted. swarmnet at its defaults, except that the robot arm's network is given, is trained on the clean
and on the spoilt data with both kinds of noise, for up to so many seconds a fit. Printed: the test RMSE of
the values, and that of the partials (each over the root mean square of its column, their mean), medians over
the seeds; and their ratios to a Gaussian fit of the clean data. The last row is the best to be hoped for: a
Gaussian fit without the spoilt entries.
"""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from smt.problems import RobotArm

import swarmnet
from benchmarks.accuracy_problems import Array, Pair, draw_rastrigin, draw_smt, draw_water
from benchmarks.noise import rms
from swarmnet import MixedData
from swarmnet.fitting.options import NOISE, Hidden

RANGES = 10.0


@dataclass(frozen=True)
class Case:
    """A problem, and the hidden layers where their choice would take minutes."""

    name: str
    draw: Callable[[int], Pair]
    hidden: Hidden = "auto"


CASES = (
    Case("rastrigin, 100 full rows", draw_rastrigin),
    Case("water, 200 rows of one entry", draw_water),
    Case("robot arm, 100 full rows", partial(draw_smt, RobotArm(ndim=4), 100), (12, 12, 12)),
)


def spoilt(data: MixedData, share: float, seed: int) -> tuple[MixedData, MixedData]:
    """Move a share of all entries by ten times the range of their column; and the others alone."""
    rng = np.random.default_rng([seed, 3])
    numbers = np.concatenate([data.Y, data.J.reshape(data.n, -1)], axis=1)
    rows, columns = np.nonzero(~np.isnan(numbers))
    chosen = rng.choice(len(rows), round(share * len(rows)), replace=False)
    span = np.nanmax(numbers, axis=0) - np.nanmin(numbers, axis=0)

    def moved(by: Array) -> MixedData:
        found = numbers.copy()
        found[rows[chosen], columns[chosen]] += by
        Y, J = np.split(found, [data.k], axis=1)
        return replace(data, Y=Y, J=J.reshape(data.J.shape))

    far = RANGES * rng.choice([-1.0, 1.0], len(chosen)) * span[columns[chosen]]
    return moved(far), moved(np.full(len(chosen), np.nan))


def errors(data: MixedData, test: MixedData, **options: Any) -> dict[str, float]:
    """Test RMSE of a model with these options."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = swarmnet.fit(data, **options)
        values, partials = model.predict(test.X), model.jacobian(test.X)
    scale = rms(test.J)
    seen = scale > 1e-9 * scale.max()  # a partial of the robot arm is zero everywhere
    relative: Array = rms(partials - test.J)[seen] / scale[seen]
    return {"values": float(rms(values - test.Y)[0]), "partials": float(relative.mean())}


def measured(case: Case, given: argparse.Namespace) -> pd.DataFrame:
    """The medians over the seeds, with the ratios to the first row, a Gaussian fit of clean data."""
    rows = []
    for seed in range(given.seeds):
        clean, test = case.draw(seed)
        wild, rest = spoilt(clean, given.share, seed)
        both = product({"clean": clean, "spoilt": wild}.items(), NOISE)
        for (name, data), noise in (*both, (("without them", rest), NOISE[0])):
            options = {"hidden": case.hidden, "seconds": given.seconds, "noise": noise}
            found = errors(data, test, seed=seed, **options)
            rows.append({"data": name, "noise": noise} | found)
    medians = pd.DataFrame(rows).groupby(["data", "noise"], sort=False).median()
    return medians.join((medians / medians.iloc[0]).add_suffix(", ratio")).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each fit")
    parser.add_argument("--share", type=float, default=0.05, help="of the entries that are spoilt")
    given = parser.parse_args()
    for case in CASES:
        table = measured(case, given).to_string(index=False, float_format="{:.4g}".format)
        print(f"\n{case.name}\n{table}", flush=True)


if __name__ == "__main__":
    main()
