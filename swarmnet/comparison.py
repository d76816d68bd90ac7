"""compare: several trainers on the same rows with the same budget, with and without the derivatives."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.constraints import Require
from swarmnet.data.data_frames import pd
from swarmnet.data.dataset import Dataset
from swarmnet.data.logarithms import Logarithms
from swarmnet.data.readers import Data, Size, loaded
from swarmnet.data.splitting import split
from swarmnet.errors import SwarmnetError, warn_user
from swarmnet.fitting.candidates import network_for, refuse_quantities, refuse_unsolvable
from swarmnet.fitting.comparison_runs import AllRows, Made, Numbered, Run, Watch, made
from swarmnet.fitting.data_location import located
from swarmnet.fitting.options import Activations, FitOptions, Hidden
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.forms import FORMS
from swarmnet.trainers import Trainer, configured
from swarmnet.trainers.limits import require_count

if TYPE_CHECKING:
    from distributed import Client

Array = NDArray[np.float64]

VALUES_ONLY, NO_TREND = " (values only)", " (no trend)"
_SECONDS = 5.0  # seconds of a run without a given budget
_POINTS = 400  # maximum points of a curve; only bounds the size of reports


@dataclass(frozen=True, eq=False)
class Comparison:
    """The result of `compare`.

    Args:
        table: one row per trainer; rmse(<column>), loss, seconds and evaluations, each the median over the
            repeats with its quartiles in "<name> q1" and "<name> q3". Errors are those of the test rows, in
            the data's units.
        curves: trainer, repeat, iteration, evaluations, seconds, loss, best_loss: one row per iteration,
            fewer for long runs, as in `FittedModel`.
        runs: one row per run.
        models: the model of each (trainer, repeat).
        train: the training rows.
        test: the test rows.
        missing: the (trainer, repeat) of each run that had not ended when Ctrl-C came.
    """

    table: pd.DataFrame
    curves: pd.DataFrame
    runs: pd.DataFrame
    models: dict[tuple[str, int], FittedModel]
    train: Dataset
    test: Dataset
    missing: tuple[tuple[str, int], ...] = ()

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write the comparison as one HTML file.

        Raises:
            SwarmnetError: jinja2 or matplotlib is missing, the data stayed in their files, or the path
                cannot be written.
        """
        FORMS["comparison report"](self, path)


def compare(
    data: Data,
    trainers: Sequence[str | Trainer] = ("pso", "hybrid", "adam", "lbfgs"),
    repeats: int = 5,
    seconds: float | None = None,
    seed: int = 0,
    *,
    evaluations: int | None = None,
    hidden: Hidden = "auto",
    activation: Activations = "tanh",
    loss: str = "squared",
    scaling: str | None = "standard",
    derivative_weight: float | None = None,
    l2: float | None = None,
    degree: str | int = "auto",
    log: str | Sequence[str] | None = None,
    require: Require = (),
    noise: str = "gaussian",
    test: Data | None = None,
    test_fraction: float = 0.2,
    progress: Watch | None = None,
    memory_limit: Size | None = None,
    jobs: int = 1,
    client: Client | None = None,
) -> Comparison:
    """Train the same network by several trainers, on the same rows and with the same budget.

    For values and derivatives, hybrid or else the first trainer also trains on the values only; with a
    `degree`, also without the trend. They show the effect of each. A `degree` of "auto" adds no trend here.

    Args:
        data: see `fit`. For arguments not listed here see `swarmnet.fitting.options.FitOptions`.
        trainers: names or configured trainers.
        repeats: number of runs of each trainer, with the seeds seed, seed + 1, ...
        seconds, evaluations: limits of each run, the latter of the loss; 5 seconds if neither is given.
        test: test data; without them, `test_fraction` of the rows is held out.
        progress: called with the trainer, the repeat and a `Progress` at each iteration; or, if several runs
            go on at the same time, at the end of each. The run ends if it returns True.
        jobs: number of runs at the same time, each in a process with its share of the cores.
        client: a `dask.distributed.Client` whose workers do whole runs; of FileData they read the files.

    Raises:
        SwarmnetError: as in `fit`, or there are no test rows.
        KeyboardInterrupt: Ctrl-C came before a run had ended. Later it ends the comparison with the runs that
            have ended; a warning says which are missing.
    """
    budgeted = _budgeted(trainers, seconds, evaluations)
    options = FitOptions(
        hidden=hidden,
        activation=activation,
        seed=seed,
        loss=loss,
        scaling=scaling,
        derivative_weight=derivative_weight,
        l2=l2,
        degree=degree,
        log=log,
        require=require,
        noise=noise,
        memory_limit=memory_limit,
        client=client,
    )
    _refuse_numbers(repeats, jobs, client)
    runs, rows = _runs(*_train_and_test(data, test, test_fraction, options), budgeted, repeats, options)
    return _compared(runs, rows, made(runs, rows, progress, jobs, client))


def _refuse_numbers(repeats: int, jobs: int, client: Client | None) -> None:
    if repeats < 1:
        raise SwarmnetError(f"repeats must be 1 or more, not {repeats}")
    require_count("jobs", jobs, 1)
    if client is not None and jobs > 1:
        raise SwarmnetError("with a client its workers make the runs: leave jobs out")


