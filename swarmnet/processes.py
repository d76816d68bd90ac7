"""Processes of this machine that take climbs further, where threads would only wait for each other.

The NumPy calls of a small climb are so short that its thread holds Python's lock most of the time; processes
have one each. They are begun as plain Python that listens to a pipe: multiprocessing's would run the user's
script again, or be forked amid threads, and joblib's outlive this process if it is killed. Here the pipe ends
with it, and they with the pipe.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from multiprocessing import Pipe, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from swarmnet.blueprint import Blueprint
from swarmnet.data import MixedData
from swarmnet.objective import Objective
from swarmnet.trainers import Trainer
from swarmnet.trainers.second_order import is_cheap
from swarmnet.workshop import Workshop

T = TypeVar("T")
R = TypeVar("R")

_MOST = 8  # processes: seldom do more climbs than these go side by side for long
# Seconds of training after which it probably goes on for longer than processes take to begin, where networks
# race and where not.
_SOON, _LATE = 0.3, 1.5
_BEGIN = "import sys; sys.path[:] = {path!r}; from swarmnet.processes import serve; serve({pipe})"
_GONE = (EOFError, OSError)  # what is heard of a process that has died


class ProcessCopies:
    """Copies in processes, which begin by themselves after a while.

    Where a process dies, or none can be begun, this one does the work.

    Args:
        workshop: the objectives; each process gets a copy.
        processes: how many.
        after: seconds until they begin.
    """

    def __init__(self, workshop: Workshop, processes: int, after: float = 0.0) -> None:
        self._workshop, self._after = workshop, after
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="swarmnet")  # one for each process
        self._processes: list[_Process] = []
        self._closed, self._closing = threading.Event(), threading.Lock()
        self._begun = [self._threads.submit(self._begin) for _ in range(processes)]
        self._lost = False

    @property
    def ready(self) -> bool:
        """Whether all are there."""
        if self._lost or not all(begun.done() for begun in self._begun):
            return False
        self._lost = any(begun.exception() for begun in self._begun)
        return not self._lost

    def map(self, work: Callable[[Any, T], R], items: Sequence[tuple[int, T]]) -> list[R]:
        """work(copy, item) of each (size, item), on a copy of the objective that has so many weights."""
        answers: dict[int, R] = {}
        longest_first = iter(sorted(range(len(items)), key=lambda number: -items[number][0]))

        def share(process: _Process) -> None:
            try:
                for number in longest_first:
                    answers[number] = process.ask((work, *items[number]))
            except _GONE:
                self._lost = True

        shares = [self._threads.submit(share, process) for process in self._processes]
        wait(shares)
        for done in shares:
            done.result()
        return [
            answers[number] if number in answers else work(self._workshop.objective(size), item)
            for number, (size, item) in enumerate(items)
        ]

    def close(self) -> None:
        """End the processes, whatever they are at."""
        with self._closing:
            self._closed.set()
        for process in self._processes:
            process.kill()
        self._threads.shutdown()
        for process in self._processes:
            process.close()

    def _begin(self) -> None:
        self._closed.wait(self._after)
        with self._closing:
            if self._closed.is_set():
                return
            process = _Process()
            self._processes.append(process)
        process.ask(self._workshop)


class _Process:
    """A process that answers."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        with theirs:
            code = _BEGIN.format(path=[*map(str, sys.path)], pipe=theirs.fileno())
            self._python = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                pass_fds=[theirs.fileno()],
            )

    def ask(self, request: object) -> Any:
        """What it answers.

        Raises:
            EOFError, OSError: it has died.
        """
        self._pipe.send(request)
        return self._pipe.recv()

    def kill(self) -> None:
        """End it, so that whoever waits for its answer hears that it is gone."""
        self._python.kill()

    def close(self) -> None:
        """Let go of it."""
        self._python.wait()
        self._pipe.close()


def serve(pipe: int) -> None:
    """What a process does until the pipe ends: work on the objectives of the workshop that comes first.

    Args:
        pipe: its file descriptor.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    with contextlib.suppress(*_GONE), Connection(pipe) as asker:
        workshop: Workshop = asker.recv()
        workshop.make_all()
        answer: Any = None
        while True:
            asker.send(answer)
            work, size, item = asker.recv()
            answer = work(workshop.objective(size), item)


def copies_for(trainer: Trainer, objectives: Sequence[Objective], plan: Blueprint) -> ProcessCopies | None:
    """Processes for the climbs of a trainer, if it has several of which some are too short for threads.

    Args:
        trainer: who is to be given them.
        objectives: those of all networks.
        plan: what they were made of.
    """
    climbs, several = trainer.climbs_at_once(objectives[0]), len(objectives) > 1
    processes = min(objectives[0].threads, _MOST if several else climbs, _MOST)
    nets = [objective.net for objective in objectives]
    # What else is the user's may need what only this process has, or be slow to import.
    ours = isinstance(plan.rows, MixedData) and all(a.built_in for net in nets for a in net.activations)
    if climbs < 2 or processes < 2 or not any(map(is_cheap, objectives)) or not ours or not _may_begin_any():
        return None
    return ProcessCopies(Workshop(plan, nets), processes, _SOON if several else _LATE)


def _may_begin_any() -> bool:
    """Whether this is Python itself, not a program that it is part of, and not one of the user's processes.

    Those have taken the machine's cores already. Windows passes pipes on in another way.
    """
    if os.name != "posix" or hasattr(sys, "frozen") or parent_process() is not None:
        return False
    return Path(sys.executable or "").name.lower().startswith(("python", "pypy"))
