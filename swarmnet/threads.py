"""Sharing work out over threads, and holding BLAS to one thread meanwhile.

Compiled kernels let go of the GIL, so plain threads scale as long as each task is some hundred microseconds
long. BLAS's own threads would only get in each other's way.
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

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # "time of all cores, within so much by the clock" (Linux, cgroup v2)


def available_cores() -> int:
    """Cores that this process may use, or fewer where its container gets less of their time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text().split()
        return min(cores, max(1, -(-int(quota) // int(period))))
    except (OSError, ValueError):  # no container, or "max"
        return cores


def default_threads() -> int:
    """Threads to work with where nobody says how many: one a core, or fewer if OMP_NUM_THREADS says so.

    There joblib and Dask tell each process that they start how much of the machine is its own.
    """
    named = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # a list is one for each level
    return min(available_cores(), int(named)) if named.isdecimal() and int(named) else available_cores()


@cache
def _blas() -> list[LibController]:
    """The BLAS libraries: looking for them takes much longer than asking them."""
    import scipy.linalg.blas  # noqa: F401, PLC0415  # its BLAS must be loaded to be found

    libraries: list[LibController] = ThreadpoolController().select(user_api="blas").lib_controllers
    return libraries


def _set_threads(blas: LibController, threads: int) -> None:
    """Set the threads of a library, from whatever thread.

    threadpoolctl hears the first thread that asks OpenBLAS while that lives; others silently do nothing.
    """
    free = getattr(blas, "clear_controlling_thread", lambda force: None)  # OpenBLAS alone has it
    free(force=True)
    blas.set_num_threads(threads)
    free(force=True)


class _BlasHold(ContextDecorator):
    """Counts who wants BLAS at one thread, so that nested and concurrent holds restore the user's setting."""

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
    """Hold BLAS to one thread; whatever it was is restored when the last holder leaves."""
    return _HOLD


class Crew:
    """A fixed number of threads, the caller's among them, that share numbered tasks."""

    def __init__(self, threads: int | None = None) -> None:
        if threads is not None and (not isinstance(threads, int) or threads < 1):
            raise SwarmnetError(f"threads must be a whole number of 1 or more, not {threads}")
        self.size = threads or default_threads()
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0  # whose threads the pool's are: a fork has the pool, but none of them

    def run(self, tasks: int, work: Callable[[int, int], None], shared: bool = True) -> None:
        """Call work(worker, task) for each task; results must not depend on which worker takes which.

        With `shared` False the caller does it all: handing a task over costs some 50 microseconds.
        """
        if self.size == 1 or tasks <= 1 or not shared:
            for task in range(tasks):
                work(0, task)
            return
        if self._pool is None or self._process != os.getpid():
            self._pool = ThreadPoolExecutor(self.size - 1, thread_name_prefix="swarmnet")
            self._process = os.getpid()
        queue = itertools.count()  # next() on it is atomic

        def share(worker: int) -> None:
            while (task := next(queue)) < tasks:
                work(worker, task)

        helpers: list[Future[None]] = []
        try:
            for worker in range(1, self.size):
                helpers.append(self._pool.submit(share, worker))
            share(0)
        finally:
            # On Ctrl-C here the rest of the tasks are dropped, but the helpers must be out of the buffers.
            queue = itertools.count(tasks)
            wait(helpers)
        for helper in helpers:
            helper.result()


def in_order(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """work(item) of each item, `threads` at a time, in the items' order.

    No more than a few results wait for their turn. When the caller stops early, so does the work.
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
    """Who does the same work for many items."""

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """work(item) of each item, in the items' order."""


@dataclass(frozen=True)
class ThreadPool:
    """So many threads of this process."""

    threads: int

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """work(item) of each item, in the items' order."""
        return in_order(work, items, self.threads)
