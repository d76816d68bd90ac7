"""Loss curves of a comparison's trainers."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from swarmnet.comparison import VALUES_ONLY, Comparison, quartiles
from swarmnet.errors import SwarmnetError, unknown
from swarmnet.plots import style
from swarmnet.plots.queries import Array

_AGAINST = {"seconds": "time / s", "evaluations": "evaluations of the loss"}
_MOST = 16  # maximum number of trainers
_COLORS = [style.BLUE, style.VERMILLION, style.GREEN, style.ORANGE, style.PURPLE, style.SKY, style.BLACK]
# 4 line styles and 5 markers have no common divisor, so that 16 trainers differ even without colour.
_LINES = ["-", "--", "-.", ":"]
_MARKERS = "osvD^"


def losses(comparison: Comparison, against: str = "seconds", ax: Axes | None = None) -> Axes:
    """Draw each trainer's lowest training loss so far: median over repeats, with a band of quartiles.

    A curve begins when all repeats have a loss, and ends with the last of them. A repeat that ended earlier
    keeps its last loss. The control on values alone is left out, because its loss is over other entries.

    Args:
        comparison: the result of `swarmnet.compare`.
        against: "seconds" or "evaluations".
        ax: the Axes; a new figure by default.

    Raises:
        SwarmnetError: no comparison, an unknown `against`, too many trainers, or a run without finite loss.
    """
    if not isinstance(comparison, Comparison):
        raise SwarmnetError(f"comparison must be what compare returns, not {type(comparison).__name__}")
    if against not in list(_AGAINST):
        raise unknown("against", against, _AGAINST)
    curves = comparison.curves[~comparison.curves["trainer"].str.endswith(VALUES_ONLY)]
    trainers = list(curves.groupby("trainer", sort=False))
    if len(trainers) > _MOST:
        raise SwarmnetError(f"{len(trainers)} trainers are more than the {_MOST} that can be told apart")
    ax = style.axes(ax)
    for number, (name, rows) in enumerate(trainers):
        runs = [_best(run, against) for _, run in rows.groupby("repeat")]
        x, (q1, median, q3) = quartiles(runs)
        color = _COLORS[number % len(_COLORS)]
        ax.fill_between(x, q1, q3, step="post", color=color, alpha=0.2, linewidth=0)
        ax.plot(
            x,
            median,
            drawstyle="steps-post",
            color=color,
            linestyle=_LINES[number % len(_LINES)],
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=4,
            markevery=(0.02 * (number % 5), 0.12),  # shares of the panel's diagonal: they stay apart
            label=style.text(str(name)),
        )
    repeats = curves["repeat"].nunique()
    ax.set(xscale="log", yscale="log", xlabel=_AGAINST[against], ylabel="training loss")
    ax.set_title(f"Median and quartiles of {repeats} runs" if repeats > 1 else "One run of each trainer")
    ax.legend()
    return ax


def _best(run: pd.DataFrame, against: str) -> tuple[Array, Array]:
    """Return the x > 0 of one run, for the log axis, and its lowest loss so far at each."""
    x, best = run[against].to_numpy(np.float64), np.fmin.accumulate(run["loss"].to_numpy(np.float64))
    known = np.isfinite(best) & (x > 0)
    if not known.any():
        trainer, repeat = run[["trainer", "repeat"]].iloc[0]
        raise SwarmnetError(f"{trainer}, repeat {repeat}, has no finite loss: there is nothing to draw")
    return x[known], best[known]
