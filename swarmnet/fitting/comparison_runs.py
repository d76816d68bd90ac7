"""The fits of a comparison: one after the other, or at the same time in processes or on workers."""

from __future__ import annotations

import re
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from swarmnet.data.dataset import Dataset
from swarmnet.distributed.parallel_fits import Heard, in_processes, listening, on_cluster
from swarmnet.errors import SwarmnetWarning, warn_user
from swarmnet.fitting.fitting import fitted
from swarmnet.fitting.options import FitOptions
from swarmnet.fitting.outcome import TAKEN_FOR_NOISE
from swarmnet.fitting.reweighting import OUTLIERS
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.metrics import evaluate
from swarmnet.trainers.result import STATUS, Callback, Progress

if TYPE_CHECKING:
    from distributed import Client

Watch = Callable[[str, int, Progress], bool | None]
Made = tuple[FittedModel, dict[str, float]]  # a model, and its row in the table
Numbered = tuple[int, Made]  # with the number of its run

# How warnings of single fits begin that a comparison does not show. It warns of Ctrl-C itself. And the
# table shows the errors of columns taken for noise, which is common in the fit to the values alone. Each
# model has its outliers in its record.
_UNSAID = STATUS["interrupted"], TAKEN_FOR_NOISE, OUTLIERS


@dataclass(frozen=True)
class Run:
    """A fit of the comparison.

    Args:
        name: of its trainer.
        repeat: its number, from 0.
        part: index of its training rows in `AllRows.parts`.
        options: of the fit.
    """

    name: str
    repeat: int
    part: int
    options: FitOptions


@dataclass(frozen=True, eq=False)
class AllRows:
    """The sets of training rows, by `Run.part`, and the test rows of all fits."""

    parts: Sequence[Dataset]
    test: Dataset


def made(
    runs: Sequence[Run], rows: AllRows, progress: Watch | None, jobs: int, client: Client | None
) -> Generator[Numbered, None, None]:
    """Yield the number of each run, its model and its table row; of several at once, as they end.

    Raises:
        SwarmnetError: as in `fit`, `in_processes` or `on_cluster`.
    """
    if client is None and jobs == 1:
        return _in_turn(runs, rows, progress)
    return _at_once(runs, rows, progress, jobs, client)


def _made(run: Run, rows: AllRows, callback: Callback | None) -> Made:
    model = fitted(rows.parts[run.part], replace(run.options, callback=callback), checked=False)
    return model, _outcome(model, rows.test)


def _outcome(model: FittedModel, test: Dataset) -> dict[str, float]:
    errors = evaluate(model, test)
    found = {f"rmse({c})": e for c, e in zip(errors["column"], errors["rmse"], strict=True)}
    record = model.training
    return found | {name: record[name] for name in ("loss", "seconds", "evaluations")}


def _in_turn(runs: Sequence[Run], rows: AllRows, progress: Watch | None) -> Generator[Numbered, None, None]:
    for number, run in enumerate(runs):
        with _few_words():
            result = _made(run, rows, _labelled(progress, run.name, run.repeat))
        yield number, result


def _labelled(progress: Watch | None, name: str, repeat: int) -> Callback | None:
    return None if progress is None else lambda now: progress(name, repeat, now)


@contextmanager
def _few_words() -> Iterator[None]:
    """Hide the warnings in `_UNSAID`. Only the main thread does so: filters are shared by all threads."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        for begin in _UNSAID:
            warnings.filterwarnings("ignore", re.escape(begin), SwarmnetWarning)
        yield


def _at_once(
    runs: Sequence[Run], rows: AllRows, progress: Watch | None, jobs: int, client: Client | None
) -> Generator[Numbered, None, None]:
    tasks = list(enumerate(runs))
    if client is None:
        found = in_processes(_made_elsewhere, tasks, rows, jobs)
    else:
        found = on_cluster(_made_elsewhere, tasks, rows, client)
    told: set[tuple[str, type[Warning]]] = set()
    for number, result, last, heard in found:
        for warning in heard:
            if warning not in told and not warning[0].startswith(_UNSAID):
                told.add(warning)
                warn_user(*warning)
        if progress is not None:
            progress(runs[number].name, runs[number].repeat, last)
        yield number, result


def _made_elsewhere(task: tuple[int, Run], rows: AllRows) -> tuple[int, Made, Progress, Heard]:
    number, run = task
    seen: deque[Progress] = deque(maxlen=1)
    with listening() as heard:
        result = _made(run, rows, seen.append)
    return number, result, seen[0], heard
