"""Work shared among threads, with BLAS limited to one thread meanwhile.

Compiled kernels release the GIL, so Python threads scale if each task takes some hundred microseconds or
more. BLAS's own threads would compete with them for the cores.
"""

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ContextDecorator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol, TypeVar

from threadpoolctl import LibController, ThreadpoolController

from swarmnet.errors import SwarmnetError

T = TypeVar("T")
R = TypeVar("R")

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # CPU time quota and period (Linux, cgroup v2)


def available_cores(cpu_quota: Path = CPU_QUOTA) -> int:
    """Return the number of cores that this process may use, limited by the CPU quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = cpu_quota.read_text().split()
        return min(cores, max(1, -(-int(quota) // int(period))))
    except (OSError, ValueError):  # no quota, or "max"
        return cores


def default_threads() -> int:
    """Return the default number of threads: the available cores, or OMP_NUM_THREADS if that is fewer.

    joblib and Dask set OMP_NUM_THREADS in the processes that they start.
    """
    named = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # may list one number a level
    return min(available_cores(), int(named)) if named.isdecimal() and int(named) else available_cores()


@cache
def _blas() -> list[LibController]:
    """Return the loaded BLAS libraries; cached, because finding them is slow."""
    import scipy.linalg.blas  # noqa: F401, PLC0415  # only a loaded BLAS can be found

    libraries: list[LibController] = ThreadpoolController().select(user_api="blas").lib_controllers
    return libraries


def _set_threads(blas: LibController, threads: int) -> None:
    """Set the number of threads of a library, from any thread.

    For OpenBLAS, threadpoolctl obeys only the first calling thread while it lives and ignores the others.
    """
    free = getattr(blas, "clear_controlling_thread", lambda force: None)  # only OpenBLAS has it
    free(force=True)
    blas.set_num_threads(threads)
    free(force=True)


class _BlasHold(ContextDecorator):
    """Counts its users, so that nested and concurrent use restores the number of threads set before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._before: list[tuple[LibController, int]] = []

    def __enter__(self) -> None:
        with self._lock:
            if self._holders == 0:
                self._before = [(blas, n) for blas in _blas() if (n := blas.num_threads) != 1]
                for blas, _ in self._before:
                    _set_threads(blas, 1)
            self._holders += 1

    def __exit__(self, *raised: object) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                for blas, threads in self._before:
                    _set_threads(blas, threads)


_HOLD = _BlasHold()


def one_blas_thread() -> _BlasHold:
    """Limit BLAS to one thread inside the `with` block; the last block to end restores the earlier number."""
    return _HOLD


class ThreadTeam:
    """A fixed number of threads, including the caller's, that share numbered tasks."""

    def __init__(self, threads: int | None = None) -> None:
        if threads is not None and (not isinstance(threads, int) or threads < 1):
            raise SwarmnetError(f"threads must be a whole number of 1 or more, not {threads}")
        self.size = threads or default_threads()
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0  # process that started the pool's threads: they do not exist after a fork

    def run(self, tasks: int, work: Callable[[int, int], None], shared: bool = True) -> None:
        """Call work(worker, task) for each task; results must not depend on which worker does which task.

        With `shared` False the caller does all tasks: to hand one to another thread takes about 50 us.
        """
        if self.size == 1 or tasks <= 1 or not shared:
            for task in range(tasks):
                work(0, task)
            return
        if self._pool is None or self._process != os.getpid():
            self._pool = ThreadPoolExecutor(self.size - 1, thread_name_prefix="swarmnet")
            self._process = os.getpid()
        queue = itertools.count()  # next() on it is thread-safe

        def share(worker: int) -> None:
            while (task := next(queue)) < tasks:
                work(worker, task)

        helpers: list[Future[None]] = []
        try:
            for worker in range(1, self.size):
                helpers.append(self._pool.submit(share, worker))
            share(0)
        finally:
            # After Ctrl-C no task starts, but running ones must end before their buffers are reused.
            queue = itertools.count(tasks)
            wait(helpers)
        for helper in helpers:
            helper.result()


def in_order(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Yield work(item) for each item, `threads` at a time, in the items' order.

    At most `threads` + 1 results wait in memory. If the caller stops early, the remaining work is cancelled.
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="swarmnet") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class Pool(Protocol):
    """Does the same work for many items, on threads or on other machines."""

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield work(item) for each item, in the items' order."""


@dataclass(frozen=True)
class ThreadPool:
    """A pool of threads in this process."""

    threads: int

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield work(item) for each item, in the items' order."""
        return in_order(work, items, self.threads)
