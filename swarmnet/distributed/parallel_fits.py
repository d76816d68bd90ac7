"""Many fits at the same time: in processes of this machine, or on the workers of a Dask cluster.

Each process or worker gets the data once, not with every fit. Each fit uses its share of the cores: see
`default_threads`.
"""

import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from swarmnet.errors import SwarmnetError, WorkersLost, unsendable
from swarmnet.threads import available_cores

if TYPE_CHECKING:
    from distributed import Client

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")
Results = Generator[R, None, None]
Heard = list[tuple[str, type[Warning]]]


def in_processes(work: Callable[[T, S], R], tasks: Sequence[T], shared: S, jobs: int) -> Results[R]:
    """Yield work(task, shared) for each task, as soon as it is done, from processes of this machine."""
    jobs = min(jobs, len(tasks))  # each process takes 1 s to start
    from joblib import Parallel, delayed, parallel_config  # noqa: PLC0415  # takes 0.1 s to import
    from joblib.externals.loky.backend import reduction  # noqa: PLC0415  # joblib's pickler

    try:
        reduction.dumps(list(tasks))  # in joblib's own thread an error could be lost
    except Exception:  # any error of the user's object
        raise unsendable() from None
    try:
        with parallel_config("loky", inner_max_num_threads=max(1, available_cores() // jobs)):
            run = Parallel(jobs, return_as="generator_unordered", batch_size=1)
        # joblib writes large arrays to a file that all processes map.
        results = run(delayed(work)(task, shared) for task in tasks)
        try:
            for result in results:  # noqa: UP028  # "yield from" would close them without the filter
                yield result
        finally:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*tasks which were still being processed", UserWarning)
                results.close()
    except SwarmnetError as error:
        raise error from None  # without the traceback of the other process
    except BrokenProcessPool:
        raise SwarmnetError(
            "a process that trained has died, perhaps for want of memory: use fewer jobs"
        ) from None


def on_cluster(work: Callable[[T, S], R], tasks: Sequence[T], shared: S, client: "Client") -> Results[R]:
    """Yield work(task, shared) for each task, in order, from the workers of a client."""
    from swarmnet.distributed.cluster import Cluster  # noqa: PLC0415  # an optional dependency

    cluster = Cluster(client)
    there = cluster.everywhere(shared)
    for future in cluster.submit(work, tasks, [there] * len(tasks)):
        try:
            result = cluster.results([future])[0]
        except WorkersLost:
            if there.status not in ("cancelled", "lost") or client.status != "running":
                raise
            message = "all workers that had the data have died: do they have memory enough?"
            raise WorkersLost(message) from None
        yield result


class _WarningRecorder:
    """Records warnings for several listeners at a time; `warnings.catch_warnings` is not thread-safe."""

    def __init__(self) -> None:
        self._lock, self._listeners = threading.Lock(), 0
        self._heard: list[warnings.WarningMessage] = []

    def open(self) -> int:
        with self._lock:
            if self._listeners == 0:
                self._caught = warnings.catch_warnings(record=True)
                heard = self._caught.__enter__()
                assert heard is not None
                self._heard = heard
                warnings.simplefilter("always")
            self._listeners += 1
            return len(self._heard)

    def close(self, before: int) -> Heard:
        with self._lock:
            self._listeners -= 1
            if self._listeners == 0:
                self._caught.__exit__(None, None, None)
            return [(str(warning.message), warning.category) for warning in self._heard[before:]]


_RECORDER = _WarningRecorder()


@contextmanager
def listening() -> Iterator[Heard]:
    """Yield a list that gets the warnings of all threads when the block ends, instead of showing them."""
    before, heard = _RECORDER.open(), Heard()
    try:
        yield heard
    finally:
        heard += _RECORDER.close(before)