def quartiles(runs: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Return positions (m,) and the quartiles there (3, m) of step functions, given as (positions, heights).

    The positions begin where all functions have begun, and end with the last one. A function keeps its last
    height. m is at most 400.
    """
    begin, end = max(x[0] for x, _ in runs), max(x[-1] for x, _ in runs)
    x = np.unique(np.concatenate([x for x, _ in runs]))
    x = x[(x >= begin) & (x <= end)]
    if len(x) > _POINTS:
        x = np.geomspace(begin, end, _POINTS)
    # Because of rounding the first position may lie slightly before a run's first step.
    heights = [height[np.maximum(np.searchsorted(at, x, side="right") - 1, 0)] for at, height in runs]
    return x, np.quantile(heights, [0.25, 0.5, 0.75], axis=0)


def _budgeted(
    trainers: str | Trainer | Sequence[str | Trainer], seconds: float | None, evaluations: int | None
) -> dict[str, Trainer]:
    """Return trainers by name, with their budget; equal names get numbers."""
    listed = [trainers] if isinstance(trainers, str | Trainer) else list(trainers)
    if not listed:
        raise SwarmnetError("no trainers to compare: name at least one")
    if seconds is None and evaluations is None:
        seconds = _SECONDS
    named: dict[str, Trainer] = {}
    for trainer in listed:
        ready = configured(trainer, seconds=seconds, evaluations=evaluations)
        name, number = ready.name, 2
        while name in named:
            name, number = f"{ready.name} {number}", number + 1
        named[name] = ready
    return named


def _train_and_test(
    data: Data, test: Data | None, fraction: float, options: FitOptions
) -> tuple[Dataset, Dataset]:
    train = located(data, options.memory_limit)
    logs = Logarithms.of(options.log_names, train.inputs, train.outputs)
    train = logs.checked(train)
    if test is not None:
        found = loaded(test, train.inputs, train.outputs, options.memory_limit)
        return train, logs.checked(found.select(train.inputs, train.outputs))
    kept, held_out = split(train, fraction, options.seed)
    if held_out is None:
        raise SwarmnetError("nothing to compare on: no row is held out; raise the test fraction")
    return kept, held_out


def _runs(
    train: Dataset, test: Dataset, trainers: dict[str, Trainer], repeats: int, options: FitOptions
) -> tuple[list[Run], AllRows]:
    """Return the runs, including those on values only, and the rows for training and testing."""
    options = replace(options, degree=0 if options.degree == "auto" else options.degree)
    net = network_for(train, options)
    # All runs have the same network, and get their rows directly.
    options = replace(
        options, hidden=net.sizes[1:-1], activation=net.activations, memory_limit=None, client=None
    )
    parts: list[Dataset] = [train]
    listed = [(name, 0, replace(options, trainer=trainer)) for name, trainer in trainers.items()]
    name = "hybrid" if "hybrid" in trainers else next(iter(trainers))
    control = replace(options, trainer=trainers[name])
    if train.n_entries > train.n_values > 0:
        listed.append((name + VALUES_ONLY, 1, control))
        parts.append(train.values_only())
    if net.trend is not None:
        listed.append((name + NO_TREND, 0, replace(control, degree=0)))
    runs = [
        Run(name, repeat, part, replace(own, seed=options.seed + repeat))
        for repeat, (name, part, own) in product(range(repeats), listed)
    ]
    for run in runs:
        refuse_unsolvable(run.options, net)
        refuse_quantities(parts[run.part], run.options)
    return runs, AllRows(parts, test)


def _compared(runs: Sequence[Run], rows: AllRows, results: Generator[Numbered, None, None]) -> Comparison:
    ended = _ended(results)
    missing = tuple((run.name, run.repeat) for number, run in enumerate(runs) if number not in ended)
    if missing:
        warn_user(_interrupted(runs, missing))
    found, curves, models = [], {}, {}
    for number in sorted(ended):
        run, (model, outcome) = runs[number], ended[number]
        models[run.name, run.repeat] = model
        found.append({"trainer": run.name, "repeat": run.repeat} | outcome)
        curve = model.history[["iteration", "evaluations", "seconds", "loss"]]
        curves[run.name, run.repeat] = curve.assign(best_loss=curve["loss"].cummin())
    table = pd.DataFrame(found)
    joined = pd.concat(curves, names=["trainer", "repeat"]).reset_index(["trainer", "repeat"])
    joined = joined.reset_index(drop=True)
    return Comparison(_summary(table), joined, table, models, rows.parts[0], rows.test, missing)


def _ended(results: Generator[Numbered, None, None]) -> dict[int, Made]:
    """Return the runs by number; after Ctrl-C, those that have ended.

    Raises:
        KeyboardInterrupt: none has.
    """
    ended: dict[int, Made] = {}
    try:
        with closing(results):
            for number, result in results:
                if result[0].training["status"] == "interrupted":
                    raise KeyboardInterrupt
                ended[number] = result
    except KeyboardInterrupt:
        if not ended:
            raise
    return ended


def _interrupted(runs: Sequence[Run], missing: Sequence[tuple[str, int]]) -> str:
    """Return which runs are missing: "lbfgs (2 of 5 runs), adam"."""
    counts, all_counts = Counter(name for name, _ in missing), Counter(run.name for run in runs)
    names = [
        name if count == all_counts[name] else f"{name} ({count} of {all_counts[name]} runs)"
        for name, count in counts.items()
    ]
    return (
        f"interrupted: the comparison has {len(runs) - len(missing)} of {len(runs)} runs; "
        f"missing are {', '.join(names)}"
    )


def _summary(runs: pd.DataFrame) -> pd.DataFrame:
    grouped = runs.drop(columns="repeat").groupby("trainer", sort=False)
    median, q1, q3 = grouped.median(), grouped.quantile(0.25), grouped.quantile(0.75)
    columns: dict[str, pd.Series[float]] = {}
    for name in median.columns:
        columns |= {name: median[name], f"{name} q1": q1[name], f"{name} q3": q3[name]}
    return pd.DataFrame(columns)
