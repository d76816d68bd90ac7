"""What a terminal shows: a progress bar on standard error, tables and steps on standard output."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

from swarmnet.errors import printable
from swarmnet.steps import LEGEND, NOTATION, Explanation, Matrix, number_text
from swarmnet.trainers.base import Progress

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

_REFRESH = 0.1  # seconds
_WIDEST = 10_000  # characters that a table may need


@contextmanager
def bar() -> Iterator[Callable[[str, Progress], None] | None]:
    """A function that shows a named `Progress`; None where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, TextColumn  # noqa: PLC0415
    from rich.progress import Progress as Display  # noqa: PLC0415

    columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[facts]}")]
    console = Console(file=cast(IO[str], _MayClose(sys.stderr)))
    with Display(*columns, console=console, auto_refresh=False, transient=True) as display:
        task = display.add_task("", total=1.0, facts="")
        last = 0.0

        def show(name: str, now: Progress) -> None:
            nonlocal last
            if time.monotonic() - last < _REFRESH:
                return
            last = time.monotonic()
            display.update(task, description=name, completed=now.fraction, facts=_facts(now))
            display.refresh()

        yield show


def silence(stream: TextIO) -> None:
    """Let a stream that takes no more lead nowhere, so that Python does not try again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class _MayClose:
    """A terminal that may be closed: training goes on where nobody watches it any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            silence(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            silence(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _facts(now: Progress) -> str:
    rate = now.iteration / max(now.seconds, 1e-9)
    left = now.seconds * (1.0 - now.fraction) / now.fraction if now.fraction > 0 else float("inf")
    ahead = f"{left:.0f} s left" if left < 1e6 else ""
    return f"loss {now.best_loss:.3g}  {rate:.0f} it/s  {ahead}"


def print_table(frame: "pd.DataFrame", title: str) -> None:
    """A table as wide as it must be."""
    from rich import box  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for name in frame.columns:
        number = frame[name].dtype.kind in "if"
        table.add_column(Text(str(name)), justify="right" if number else "left")
    for row in frame.itertuples(index=False):
        table.add_row(*(Text(_cell(value)) for value in row))
    _wide_enough(Console(), [table]).print(table)


def _wide_enough(console: "Console", tables: Iterable["Table"]) -> "Console":
    """The console, or one that has room for each table: a number without its last digits is another one."""
    whole = console.options.update(max_width=_WIDEST)
    needed = max(console.measure(table, options=whole).maximum for table in tables)
    return console if needed <= console.width else type(console)(width=needed)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"  # noqa: PLR0124  # NaN: nothing to show
    return printable(str(value))


_MARKS = {"made": "bold yellow", "read": "cyan", "idle": "dim"}


def print_steps(explanation: Explanation) -> None:
    """Each step with its matrices, their active cells marked by colours."""
    from rich.columns import Columns  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    console.print(Text(explanation.title, "bold"))
    console.print(Text("; ").join(Text(words, _MARKS[mark]) for mark, words in LEGEND.items()))
    console.print(Text(NOTATION))
    for number, step in enumerate(explanation.steps, 1):
        console.print()
        console.print(Text(f"{number}. {step.title}", "bold"))
        console.print(Text(step.formula), soft_wrap=True)
        console.print()
        blocks = [block for matrix in step.matrices for block in _blocks(matrix, console.width)]
        tables = (block.renderables[1] for block in blocks)
        _wide_enough(console, tables).print(Columns(blocks, padding=(0, 3)))


def _blocks(matrix: Matrix, width: int) -> Iterator[Any]:
    """The matrix as tables of as many columns as the terminal has room for."""
    from rich import box  # noqa: PLC0415
    from rich.console import Group  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    names = [str(name) for name in matrix.frame.columns]
    rows = list(matrix.cells())
    widest = max([len(name) for name in names] + [len(number_text(x)) for _, row in rows for x, _ in row])
    room = width - max(len(label) for label, _ in rows) - 4
    step = max(1, room // (widest + 2))
    for start in range(0, len(names), step):
        part = slice(start, start + step)
        table = Table(box=box.SIMPLE_HEAD, show_edge=False)
        table.add_column("")
        for name in names[part]:
            table.add_column(Text(name), justify="right")
        for label, cells in rows:
            table.add_row(Text(label), *(Text(number_text(x), _MARKS[mark]) for x, mark in cells[part]))
        yield Group(Text.assemble((matrix.name, "bold"), " ", matrix.what), table, "")
