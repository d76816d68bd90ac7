"""Processes of this machine that take climbs further, where threads would only wait for each other.

The NumPy calls of a small climb are so short that its thread holds Python's lock most of the time; processes
have one each. They are begun as plain Python that listens to a pipe: multiprocessing's would run the user's
script again, or be forked amid threads, and joblib's outlive this process if it is killed. Here the pipe ends
with it, and they with the pipe.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import Pipe, parent_process
from multiprocessing.connection import Connection, wait
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
_MOST_BYTES = 1 << 24  # of rows and what is made of them, in each process
# Seconds of training after which it probably goes on for longer than processes take to begin, where networks
# race and where not; and the least limit of seconds with which they are worth their beginning.
_SOON, _LATE, _LONG = 0.3, 1.5, 2.0
_LOOK = 2.0  # seconds between two looks at whether the process that asks is there
_BEGIN = "import sys; sys.path[:] = {path!r}; from swarmnet.processes import serve; serve({pipe})"
_GONE = (EOFError, OSError)  # what is heard of a process that has died
_IMPORTED = time.time()

_one_fit = threading.Lock()  # has processes; those of another one at the same time would be too many


class ProcessCopies:
    """Copies in processes, which begin by themselves after a while.

    Where a process dies, or none can be begun, this one does the work.

    Args:
        workshop: the objectives; each process gets a copy.
        processes: how many.
        after: seconds until they begin.
    """

    def __init__(self, workshop: Workshop, processes: int, after: float = 0.0) -> None:
        self.ready = False
        self._workshop, self._count, self._after = workshop, processes, after
        self._processes: list[_Process] = []
        self._closed, self._beginning = threading.Event(), threading.Lock()
        self._opener = threading.Thread(target=self._open, name="swarmnet", daemon=True)
        with contextlib.suppress(RuntimeError):  # the system has no more threads, or Python is about to end
            self._opener.start()

    def map(self, work: Callable[[Any, T], R], items: Sequence[tuple[int, T]]) -> list[R]:
        """work(copy, item) of each (size, item), on a copy of the objective that has so many weights."""
        answers: dict[int, R] = {}
        self.ready = False  # again only if all goes well: after Ctrl-C, say, answers to this would wait there
        with contextlib.suppress(*_GONE):
            self._share(work, items, answers)
            self.ready = True
        return [
            answers[number] if number in answers else work(self._workshop.objective(size), item)
            for number, (size, item) in enumerate(items)
        ]

    def close(self) -> None:
        """End the processes, whatever they are at."""
        self.ready = False
        with self._beginning:
            self._closed.set()
        for process in self._processes:
            process.kill()
        if self._opener.ident is not None:
            self._opener.join()
        for process in self._processes:
            process.close()

    def _share(
        self, work: Callable[[Any, T], R], items: Sequence[tuple[int, T]], answers: dict[int, R]
    ) -> None:
        """Fill in the answers: each process gets an item, those of long theta first, and then another."""
        left = deque(sorted(range(len(items)), key=lambda number: -items[number][0]))
        idle, asked = [*self._processes], dict[Connection, tuple[_Process, int]]()
        while left or asked:
            while left and idle:
                process, number = idle.pop(), left.popleft()
                process.ask((work, *items[number]))
                asked[process.pipe] = process, number
            for pipe in wait([*asked]):
                assert isinstance(pipe, Connection)
                process, number = asked.pop(pipe)
                answers[number] = pipe.recv()
                idle.append(process)

    def _open(self) -> None:
        """Begin the processes, and wait until all have made their objectives."""
        # One that dies while it is sent to must not end this process, if the user has SIGPIPE do so.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        self._closed.wait(self._after)
        with contextlib.suppress(Exception):  # whatever it is, the work is done here
            with self._beginning:
                while not self._closed.is_set() and len(self._processes) < self._count:
                    self._processes.append(_Process())
            for process in self._processes:
                process.ask(self._workshop)
            for process in self._processes:
                process.pipe.recv()
            self.ready = not self._closed.is_set()


class _Process:
    """A process that answers what it is asked through its pipe."""

    def __init__(self) -> None:
        self.pipe, theirs = Pipe()
        try:
            with theirs:
                self._python = subprocess.Popen(
                    [sys.executable, *_flags(), "-c", _code(theirs)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                    pass_fds=[theirs.fileno()],
                )
        except BaseException:
            self.pipe.close()
            raise

    def ask(self, request: object) -> None:
        """Send a request.

        Raises:
            OSError: it has died.
        """
        if self._python.poll() is not None:
            raise BrokenPipeError
        self.pipe.send(request)

    def kill(self) -> None:
        """End it, and the pipe for whoever waits for its answer, even if the user has forked meanwhile."""
        self._python.kill()
        if self.pipe.closed:
            return
        with socket.socket(fileno=os.dup(self.pipe.fileno())) as end, contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of it."""
        self._python.wait()
        self.pipe.close()


