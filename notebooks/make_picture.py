"""Draw the README's picture: python notebooks/make_picture.py [-o FILE] [--seconds 2] [--repeats 5]."""

import argparse
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image

import swarmnet

HERE = Path(__file__).parent
DATA = HERE.parent / "datasets" / "water_enthalpy.csv"
TEST = HERE.parent / "datasets" / "water_enthalpy_test.csv"

# Colours of Okabe and Ito, which the colour-blind can tell apart
COLORS = {
    "pso": "#D55E00",
    "projected": "#0072B2",
    "hybrid": "#009E73",
    "adam": "#CC79A7",
    "lbfgs": "#E69F00",
}
LABELS = {
    "pso": "pso (all weights)",
    "projected": "projected (hidden layers)",
    "hybrid": "hybrid",
    "adam": "adam (backprop)",
    "lbfgs": "lbfgs (backprop)",
}
PRESSURES = {1e6: ("#5BA3D0", "o"), 50.5e6: ("#2171B5", "s"), 100e6: ("#08306B", "^")}
STYLE = {
    "font.size": 10.5,
    "axes.titlesize": 11.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def heat_capacities(ax: Axes) -> None:
    data = swarmnet.read_csv(DATA)
    model = swarmnet.fit(data, seed=0)
    control = swarmnet.fit(data.values_only(), hidden=model.net.sizes[1:-1], seed=0)
    grid = pd.read_csv(TEST)
    T = np.linspace(grid["T"].min(), grid["T"].max(), 300)
    for p, (color, marker) in PRESSURES.items():
        X = np.column_stack([T, np.full_like(T, p)])
        exact = grid[grid["p"] == p]
        ax.plot(T, control.jacobian(X)[:, 0, 0] / 1e3, "--", color=color, linewidth=1)
        ax.plot(exact["T"], exact["dh/dT"] / 1e3, marker, color=color, markersize=4, markerfacecolor="white")
        ax.plot(T, model.jacobian(X)[:, 0, 0] / 1e3, color=color, linewidth=1.8)
        ax.annotate(
            f"{p / 1e6:g} MPa",
            (T[-1], exact["dh/dT"].iloc[-1] / 1e3),
            xytext=(7, 0),
            textcoords="offset points",
            color=color,
            va="center",
        )
    ax.legend(
        handles=[
            Line2D([], [], color="0.3", marker="o", markerfacecolor="white", markersize=4, linestyle="none"),
            Line2D([], [], color="0.3", linewidth=1.8),
            Line2D([], [], color="0.3", linestyle="--", linewidth=1),
        ],
        labels=[
            "exact (IAPWS-95)",
            f"swarmnet: {data.n_values} values of h, {data.n_derivatives} slopes",
            f"same network: the {data.n_values} values alone",
        ],
        loc="lower center",
    )
    ax.set(
        title="Heat capacity of water from mixed data",
        xlabel="temperature / K",
        ylabel="$(\\partial h/\\partial T)_p$ / kJ kg$^{-1}$ K$^{-1}$",
    )


def losses(ax: Axes, seconds: float, repeats: int) -> None:
    comparison = swarmnet.compare(
        DATA, list(COLORS), hidden=(8, 8), repeats=repeats, seconds=seconds, test=TEST
    )
    times = np.geomspace(seconds / 200, seconds, 300)
    for name, color in COLORS.items():
        of_trainer = comparison.curves[comparison.curves["trainer"] == name]
        runs = np.array([best_loss_at(times, run) for _, run in of_trainer.groupby("repeat")])
        q1, median, q3 = np.quantile(runs, [0.25, 0.5, 0.75], axis=0, method="nearest")
        ax.fill_between(times, q1, q3, where=np.isfinite(q3), color=color, alpha=0.22, linewidth=0)
        ax.plot(times, median, color=color, linewidth=1.8, label=LABELS[name])
    ax.set(
        title=f"Five trainers: median and quartiles of {repeats} runs",
        xlabel="time / s",
        ylabel="training loss",
        xscale="log",
        yscale="log",
    )
    ax.xaxis.set_major_formatter("{x:g}")
    ax.legend()


def best_loss_at(times: NDArray[np.float64], run: pd.DataFrame) -> NDArray[np.float64]:
    """The lowest loss that a run had met by each time; inf before its first iteration."""
    last = np.searchsorted(run["seconds"], times, side="right") - 1
    return np.where(last >= 0, run["best_loss"].to_numpy()[last], np.inf)


def save(figure: Figure, path: Path) -> None:
    """With 256 colours, which are enough here and make the file a third as large."""
    picture = BytesIO()
    figure.savefig(picture, format="png")
    Image.open(picture).convert("RGB").quantize(256).save(path, format="png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the README's picture.")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "water.png")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 5), dpi=100, layout="constrained")
        left, right = figure.subplots(1, 2)
        heat_capacities(left)
        losses(right, options.seconds, options.repeats)
        save(figure, options.output)


if __name__ == "__main__":
    main()
