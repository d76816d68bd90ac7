"""Accuracy and time of swarmnet at its defaults against its peers at theirs.

    pip install ".[bench]"
    python -m benchmarks.accuracy                                        (an hour or so; all but airfoil)
    python -m benchmarks.accuracy --problems airfoil --seeds 1           (the large problem)
    python -m benchmarks.accuracy --tools swarmnet -o benchmarks/accuracy.csv
    python -m benchmarks.accuracy --picture accuracy.png -o benchmarks/accuracy.csv --show

Prints medians over the seeds: 1 - R2 and RMSE of the values, the worst and the median 1 - R2 among the
partials, on test data that nobody trained on, and the seconds of fitting. The results file has one row for
each fit; a run replaces the rows it measures anew and keeps the others, so parts can be run alone.
"""

import argparse
import logging
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.accuracy_peers import TOOLS, Cannot, Fitted, remark
from benchmarks.accuracy_picture import draw
from benchmarks.accuracy_problems import PROBLEMS, Problem
from swarmnet import MixedData

KEYS = ["problem", "tool", "seed"]
MEASURES = [
    "value_unexplained",
    "value_rmse",
    "worst_partial_unexplained",
    "median_partial_unexplained",
    "seconds",
]


def unexplained(predicted: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """1 - R2, without the rounding of R2."""
    return float(np.sum((predicted - target) ** 2) / np.sum((target - target.mean()) ** 2))


def partials_unexplained(model: Fitted, test: MixedData) -> list[float]:
    """One for each partial that varies: one that is the same everywhere but for rounding has no R2."""
    J = model.jacobian(test.X)
    least = 1e-9 * test.Y.std(0)[:, None] / test.X.std(0)
    varying = np.argwhere(test.J.std(0) > least)
    return [unexplained(J[:, o, j], test.J[:, o, j]) for o, j in varying]


@cache
def drawn(problem: Problem, seed: int) -> tuple[MixedData, MixedData]:
    """The same data for every tool; some take seconds to draw."""
    return problem.draw(seed)


def measured(problem: Problem, tool: str, seed: int) -> dict[str, object]:
    """One fit, and what it is worth."""
    train, test = drawn(problem, seed)
    row: dict[str, object] = {"problem": problem.name, "tool": tool, "seed": seed}
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            start = time.perf_counter()
            model = TOOLS[tool](train, problem.hidden, seed)
            seconds = time.perf_counter() - start
            Y, partials = model.predict(test.X), partials_unexplained(model, test)
    except Cannot as reason:
        return row | {"note": f"cannot: {reason}"}
    return row | {
        "value_unexplained": unexplained(Y[:, 0], test.Y[:, 0]),
        "value_rmse": float(np.sqrt(np.mean((Y - test.Y) ** 2))),
        "worst_partial_unexplained": max(partials),
        "median_partial_unexplained": float(np.median(partials)),
        "seconds": seconds,
        "note": remark(tool, train),
    }


def read_results(path: Path | None) -> pd.DataFrame:
    if path is not None and path.exists():
        return pd.read_csv(path, keep_default_na=True)
    return pd.DataFrame(columns=[*KEYS, *MEASURES, "note"])


def add(results: pd.DataFrame, row: dict[str, object]) -> pd.DataFrame:
    """With `row`, in the place of the one that measured the same before."""
    rows = {tuple(old[key] for key in KEYS): old for old in results.to_dict("records")}
    rows[tuple(row[key] for key in KEYS)] = row
    return pd.DataFrame(list(rows.values()), columns=[*KEYS, *MEASURES, "note"])


def write(results: pd.DataFrame, path: Path) -> None:
    problems, tools = [p.name for p in PROBLEMS], list(TOOLS)
    order = results.sort_values(KEYS, key=lambda column: column.map(_rank(problems, tools)))
    order.to_csv(path, index=False, float_format="%.14g")


def _rank(problems: list[str], tools: list[str]) -> Callable[[object], object]:
    ranks = {name: i for i, name in enumerate([*problems, *tools])}
    return lambda key: ranks.get(key, key)


def print_problem(results: pd.DataFrame, problem: str) -> None:
    """The medians over the seeds, a line a tool."""
    mine = results[results["problem"] == problem]
    print(f"\n{problem}, medians over the seeds")
    heads = ("value 1 - R2", "RMSE", "worst partial", "median partial", "seconds", "seeds")
    print(f"  {'':14s}" + "".join(f"{head:>16}" for head in heads))
    for tool in TOOLS:
        rows = mine[mine["tool"] == tool]
        if rows.empty:
            continue
        note = rows["note"].fillna("").iloc[0]
        if note.startswith("cannot"):
            print(f"  {tool:14s}  {note}")
            continue
        m = rows[MEASURES].astype(float).median()
        cells = [f"{m[measure]:16.2g}" for measure in MEASURES[:-1]]
        cells += [f"{m['seconds']:16.2f}", f"{rows['seed'].nunique():16d}"]
        print(f"  {tool:14s}{''.join(cells)}  {note}".rstrip(), flush=True)


def arguments() -> argparse.Namespace:
    names = [problem.name for problem in PROBLEMS]
    light = [problem.name for problem in PROBLEMS if not problem.heavy]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--problems", type=_choice(names), default=light, help=", ".join(names))
    parser.add_argument("--tools", type=_choice(list(TOOLS)), default=list(TOOLS), help=", ".join(TOOLS))
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("-o", "--output", type=Path, help="results file (CSV)")
    parser.add_argument("--picture", type=Path, help="draw accuracy against time into this file")
    parser.add_argument("--show", action="store_true", help="measure nothing: show the results file")
    given = parser.parse_args()
    if given.show and given.output is None:
        parser.error("--show needs the results file, -o")
    return given


def _choice(known: list[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",")]
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
        return chosen

    return parse


def main() -> None:
    logging.disable(logging.WARNING)  # what peers log while they fit
    given = arguments()
    results = read_results(given.output)
    for problem in PROBLEMS:
        if problem.name not in given.problems:
            continue
        for tool in [] if given.show else given.tools:
            for seed in range(given.seeds):
                results = add(results, measured(problem, tool, seed))
                if given.output:
                    write(results, given.output)
        print_problem(results, problem.name)
    if given.picture:
        draw(results, given.picture)


if __name__ == "__main__":
    main()
