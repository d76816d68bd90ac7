"""compare: several trainers on the same rows with the same budget, and what the derivatives gave."""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.data_frames import pd
from swarmnet.data.file_data import FileData
from swarmnet.data.mixed_data import MixedData
from swarmnet.data.readers import Size, read
from swarmnet.data.splitting import split
from swarmnet.distributed.parallel_fits import Heard, in_processes, listening, on_cluster
from swarmnet.errors import SwarmnetError, SwarmnetWarning
from swarmnet.fitting.fitting import (
    Activations,
    Data,
    Hidden,
    fit,
    located,
    network_for,
    refuse_limit_of_workers,
    refuse_unsolvable,
)
from swarmnet.fitting.outcome import TAKEN_FOR_NOISE
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.forms import FORMS
from swarmnet.model.metrics import evaluate
from swarmnet.trainers import Trainer, configured
from swarmnet.trainers.limits import require_count
from swarmnet.trainers.result import STATUS, Callback, Progress

if TYPE_CHECKING:
    from distributed import Client

Array = NDArray[np.float64]
Rows = MixedData | FileData
Watch = Callable[[str, int, Progress], bool | None]

VALUES_ONLY = " (values only)"
_POINTS = 400  # of a curve
# How warnings of single runs begin that go unsaid here: Ctrl-C ends all of them, so that none is kept;
# and the table has the errors of what was taken for noise, as learning from values alone may well do.
_UNSAID = STATUS["interrupted"], TAKEN_FOR_NOISE


@dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` found.

    Args:
        table: a row a trainer; rmse(<column>), loss, seconds and evaluations, each the median over the
            repeats with its quartiles in "<name> q1" and "<name> q3". Errors are those of the held-out
            rows, in the data's units.
        curves: trainer, repeat, iteration, evaluations, seconds, loss, best_loss: one row an iteration, of
            long runs fewer, as in `FittedModel`.
        runs: one row a run.
        models: the model of each (trainer, repeat).
        train: the rows trained on.
        test: the rows held out.
    """

    table: pd.DataFrame
    curves: pd.DataFrame
    runs: pd.DataFrame
    models: dict[tuple[str, int], FittedModel]
    train: Rows
    test: Rows

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write all of it as one HTML file.

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
    test: Data | None = None,
    test_fraction: float = 0.2,
    progress: Watch | None = None,
    memory_limit: Size | None = None,
    jobs: int = 1,
    client: Client | None = None,
) -> Comparison:
    """Train the same network by several trainers, on the same rows and with the same budget.

    Where the data hold values and partials, a control is trained on the values alone, by hybrid if that is
    among the trainers, else by the first: the difference is what the derivatives gave.

    Args:
        data: see `fit`.
        trainers: names or configured trainers.
        repeats: seeds for each trainer: seed, seed + 1, ...
        seconds: budget of each run; 5 if neither this nor `evaluations` is given.
        evaluations: budget of each run, in evaluations of the loss.
        hidden: see `fit`; the same network for all.
        activation: see `fit`.
        loss: see `fit`.
        scaling: see `fit`.
        derivative_weight: see `fit`.
        l2: see `fit`.
        test: data to test on; else `test_fraction` of the rows are held out.
        test_fraction: see test.
        progress: called with the trainer, the repeat and a `Progress` every iteration; True ends that run.
            Where several runs go on at once it is called when each has ended, with its last `Progress`.
        memory_limit: see `fit`; it holds for each process.
        jobs: runs that go on at once, each in a process of its own with its share of the cores. A run that
            is given seconds does less in them than it would alone; with `evaluations` the same comes out
            whatever the number, but for the seconds.
        client: a `dask.distributed.Client`, whose workers make the runs, each of them whole; the rows are
            read here and sent to each worker once. Those of FileData each worker reads for itself, from files
            that have the same names there.

    Raises:
        SwarmnetError: as `fit` does, or when there is nothing to test on.
        KeyboardInterrupt: Ctrl-C ends the whole comparison.
    """
    chosen = _distinct(trainers)
    if repeats < 1:
        raise SwarmnetError(f"repeats must be 1 or more, not {repeats}")
    require_count("jobs", jobs, 1)
    if client is not None and jobs > 1:
        raise SwarmnetError("with a client its workers make the runs: leave jobs out")
    if client is not None:
        refuse_limit_of_workers(memory_limit)
    if seconds is None and evaluations is None:
        seconds = 5.0
    train, held_out = _train_and_test(data, test, test_fraction, seed, memory_limit)
    net = network_for(train, hidden, activation, loss)
    for trainer in chosen.values():
        refuse_unsolvable(trainer, net, loss)
    parts: list[Rows] = [train]
    listed = [(name, trainer, 0) for name, trainer in chosen.items()]
    if train.n_derivatives and train.n_values:
        name = "hybrid" if "hybrid" in chosen else next(iter(chosen))
        listed.append((name + VALUES_ONLY, chosen[name], 1))
        parts.append(train.values_only())
    settings = {
        "hidden": net.sizes[1:-1],
        "activation": net.activations,
        "loss": loss,
        "scaling": scaling,
        "derivative_weight": derivative_weight,
        "l2": l2,
    }
    runs = [
        _Run(name, repeat, part, settings | {"trainer": limited, "seed": seed + repeat})
        for repeat, (name, trainer, part) in product(range(repeats), listed)
        for limited in [configured(trainer, seconds=seconds, evaluations=evaluations)]
    ]
    at_once = jobs > 1 or client is not None
    held = (parts, held_out)
    made = _at_once(runs, held, progress, jobs, client) if at_once else _in_turn(runs, held, progress)
    rows, curves, models = [], [], {}
    with closing(made):
        for run, (model, outcome) in zip(runs, made, strict=True):
            if model.training["status"] == "interrupted":
                raise KeyboardInterrupt
            models[run.name, run.repeat] = model
            rows.append({"trainer": run.name, "repeat": run.repeat} | outcome)
            curves.append(_curve(model, run.name, run.repeat))
    table = pd.DataFrame(rows)
    return Comparison(_summary(table), pd.concat(curves, ignore_index=True), table, models, train, held_out)


@dataclass(frozen=True)
class _Run:
    """A fit to be made.

    Args:
        name: of its trainer.
        repeat: which.
        part: which rows it is trained on.
        settings: of `fit`.
    """

    name: str
    repeat: int
    part: int
    settings: dict[str, Any]


_Made = tuple[FittedModel, dict[str, float]]  # a model, and what the table says of it
_AllRows = tuple[list[Rows], Rows]  # to train on, and to test on


def _made(run: _Run, rows: _AllRows, callback: Callback | None) -> _Made:
    parts, test = rows
    model = fit(parts[run.part], callback=callback, **run.settings)
    return model, _outcome(model, test)


def _in_turn(runs: Sequence[_Run], rows: _AllRows, progress: Watch | None) -> Generator[_Made, None, None]:
    for run in runs:
        with _few_words():
            made = _made(run, rows, _labelled(progress, run.name, run.repeat))
        yield made


def _made_elsewhere(run: _Run, rows: _AllRows) -> tuple[_Made, Progress, Heard]:
    seen: deque[Progress] = deque(maxlen=1)
    with listening() as heard:
        made = _made(run, rows, seen.append)
    return made, seen[0], heard


def _at_once(
    runs: Sequence[_Run], rows: _AllRows, progress: Watch | None, jobs: int, client: Client | None
) -> Generator[_Made, None, None]:
    if client is None:
        found = in_processes(_made_elsewhere, runs, rows, jobs)
    else:
        found = on_cluster(_made_elsewhere, runs, rows, client)
    told: set[tuple[str, type[Warning]]] = set()
    for run, (made, last, heard) in zip(runs, found, strict=True):
        for warning in heard:
            if warning not in told and not warning[0].startswith(_UNSAID):
                told.add(warning)
                warnings.warn(*warning, stacklevel=3)
        if progress is not None:
            progress(run.name, run.repeat, last)
        yield made


@contextmanager
def _few_words() -> Iterator[None]:
    """Without `_UNSAID`. Ctrl-C comes on the main thread alone, and other threads share its filters."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        for begin in _UNSAID:
            warnings.filterwarnings("ignore", re.escape(begin), SwarmnetWarning)
        yield


def quartiles(runs: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Where, (m,), and the quartiles, (3, m), of step functions given by their steps: (where, height).

    From where all have begun to where the last of them ends; one that has ended keeps its height. Where
    there are very many steps, m is 400.
    """
    begin, end = max(x[0] for x, _ in runs), max(x[-1] for x, _ in runs)
    x = np.unique(np.concatenate([x for x, _ in runs]))
    x = x[(x >= begin) & (x <= end)]
    if len(x) > _POINTS:
        x = np.geomspace(begin, end, _POINTS)
    # Rounding may put the first of them a little before a run's first step.
    heights = [height[np.maximum(np.searchsorted(at, x, side="right") - 1, 0)] for at, height in runs]
    return x, np.quantile(heights, [0.25, 0.5, 0.75], axis=0)


def _distinct(trainers: Sequence[str | Trainer]) -> dict[str, Trainer]:
    """Trainers by name; two of a kind are told apart by a number."""
    listed = [trainers] if isinstance(trainers, str | Trainer) else list(trainers)
    if not listed:
        raise SwarmnetError("no trainers to compare: name at least one")
    named: dict[str, Trainer] = {}
    for trainer in listed:
        ready = configured(trainer)
        name, number = ready.name, 2
        while name in named:
            name, number = f"{ready.name} {number}", number + 1
        named[name] = ready
    return named


def _train_and_test(
    data: Data, test: Data | None, fraction: float, seed: int, memory_limit: Size | None
) -> tuple[Rows, Rows]:
    train = located(data, memory_limit)
    if test is not None:
        if not isinstance(test, MixedData | FileData):
            test = read(test, train.inputs, train.outputs, memory_limit)
        return train, test.select(train.inputs, train.outputs)
    kept, held_out = split(train, fraction, seed)
    if held_out is None:
        raise SwarmnetError("nothing to compare on: no row is held out; raise the test fraction")
    return kept, held_out


def _labelled(progress: Watch | None, name: str, repeat: int) -> Callback | None:
    return None if progress is None else lambda now: progress(name, repeat, now)


def _outcome(model: FittedModel, test: Rows) -> dict[str, float]:
    errors = evaluate(model, test)
    found = {f"rmse({c})": e for c, e in zip(errors["column"], errors["rmse"], strict=True)}
    record = model.training
    return found | {name: record[name] for name in ("loss", "seconds", "evaluations")}


def _curve(model: FittedModel, name: str, repeat: int) -> pd.DataFrame:
    history = model.history[["iteration", "evaluations", "seconds", "loss"]].copy()
    history["best_loss"] = history["loss"].cummin()
    history.insert(0, "repeat", repeat)
    history.insert(0, "trainer", name)
    return history


def _summary(runs: pd.DataFrame) -> pd.DataFrame:
    grouped = runs.drop(columns="repeat").groupby("trainer", sort=False)
    median, q1, q3 = grouped.median(), grouped.quantile(0.25), grouped.quantile(0.75)
    columns: dict[str, pd.Series[float]] = {}
    for name in median.columns:
        columns |= {name: median[name], f"{name} q1": q1[name], f"{name} q3": q3[name]}
    return pd.DataFrame(columns)
