"""Whether the swarm earns its place: starts from it against random restarts, in equal seconds.

    pip install ".[bench]"
    python -m benchmarks.starts [-o starts.csv]      (a quarter of an hour or so)
    python -m benchmarks.starts --full               (three times the seeds)

Every start draws weights its own way, minimises from them by Levenberg-Marquardt as hybrid does, and goes on
with the next until the time is up; the run with the largest evidence counts. All have the same seconds:
three times what a fit with one start takes at its defaults. One setting at a time differs from the swarm of
hybrid. Everything has one thread.

Printed: test errors (1 - R2 of the values, and of the partials their median) and evidence, as ratios to those
of random restarts: medians over the seeds, of which the geometric mean over the problems. The evidence is
that of one entry. Below 1 an error is smaller, above 1 the evidence is larger. The second set of random
restarts, with other random numbers, shows what chance alone does. In brackets: where nine of ten means lie if
the seeds are drawn anew. "One run" compares the starts' median runs, however long they take; "middle" is
the evidence on the median problem, "wins" the share of runs in which it is larger than random restarts'.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from smt.problems import RobotArm, Rosenbrock, WaterFlow, WingWeight

from benchmarks.accuracy_problems import Pair, draw_rastrigin, draw_smt, draw_water
from benchmarks.noise import thinned
from swarmnet import FittedModel, MixedData, Network, Objective, evaluate, fit
from swarmnet.scaling import Scaling
from swarmnet.threads import one_blas_thread
from swarmnet.trainers import LM, Hybrid, ProjectedPSO
from swarmnet.trainers.lm_run import LMRun
from swarmnet.trainers.monitor import Monitor
from swarmnet.trainers.successive_halving import successive_halving

Array = NDArray[np.float64]
SEEDS, FULL = 5, 15
FITS = 3  # fits' worth of time that everybody has
REDRAWN = 2000  # times, for the brackets
CONTROL, AGAIN = "random", "random, again"
COLUMNS = ("values", "partials", "evidence", "one run")
DEFAULT = Hybrid().swarm


@dataclass(frozen=True)
class Problem:
    """A name, the hidden layers, and what a seed draws: training data and test data."""

    name: str
    hidden: tuple[int, ...]
    draw: Callable[[int], Pair]


@dataclass(frozen=True)
class Task:
    """A problem drawn: its objective, the same one in single precision, and how to judge weights."""

    objective: Objective
    single: Objective
    errors: Callable[[Array], tuple[float, float]]
    entries: int


Start = Callable[[Task, np.random.Generator, float], Array]


def drawn(function: Callable[[Array], MixedData], d: int, rows: int, values: int, seed: int) -> Pair:
    """Uniform points on [-1, 1]^d with one entry a row, and 1,000 others with all."""
    rng = np.random.default_rng(seed)
    train, test = (function(rng.uniform(-1, 1, (n, d))) for n in (rows, 1000))
    return thinned(train, values), test


def draw_wave(seed: int) -> Pair:
    """A third of the rows have a value, a third a derivative, a third both."""
    train = wave(np.random.default_rng(seed).uniform(-1, 1, (30, 1)))
    Y, J = train.Y.copy(), train.J.copy()
    Y[::3], J[1::3] = np.nan, np.nan
    return MixedData(train.X, Y, J), wave(np.linspace(-1, 1, 500)[:, None])


def wave(X: Array) -> MixedData:
    return MixedData(X, np.sin(9 * X) + X**2, 9 * np.cos(9 * X) + 2 * X)


def smooth(X: Array) -> MixedData:
    x, y = X.T
    bell = np.exp(-(y**2))
    partials = 2 * np.cos(2 * x) * bell + y, -2 * y * np.sin(2 * x) * bell + x
    return MixedData(X, np.sin(2 * x) * bell + x * y, np.stack(partials, 1))


def energy(X: Array) -> MixedData:
    """Three bonded coordinates: a double well, a spring, a torsion, and what couples them."""
    x, y, z = X.T
    E = (2 * x**2 - 1) ** 2 + (y - 0.5 * x) ** 2 + 0.5 * np.cos(3 * z) * (1 + y)
    partials = (
        8 * x * (2 * x**2 - 1) - (y - 0.5 * x),
        2 * (y - 0.5 * x) + 0.5 * np.cos(3 * z),
        -1.5 * np.sin(3 * z) * (1 + y),
    )
    return MixedData(X, E, np.stack(partials, 1))


def draw_wing(seed: int) -> Pair:
    train, test = draw_smt(WingWeight(), 240, seed)
    return thinned(train, 40), test


PROBLEMS = (
    Problem("wave", (16,), draw_wave),
    Problem("smooth", (16,), partial(drawn, smooth, 2, 60, 30)),
    Problem("energy", (16,), partial(drawn, energy, 3, 150, 30)),
    Problem("rosenbrock", (16,), partial(draw_smt, Rosenbrock(ndim=2), 40)),
    Problem("rastrigin", (16, 16), draw_rastrigin),
    Problem("water-mixed", (16, 16), draw_water),
    Problem("robot-arm", (16, 16), partial(draw_smt, RobotArm(ndim=4), 40)),
    Problem("water-flow", (16,), partial(draw_smt, WaterFlow(), 40)),
    Problem("wing-weight", (16,), draw_wing),
)


def at_random(task: Task, rng: np.random.Generator, seconds: float) -> Array:
    return task.objective.initial(rng)


def solved(task: Task, rng: np.random.Generator, seconds: float) -> Array:
    """Random hidden layers with the best output layer."""
    hidden = task.objective.initial(rng)[: task.objective.hidden_size]
    _, output = task.objective.projected(hidden[None], DEFAULT.ridge)
    return np.concatenate([hidden, output[0]])


def from_swarm(
    swarm: ProjectedPSO, task: Task, rng: np.random.Generator, seconds: float, single: bool = False
) -> Array:
    """The best of a swarm, as in hybrid."""
    monitor, objective = Monitor(), task.single if single else task.objective
    with monitor.limits(swarm, seconds):
        best = swarm.search(objective, None, rng, monitor)
    return task.objective.initial(rng) if best is None else np.asarray(best, np.float64)


STARTS: dict[str, Start] = {
    CONTROL: at_random,
    AGAIN: at_random,
    "random, output solved": solved,
    "best particle at the start": partial(from_swarm, replace(DEFAULT, iterations=1)),
    "swarm, as hybrid's": partial(from_swarm, DEFAULT),
    "5 iterations": partial(from_swarm, replace(DEFAULT, iterations=5)),
    "60 iterations": partial(from_swarm, replace(DEFAULT, iterations=60)),
    "ridge 1e-9": partial(from_swarm, replace(DEFAULT, ridge=1e-9)),
    "ridge 1e-1": partial(from_swarm, replace(DEFAULT, ridge=1e-1)),
    "ring": partial(from_swarm, replace(DEFAULT, topology="ring")),
    "10 particles": partial(from_swarm, replace(DEFAULT, particles=10)),
    "60 particles": partial(from_swarm, replace(DEFAULT, particles=60)),
    "steps a tenth as long": partial(
        from_swarm, replace(DEFAULT, velocity_clamp=DEFAULT.velocity_clamp / 10)
    ),
    "single precision": partial(from_swarm, DEFAULT, single=True),
}


def task_of(problem: Problem, seed: int) -> Task:
    """What fit makes of the problem."""
    train, test = problem.draw(seed)
    net = Network((train.d, *problem.hidden, train.k), "tanh")
    scale = Scaling.of(train, "standard", outputs=True)
    scaled = scale.scale_data(train, True, reference=train)
    objective, single = (
        Objective(net, scaled, measured=train, derivative_weight=None, l2=None, threads=1, dtype=dtype)
        for dtype in ("float64", "float32")
    )

    def errors(theta: Array) -> tuple[float, float]:
        model = FittedModel(net, theta, scale, train.inputs, train.outputs)
        error = 1.0 - evaluate(model, test)["r2"].to_numpy()
        return float(error[0]), float(np.nanmedian(error[1:]))

    return Task(objective, single, errors, train.n_entries)


def one_fit(problem: Problem, seed: int) -> tuple[float, float]:
    """Seconds of a fit with one start at its defaults, and the swarm's share of them."""
    train, _ = problem.draw(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fit(train, problem.hidden, trainer=Hybrid(starts=1), seed=seed)
    swarm = model.history["seconds"].iloc[(DEFAULT.iterations or 1) - 1]
    return model.training["seconds"], float(swarm) / model.training["seconds"]


def minimised(task: Task, theta: Array, seconds: float) -> LMRun:
    monitor, trainer = Monitor(), LM()
    with monitor.limits(trainer, seconds):
        return successive_halving([LMRun(task.objective, theta)], monitor)[0]


def restarts(task: Task, start: Start, seconds: float, rng: np.random.Generator) -> dict[str, float]:
    """Draw starts and minimise from each until the time is up."""
    runs: list[LMRun] = []
    whole: list[float] = []  # evidence of runs that came to their end
    drawing, end = 0.0, time.perf_counter() + seconds
    while (now := time.perf_counter()) < end:
        theta = start(task, rng, end - now)
        drawing += time.perf_counter() - now
        if (left := end - time.perf_counter()) > 0:
            runs.append(minimised(task, theta, left))
            if time.perf_counter() < end or not whole:
                whole.append(runs[-1].log_evidence)
    best = max(runs, key=lambda run: run.merit)
    values, partials = task.errors(best.theta)
    return {
        "values": values,
        "partials": partials,
        "evidence": best.log_evidence / task.entries,
        "one run": float(np.median(whole)) / task.entries,
        "runs": len(runs),
        "share": drawing / seconds,
    }


def measured(problem: Problem, seeds: int) -> pd.DataFrame:
    """A row for each seed and start; the starts take turns, so that a slow minute hurts them alike."""
    fits = [one_fit(problem, seed) for seed in range(seeds)]
    seconds, share = np.median(fits, axis=0)
    rows = []
    for seed in range(seeds):
        task = task_of(problem, seed)
        for name, start in STARTS.items():
            rng = np.random.default_rng([seed, int(name == AGAIN)])
            with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
                row = restarts(task, start, FITS * seconds, rng)
            rows.append({"problem": problem.name, "seed": seed, "start": name} | row)
    table = pd.DataFrame(rows)
    control = table[table["start"] == CONTROL].median(numeric_only=True)
    print(
        f"{problem.name:14s}{task.entries:9d}{task.objective.size:9d}{seconds:10.2f}{share:9.1%}"
        f"{control['runs']:9.0f}{control['values']:12.2g}{control['partials']:12.2g}",
        flush=True,
    )
    return table


def ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Logarithms of the ratios to random restarts, seed by seed; the evidence is one already."""
    table = table.set_index(["start", "problem", "seed"])[list(COLUMNS)].copy()
    errors = list(COLUMNS[:2])
    table[errors] = np.log(table[errors])
    control = table.loc[CONTROL]
    return pd.concat({name: table.loc[name] - control for name in STARTS}, names=["start"])


def brackets(grid: Array, rng: np.random.Generator) -> tuple[float, float]:
    """Nine of ten geometric means lie between these, the seeds of grid (problems, seeds) drawn anew."""
    problems, seeds = grid.shape
    pick = rng.integers(seeds, size=(REDRAWN, problems, seeds))
    means = np.median(np.take_along_axis(grid[None], pick, axis=2), axis=2).mean(1)
    low, high = np.exp(np.quantile(means, (0.05, 0.95)))
    return float(low), float(high)


def show(table: pd.DataFrame) -> None:
    logs = ratios(table)
    print(f"\nratios to random restarts\n{'':28s}" + "".join(f"{name:>19s}" for name in COLUMNS), end="")
    print(f"{'middle':>8s}{'wins':>8s}{'runs':>8s}{'starting':>10s}")
    for name in STARTS:
        own, runs = logs.loc[name], table[table["start"] == name]
        cells = "".join(cell(own[column].unstack("seed").to_numpy()) for column in COLUMNS)
        middle = float(np.exp(own["evidence"].groupby(level="problem").median().median()))
        wins = float((own["evidence"] > 0).mean())
        print(
            f"{name:28s}{cells}{middle:8.2f}{wins:8.0%}{runs['runs'].median():8.0f}{runs['share'].mean():10.1%}"
        )
    show_problems(logs)


def cell(grid: Array) -> str:
    mean = float(np.exp(np.median(grid, axis=1).mean()))
    low, high = brackets(grid, np.random.default_rng(0))
    return f"{mean:6.2f} ({low:4.2f}-{high:4.2f})".rjust(19)


def show_problems(logs: pd.DataFrame) -> None:
    medians = np.exp(logs.groupby(level=["start", "problem"], sort=False).median())
    for column in ("evidence", "values"):
        print(f"\n{column}, ratio by problem")
        wide = medians[column].unstack("problem")[[problem.name for problem in PROBLEMS]]
        print(wide.loc[list(STARTS)].to_string(float_format=lambda ratio: f"{ratio:.2f}", index_names=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--full", action="store_true", help=f"{FULL} seeds instead of {SEEDS}")
    parser.add_argument("-o", "--output", type=Path, help="write all runs into this file (CSV)")
    given = parser.parse_args()
    seeds = FULL if given.full else SEEDS
    one_fit(PROBLEMS[0], 0)  # what is imported and compiled on the way is nobody's time
    print(f"{seeds} seeds; a fit with one start, and random restarts in {FITS} times its seconds")
    print(f"{'':14s}{'entries':>9}{'weights':>9}{'seconds':>10}{'swarm':>9}{'runs':>9}", end="")
    print(f"{'values':>12}{'partials':>12}")
    table = pd.concat([measured(problem, seeds) for problem in PROBLEMS])
    if given.output:
        table.to_csv(given.output, index=False, float_format="%.6g")
    show(table)


if __name__ == "__main__":
    main()
