"""Terminal output: a progress bar on standard error, tables and steps on standard output."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

from swarmnet import number_format as digits
from swarmnet.errors import printable
from swarmnet.explanation.steps import LEGEND, NOTATION, Explanation, Matrix, number_text
from swarmnet.trainers.result import Progress

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

_REFRESH = 0.1  # seconds between updates of the progress bar
_WIDEST = 10_000  # characters; only bounds the width of a table


@contextmanager
def bar() -> Iterator[Callable[[str, Progress], None] | None]:
    """Yield a function that shows a named `Progress`; None if standard error is not a terminal."""
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
    """Redirect a closed stream to the null device, so that Python does not fail at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class _MayClose:
    """A terminal that may be closed during training, which must continue."""

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
    """Print a table with complete cells; if the terminal is too narrow, in several parts."""
    from rich import box  # noqa: PLC0415
    from rich.cells import cell_len  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from swarmnet.data.tables import number_of  # noqa: PLC0415

    console = Console()
    columns = [[printable(str(name)), *(_cell(value, str(name)) for value in frame[name])] for name in frame]
    for part in _parts([max(map(cell_len, column)) + 3 for column in columns], console.width - 1):
        table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
        numbers = [all(number_of(cell) is not None for cell in columns[at][1:]) for at in part]
        for at, number in zip(part, numbers, strict=True):
            name = columns[at][0]
            table.add_column(Text(name), justify="right" if number else "left", overflow="fold")
        for row in zip(*(columns[at][1:] for at in part), strict=True):
            table.add_row(*map(Text, row))
        (_wide_enough(console, [table]) if any(numbers) else console).print(table)  # text may be folded
        title = ""


def _wide_enough(console: "Console", tables: Iterable["Table"]) -> "Console":
    """Return the console, or a wider one in which no digits of a table are cut off."""
    whole = console.options.update(max_width=_WIDEST)
    needed = max(console.measure(table, options=whole).maximum for table in tables)
    return console if needed <= console.width else type(console)(width=needed)


def _parts(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Yield the columns of each part that fits; the first column is in every part."""
    part, used = [0], widths[0]
    for at in range(1, len(widths)):
        if used + widths[at] > room and len(part) > 1:
            yield part
            part, used = [0], widths[0]
        part.append(at)
        used += widths[at]
    yield part


def _cell(value: Any, column: str) -> str:
    if not isinstance(value, float):
        return printable(str(value))
    if value != value:  # noqa: PLR0124  # NaN: nothing to show
        return ""
    return digits.share(value) if column == "r2" else f"{value:.4g}"


_MARKS = {"made": "bold yellow", "read": "cyan", "idle": "dim"}


def print_steps(explanation: Explanation) -> None:
    """Print each step with its matrices; colours mark the active cells."""
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
    """Yield the matrix as tables whose columns fit into the terminal."""
    from rich import box  # noqa: PLC0415
    from rich.console import Group  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    names = [str(name) for name in matrix.frame.columns]
    rows = list(matrix.cells())
    widest = max(
        [len(name) for name in names]
        + [len(number_text(x, matrix.digits)) for _, row in rows for x, _ in row]
    )
    room = width - max(len(label) for label, _ in rows) - 4
    step = max(1, room // (widest + 2))
    for start in range(0, len(names), step):
        part = slice(start, start + step)
        table = Table(box=box.SIMPLE_HEAD, show_edge=False)
        table.add_column("")
        for name in names[part]:
            table.add_column(Text(name), justify="right")
        for label, cells in rows:
            table.add_row(
                Text(label), *(Text(number_text(x, matrix.digits), _MARKS[mark]) for x, mark in cells[part])
            )
        yield Group(Text.assemble((matrix.name, "bold"), " ", matrix.what), table, "")
