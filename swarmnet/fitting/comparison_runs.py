"""The runs of a comparison, one after the other, or several at once: in processes or on workers."""

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
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.metrics import evaluate
from swarmnet.trainers.result import STATUS, Callback, Progress

if TYPE_CHECKING:
    from distributed import Client

Watch = Callable[[str, int, Progress], bool | None]
Made = tuple[FittedModel, dict[str, float]]  # a model, and what the table says of it

# How warnings of single runs begin that go unsaid here: Ctrl-C ends all of them, so that none is kept;
# and the table has the errors of what was taken for noise, as learning from values alone may well do.
_UNSAID = STATUS["interrupted"], TAKEN_FOR_NOISE


@dataclass(frozen=True)
class Run:
    """A fit to be made.

    Args:
        name: of its trainer.
        repeat: which.
        part: which rows it is trained on.
        options: of the fit.
    """

    name: str
    repeat: int
    part: int
    options: FitOptions


@dataclass(frozen=True, eq=False)
class AllRows:
    """What runs are trained on, by their `part`, and what all are tested on."""

    parts: Sequence[Dataset]
    test: Dataset


def made(
    runs: Sequence[Run], rows: AllRows, progress: Watch | None, jobs: int, client: Client | None
) -> Generator[Made, None, None]:
    """What comes of each run, in their order.

    Raises:
        SwarmnetError: as `fit` does, or as `in_processes` and `on_cluster` do.
    """
    if client is None and jobs == 1:
        return _in_turn(runs, rows, progress)
    return _at_once(runs, rows, progress, jobs, client)


def _made(run: Run, rows: AllRows, callback: Callback | None) -> Made:
    model = fitted(rows.parts[run.part], replace(run.options, callback=callback))
    return model, _outcome(model, rows.test)


def _outcome(model: FittedModel, test: Dataset) -> dict[str, float]:
    errors = evaluate(model, test)
    found = {f"rmse({c})": e for c, e in zip(errors["column"], errors["rmse"], strict=True)}
    record = model.training
    return found | {name: record[name] for name in ("loss", "seconds", "evaluations")}


def _in_turn(runs: Sequence[Run], rows: AllRows, progress: Watch | None) -> Generator[Made, None, None]:
    for run in runs:
        with _few_words():
            result = _made(run, rows, _labelled(progress, run.name, run.repeat))
        yield result


def _labelled(progress: Watch | None, name: str, repeat: int) -> Callback | None:
    return None if progress is None else lambda now: progress(name, repeat, now)


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


def _at_once(
    runs: Sequence[Run], rows: AllRows, progress: Watch | None, jobs: int, client: Client | None
) -> Generator[Made, None, None]:
    if client is None:
        found = in_processes(_made_elsewhere, runs, rows, jobs)
    else:
        found = on_cluster(_made_elsewhere, runs, rows, client)
    told: set[tuple[str, type[Warning]]] = set()
    for run, (result, last, heard) in zip(runs, found, strict=True):
        for warning in heard:
            if warning not in told and not warning[0].startswith(_UNSAID):
                told.add(warning)
                warn_user(*warning)
        if progress is not None:
            progress(run.name, run.repeat, last)
        yield result


def _made_elsewhere(run: Run, rows: AllRows) -> tuple[Made, Progress, Heard]:
    seen: deque[Progress] = deque(maxlen=1)
    with listening() as heard:
        result = _made(run, rows, seen.append)
    return result, seen[0], heard