def _code(pipe: Connection) -> str:
    return _BEGIN.format(path=[*map(str, sys.path)], pipe=pipe.fileno())


def _flags() -> list[str]:
    """This Python's own flags of those that say what is imported, and whether compiled code is written."""
    flags = sys.flags
    on = {
        "-B": sys.dont_write_bytecode,
        "-I": flags.isolated,
        "-E": flags.ignore_environment,
        "-s": flags.no_user_site,
        "-S": flags.no_site,
    }
    return [flag for flag, is_on in on.items() if is_on]


def serve(pipe: int) -> None:
    """What a process does until the pipe ends: work on the objectives of the workshop that comes first.

    Args:
        pipe: its file descriptor.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    with contextlib.suppress(*_GONE), Connection(pipe) as asker:
        workshop: Workshop = asker.recv()
        workshop.make_all()
        answer, parent = None, os.getppid()
        while True:
            asker.send(answer)
            while not asker.poll(_LOOK):
                if os.getppid() != parent:  # what it forked may still hold the pipe
                    return
            work, size, item = asker.recv()
            answer = work(workshop.objective(size), item)


@contextlib.contextmanager
def copies_for(
    trainer: Trainer, objectives: Sequence[Objective], plan: Blueprint
) -> Iterator[ProcessCopies | None]:
    """Processes for the climbs of a trainer, if it has several of which some are too short for threads.

    Args:
        trainer: who is to be given them.
        objectives: those of all networks.
        plan: what they were made of.
    """
    workshop = Workshop(plan, [objective.net for objective in objectives])
    several = len(objectives) > 1
    processes = min(objectives[0].threads, _MOST, _MOST if several else trainer.climbs_at_once(objectives[0]))
    worth = _are_worth_it(trainer, objectives, plan) and sys.getsizeof(workshop) <= _MOST_BYTES
    if processes < 2 or not worth or not _may_begin_any() or not _one_fit.acquire(blocking=False):
        yield None
        return
    try:
        copies = ProcessCopies(workshop, processes, _SOON if several else _LATE)
        try:
            yield copies
        finally:
            copies.close()
    finally:
        _one_fit.release()


def _are_worth_it(trainer: Trainer, objectives: Sequence[Objective], plan: Blueprint) -> bool:
    if trainer.climbs_at_once(objectives[0]) < 2 or not any(map(is_cheap, objectives)):
        return False
    if trainer.seconds is not None and trainer.seconds < _LONG:
        return False
    # What else is the user's may need what only this process has, or be slow to import.
    ours = all(activation.built_in for objective in objectives for activation in objective.net.activations)
    return ours and isinstance(plan.rows, MixedData)


def _may_begin_any() -> bool:
    """Whether processes would run the Python that this one runs, and have cores to themselves."""
    if os.name != "posix" or hasattr(sys, "frozen"):  # Windows passes pipes on in another way
        return False
    if parent_process() is not None:  # the user has shared the cores out already
        return False
    if not Path(sys.executable or "").name.lower().startswith(("python", "pypy")):
        return False  # but a program that Python is part of
    newest = max((path.stat().st_mtime for path in Path(__file__).parent.rglob("*.py")), default=0.0)
    return newest <= _IMPORTED  # else swarmnet was upgraded or edited meanwhile
