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
from swarmnet.threads import CopiesLost
from swarmnet.trainers import Trainer
from swarmnet.trainers.second_order import is_cheap
from swarmnet.workshop import Workshop

T = TypeVar("T")
R = TypeVar("R")

_MOST = 8  # processes: seldom do more climbs than these go side by side for long
_MOST_BYTES = 1 << 24  # of rows and what is made of them, in each process
# Seconds of training after which it probably goes on for longer than processes take to begin, where networks
# race and where not; and the least limit of seconds with which they are worth their beginning.
_SOON, _LATE, _LONG = 0.3, 1.5, 5.0
_LOOK = 2.0  # seconds between two looks at whether the process at the other end of a pipe is there
_BEGIN = "import sys; sys.path[:] = {path!r}; from swarmnet.processes import serve; serve({pipe}, {parent})"
_GONE = (EOFError, OSError)  # what is heard of a process that has died
_IMPORTED = time.time()

_one_fit = threading.Lock()  # has processes; those of another one at the same time would be too many


class ProcessCopies:
    """Copies in processes, which begin by themselves after a while.

    Where none can be begun they are never ready, and when one has died no more.

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
        """work(copy, item) of each (number, item), on a copy of the objective with that number.

        Raises:
            CopiesLost: a process has died, perhaps of the work itself.
        """
        self.ready = False  # again only if all goes well: after Ctrl-C, say, answers to this would wait there
        try:
            answers = self._shared_out(work, items)
        except _GONE:
            raise CopiesLost from None
        self.ready = True
        return [answers[number] for number in range(len(items))]

    def close(self) -> None:
        """End the processes, whatever they are at."""
        self.ready = False
        with self._beginning:  # none begins after those that there are were ended
            self._closed.set()
        for process in self._processes:
            process.kill()
        if self._opener.ident is not None:
            self._opener.join()
        for process in self._processes:
            process.close()

    def _shared_out(self, work: Callable[[Any, T], R], items: Sequence[tuple[int, T]]) -> dict[int, R]:
        """The answers by their items' numbers: each process gets one, large networks first."""
        left = deque(sorted(range(len(items)), key=lambda number: -items[number][0]))
        idle, asked = [*self._processes], dict[Connection, tuple[_Process, int]]()
        answers: dict[int, R] = {}
        while left or asked:
            while left and idle:
                process, number = idle.pop(), left.popleft()
                process.pipe.send((work, *items[number]))
                asked[process.pipe] = process, number
            answered = wait([*asked], _LOOK)
            if not answered and any(process.has_ended for process, _ in asked.values()):
                raise EOFError  # what the user has forked may hold its end of the pipe
            for pipe in answered:
                assert isinstance(pipe, Connection)
                process, number = asked.pop(pipe)
                answers[number] = pipe.recv()
                idle.append(process)
        return answers

    def _open(self) -> None:
        """Begin the processes, and wait until all have made their objectives."""
        self._closed.wait(self._after)
        with contextlib.suppress(Exception):  # whatever it is, the work is done here
            wanted = self._count if _is_as_imported() else 0
            with self._beginning:
                while not self._closed.is_set() and len(self._processes) < wanted:
                    self._processes.append(_Process())
            for process in self._processes:
                process.pipe.send(self._workshop)
            for process in self._processes:
                process.pipe.recv()
            self.ready = len(self._processes) == self._count and not self._closed.is_set()


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

    @property
    def has_ended(self) -> bool:
        """Whether it is no more."""
        return self._python.poll() is not None

    def kill(self) -> None:
        """End it, and the pipe for whoever waits for its answer, even if the user has forked meanwhile."""
        self._python.kill()
        with contextlib.suppress(OSError):
            end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=self.pipe.fileno())
            try:
                end.shutdown(socket.SHUT_RDWR)
            finally:
                end.detach()

    def close(self) -> None:
        """Let go of it."""
        self._python.wait()
        self.pipe.close()


def _code(pipe: Connection) -> str:
    return _BEGIN.format(path=[*map(str, sys.path)], pipe=pipe.fileno(), parent=os.getpid())


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


def serve(pipe: int, parent: int) -> None:
    """What a process does until the pipe ends: work on the objectives of the workshop that comes first.

    Args:
        pipe: its file descriptor.
        parent: who asks, by its process number.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    with contextlib.suppress(*_GONE), Connection(pipe) as asker:
        workshop: Workshop = _heard(asker, parent)
        workshop.make_all()
        answer = None
        while True:
            asker.send(answer)
            work, number, item = _heard(asker, parent)
            answer = work(workshop.objective(number), item)


def _heard(asker: Connection, parent: int) -> Any:
    """The next request.

    Raises:
        EOFError, OSError: there will be none.
    """
    while not asker.poll(_LOOK):
        if os.getppid() != parent:
            raise EOFError  # what it has forked may still hold the pipe
    return asker.recv()


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
    climbs, several = trainer.climbs_at_once(objectives[0]), len(objectives) > 1
    processes = min(objectives[0].threads, _MOST, _MOST if several else climbs)
    long = trainer.seconds is None or trainer.seconds >= _LONG
    suits = _suit(objectives, plan) and sys.getsizeof(workshop) <= _MOST_BYTES
    if (
        min(climbs, processes) < 2
        or not long
        or not suits
        or not _may_begin_any()
        or not _one_fit.acquire(blocking=False)
    ):
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


def _suit(objectives: Sequence[Objective], plan: Blueprint) -> bool:
    """Whether some are too short for threads, and all can be made in another process."""
    # What else is the user's may need what only this process has, or be slow to import.
    ours = all(activation.built_in for objective in objectives for activation in objective.net.activations)
    return ours and isinstance(plan.rows, MixedData) and any(map(is_cheap, objectives))


def _may_begin_any() -> bool:
    """Whether processes would run the Python that this one runs, and have cores to themselves."""
    if os.name != "posix" or hasattr(sys, "frozen"):  # Windows passes pipes on in another way
        return False
    if parent_process() is not None:  # the user has shared the cores out already
        return False
    if not Path(sys.executable or "").name.lower().startswith(("python", "pypy")):
        return False  # but a program that Python is part of
    # Else one that dies could end this process, too, when it is sent to.
    return signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN


def _is_as_imported() -> bool:
    """Whether swarmnet's files are those that this process has imported, and not upgraded or edited since."""
    files = [path.stat() for path in Path(__file__).parent.rglob("*.py")]
    return bool(files) and max(max(file.st_mtime, file.st_ctime) for file in files) <= _IMPORTED
