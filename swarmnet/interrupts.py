"""What ends a command from outside: Ctrl-C, SIGTERM and a closed terminal.

The first such signal raises KeyboardInterrupt, as Ctrl-C does anywhere in Python. Others often follow it at
once, from the shell or the system; they must not keep the command from saving what it has. In a process that
is no command of swarmnet's, nothing of this is installed, and `hold` does nothing.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

_PATIENCE = 10.0  # seconds after which Ctrl-C given again ends what the first one did not
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


@dataclass
class _Ending:
    """The signals that came to a command, and whether it is to save something before it obeys them."""

    came: list[int] = field(default_factory=list)
    keeps: bool = False
    holds: bool = False
    _since: float = 0.0

    def take(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            KeyboardInterrupt: it is the first, or Ctrl-C by somebody who has waited long.
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
    """Between two iterations: a signal that came and did not end training is raised anew.

    Python drops what is raised where an object is deleted, for instance.

    Raises:
        KeyboardInterrupt: one came.
    """
    if _command.came:
        raise KeyboardInterrupt


def hold() -> None:
    """Training has ended: let signals wait until its result is saved, where somebody is `keeping` it."""
    _command.holds = _command.keeps


@contextmanager
def keeping() -> Iterator[None]:
    """For a command that trains and then saves: a signal that comes after `hold` is obeyed when this ends.

    Raises:
        KeyboardInterrupt: one came.
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
    """Take the signals that end a command, and list those that come; under nohup, some are ignored."""
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
