"""Signals that end a command: Ctrl-C (SIGINT), SIGTERM and SIGHUP (a closed terminal).

The first signal raises KeyboardInterrupt, as Ctrl-C does in any Python program. The shell or the system often
sends more signals directly after it; these must not stop the command from saving its result. Only swarmnet's
commands install these handlers. In any other process, `hold` does nothing.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

_PATIENCE = 10.0  # seconds after the first signal from which another Ctrl-C raises again
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


@dataclass
class _Ending:
    """The signals received during a command, and whether it must save its result before it ends."""

    came: list[int] = field(default_factory=list)
    keeps: bool = False
    holds: bool = False
    _since: float = 0.0

    def take(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            KeyboardInterrupt: it is the first signal, or a repeated Ctrl-C more than `_PATIENCE` s after it.
        """
        now, first = time.monotonic(), not self.came
        self.came.append(number)
        if first:
            self._since = now
        impatient = not first and number == signal.SIGINT and now - self._since > _PATIENCE
        if impatient or (first and not self.holds):
            raise KeyboardInterrupt


_command = _Ending()


def insist() -> None:
    """Raise again, between two iterations, for a signal that was received but did not end training.

    Python can lose an exception from a signal handler, for example one raised inside `__del__`.

    Raises:
        KeyboardInterrupt: a signal was received.
    """
    if _command.came:
        raise KeyboardInterrupt


def hold() -> None:
    """Call at the end of training: inside `keeping`, delay later signals until the result is saved."""
    _command.holds = _command.keeps


@contextmanager
def keeping() -> Iterator[None]:
    """Wrap a command that trains and then saves: signals after `hold` take effect when this block ends.

    Raises:
        KeyboardInterrupt: a signal was received after `hold`.
    """
    _command.keeps = True
    try:
        yield
        if _command.holds and _command.came:
            raise KeyboardInterrupt
    finally:
        _command.keeps = _command.holds = False


@contextmanager
def obeyed() -> Iterator[list[int]]:
    """Handle the signals that end a command and yield those received; ignored ones stay ignored."""
    global _command
    before, _command = _command, _Ending()
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    usual = (signal.SIG_DFL, signal.default_int_handler)
    taken = {number: was for number in numbers if (was := signal.getsignal(number)) in usual}
    try:
        for number in taken:
            signal.signal(number, _command.take)
        yield _command.came
    finally:
        for number, was in taken.items():
            signal.signal(number, was)
        _command = before
