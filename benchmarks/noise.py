"""How noise on the derivatives alone changes what they are worth.

    pip install ".[bench]"
    python -m benchmarks.noise [--seeds 5] [--picture noise.png] [-o noise.csv]

The values are exact; every derivative has Gaussian noise of 0, 1, 5 or 20 % of its column's root mean square.
swarmnet at its defaults is trained on values and derivatives, and, as the control, on the same values
without the derivatives (with a network as wide as they support). Printed: the test RMSE of the values, and
that of the partials (each over the root mean square of its column, their mean), medians over the seeds; and
the ratio to the control. Below 1 the derivatives help.
"""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from smt.problems import RobotArm, WingWeight

import swarmnet
from benchmarks.accuracy_problems import Pair, draw_rastrigin, draw_smt
from swarmnet import MixedData

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

LEVELS = (0.0, 0.01, 0.05, 0.20)
STYLES = (("o", "#0072B2"), ("s", "#D55E00"), ("^", "#009E73"))


@dataclass(frozen=True)
class Case:
    """A problem, with all partials at every point ("full") or one of them, in turn, beside few values."""

    name: str
    draw: Callable[[int], Pair]
    values: int | None = None

    def data(self, seed: int) -> Pair:
        train, test = self.draw(seed)
        return (train if self.values is None else thinned(train, self.values)), test


def thinned(data: MixedData, values: int) -> MixedData:
    """The first rows keep their value alone, the others one partial each."""
    Y, J = data.Y.copy(), np.full_like(data.J, np.nan)
    rows = np.arange(values, data.n)
    Y[rows] = np.nan
    inputs = rows % data.d
    J[rows, :, inputs] = data.J[rows, :, inputs]
    return MixedData(data.X, Y, J)


CASES = (
    Case("robot-arm, 100 full rows", lambda seed: draw_smt(RobotArm(ndim=4), 100, seed)),
    Case("wing-weight, 40 values, 200 partials", lambda seed: draw_smt(WingWeight(), 240, seed), 40),
    Case("rastrigin, 100 full rows", draw_rastrigin),
)


def rms(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root mean square of each column over what was observed."""
    return np.sqrt(np.nanmean(columns**2, axis=0))


def with_noise(data: MixedData, level: float, seed: int) -> MixedData:
    noise = np.random.default_rng([seed, 2]).normal(size=data.J.shape)
    return MixedData(data.X, data.Y, data.J + level * rms(data.J) * noise)


def errors(data: MixedData, test: MixedData, seed: int) -> dict[str, float]:
    """Test RMSE of a model at its defaults; a partial that is zero everywhere is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = swarmnet.fit(data, seed=seed)
    scale = rms(test.J)
    seen = scale > 1e-9 * scale.max()
    relative = rms(model.jacobian(test.X) - test.J)[seen] / scale[seen]
    return {"values": float(rms(model.predict(test.X) - test.Y)[0]), "partials": float(relative.mean())}


def measured(case: Case, seeds: int) -> pd.DataFrame:
    """The medians over the seeds, a row a noise level; the last row is the control, without derivatives."""
    rows = []
    for seed in range(seeds):
        train, test = case.data(seed)
        for level in LEVELS:
            rows.append({"noise": f"{level:.0%}"} | errors(with_noise(train, level, seed), test, seed))
        rows.append({"noise": "no derivatives"} | errors(train.values_only(), test, seed))
    medians = pd.DataFrame(rows).groupby("noise", sort=False).median()
    control = medians.loc["no derivatives"]
    ratios = (medians / control).add_suffix(", ratio")
    return medians.join(ratios).reset_index()


def show(case: Case, table: pd.DataFrame) -> None:
    print(f"\n{case.name}")
    print(f"  {'noise':16s}{'values':>12}{'ratio':>9}{'partials':>12}{'ratio':>9}")
    for row in table.to_dict("records"):
        print(
            f"  {row['noise']:16s}{row['values']:12.4g}{row['values, ratio']:9.3f}"
            f"{row['partials']:12.4g}{row['partials, ratio']:9.3f}",
            flush=True,
        )


def picture(tables: dict[str, pd.DataFrame], path: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.6), sharey=True, layout="constrained")
    for axis, measure in zip(axes, ("values", "partials"), strict=True):
        curves(axis, tables, measure)
    axes[0].set_ylabel("test RMSE over that without derivatives")
    figure.supxlabel("noise of the derivatives, share of their root mean square", fontsize="medium")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def curves(axis: Axes, tables: dict[str, pd.DataFrame], measure: str) -> None:
    axis.axhline(1.0, color="0.4", linestyle="--", linewidth=1)
    for (name, table), (marker, colour) in zip(tables.items(), STYLES, strict=False):
        noisy = table.iloc[:-1]
        axis.plot(noisy["noise"], noisy[f"{measure}, ratio"], marker=marker, color=colour, label=name)
    axis.set(yscale="log", title=measure)
    axis.grid(color="0.9")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--picture", type=Path, help="draw the ratios into this file")
    parser.add_argument("-o", "--output", type=Path, help="write the tables into this file (CSV)")
    given = parser.parse_args()
    tables = {}
    for case in CASES:
        tables[case.name] = measured(case, given.seeds)
        show(case, tables[case.name])
    if given.output:
        pd.concat([table.assign(problem=name) for name, table in tables.items()]).to_csv(
            given.output, index=False, float_format="%.6g"
        )
    if given.picture:
        picture(tables, given.picture)


if __name__ == "__main__":
    main()
