"""Accuracy against time: two panels a problem, values above, partials below."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

# Okabe and Ito's colours, which people with any kind of colour vision tell apart; the markers differ too.
STYLES = {
    "swarmnet": ("*", "#000000", 230),
    "JENN": ("o", "#E69F00", 70),
    "SMT GENN": ("s", "#56B4E9", 62),
    "SMT GEKPLS": ("^", "#009E73", 80),
    "SMT kriging": ("v", "#F0E442", 80),
    "MLPRegressor": ("P", "#CC79A7", 85),
    "torch Adam": ("D", "#0072B2", 58),
    "torch L-BFGS": ("X", "#D55E00", 85),
    "gp": ("p", "#999999", 85),
    "gp Matern": ("d", "#555555", 70),
    "polynomial": ("h", "#FFFFFF", 85),
}
ROWS = {
    "value_unexplained": "1 - R2 of the values",
    "median_partial_unexplained": "median 1 - R2 of the partials",
}
ACROSS = 4  # problems side by side
BEST, WORST = 1e-20, 2.0  # what is beyond is drawn there, as an edge


def draw(results: pd.DataFrame, path: Path) -> None:
    """Medians over the seeds. Lower is more accurate, further left is faster."""
    results = results[results["value_unexplained"].notna()]
    problems = list(dict.fromkeys(results["problem"]))
    medians = results.groupby(["problem", "tool"])[[*ROWS, "seconds"]].median()
    columns = min(ACROSS, len(problems))
    blocks = -(-len(problems) // columns)
    figure, axes = plt.subplots(
        2 * blocks,
        columns,
        figsize=(2.6 * max(columns, 3), 5.2 * blocks),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat:
        axis.set_visible(False)
    for index, problem in enumerate(problems):
        block, column = divmod(index, columns)
        axes[2 * block, column].set_title(problem)
        for row, (measure, label) in enumerate(ROWS.items()):
            axis = axes[2 * block + row, column]
            axis.set_visible(True)
            points(axis, medians.loc[problem], measure)
            if column == 0:
                axis.set_ylabel(label)
    figure.supxlabel("seconds of fitting (left is faster, lower is more accurate)", fontsize="medium")
    add_legend(figure, set(results["tool"]))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def add_legend(figure: Figure, tools: set[str]) -> None:
    handles = [
        plt.Line2D(
            [], [], linestyle="", marker=marker, color=colour, markeredgecolor="black", ms=9, label=tool
        )
        for tool, (marker, colour, _) in STYLES.items()
        if tool in tools
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=5, frameon=False)


def points(axis: Axes, medians: pd.DataFrame, measure: str) -> None:
    for tool, (marker, colour, area) in STYLES.items():
        if tool not in medians.index:
            continue
        loss = float(np.clip(medians.loc[tool, measure], BEST, WORST))
        axis.scatter(
            medians.loc[tool, "seconds"],
            loss,
            s=area,
            marker=marker,
            color=colour,
            edgecolor="black",
            linewidth=0.7,
            zorder=3 if tool == "swarmnet" else 2,
        )
    axis.set(xscale="log", yscale="log")
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_locator(LogLocator(numticks=6))
        scale.set_minor_formatter(NullFormatter())
    widen(axis)
    axis.grid(color="0.9")
    axis.set_axisbelow(True)


def widen(axis: Axes) -> None:
    """To whole decades, so that no marker is cut and each axis has ticks."""
    for limits, setter in ((axis.get_xlim(), axis.set_xlim), (axis.get_ylim(), axis.set_ylim)):
        low, high = np.log10(limits)
        setter(10 ** np.floor(low), 10 ** np.ceil(high))
