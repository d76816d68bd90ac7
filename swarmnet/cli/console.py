"""Parts of every command: options, notes, tables, warnings and exit codes.

Results go to standard output or to a file: tables on a terminal, CSV in a pipe, one JSON document with
--json. Notes, the progress bar and errors go to standard error. A user's mistake gives one line there, and
exit code 2.
"""

from __future__ import annotations

import glob
import io
import json
import math
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from swarmnet import interrupts
from swarmnet.atomic_write import refuse_unwritable, write_atomically
from swarmnet.cli import progress
from swarmnet.data.column_names import begins_formula
from swarmnet.data.data_frames import pd
from swarmnet.data.tables import number_of
from swarmnet.errors import SwarmnetError, SwarmnetWarning, printable, unknown
from swarmnet.network.activations import TABLE
from swarmnet.objective.value_losses import LOSSES
from swarmnet.scaling import KINDS
from swarmnet.trainers import TRAINERS
from swarmnet.trainers.result import STATUS

PROGRAM = "swarmnet"
_LEAST_WIDTH = 20  # characters; narrower help texts are not readable


def one_of(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Return the completion of a name by the shell."""
    names = list(known)
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


Names = Annotated[str | None, typer.Option(help="Column names, separated by commas.")]
Definitions = Annotated[
    list[str] | None,
    typer.Option(
        "--define", metavar="NAME = FORMULA", help='What a column holds, as in "Fx = -dE/dx"; repeatable.'
    ),
]
Requirements = Annotated[
    list[str] | None,
    typer.Option(
        "--require",
        metavar="CONSTRAINT",
        help='What holds within the ranges of the inputs, as in "dh/dT >= 0"; repeatable.',
    ),
]
Hidden = Annotated[
    str,
    typer.Option(help="Units of the hidden layers, as in 16,16; auto; or none for a polynomial."),
]
ActivationOption = Annotated[
    str,
    typer.Option(
        help="Of the hidden layers; or one a layer, the output last, as in tanh,sigmoid.",
        autocompletion=one_of(TABLE),
    ),
]
TrainerOption = Annotated[
    str, typer.Option(help=f"One of {', '.join(TRAINERS)}.", autocompletion=one_of(TRAINERS))
]
LossOption = Annotated[str, typer.Option(help="squared or cross-entropy.", autocompletion=one_of(LOSSES))]
ScalingOption = Annotated[
    str, typer.Option(help="standard, minmax or none.", autocompletion=one_of((*KINDS, "none")))
]
WeightOption = Annotated[
    float | None, typer.Option(help="Weight of the derivatives against the values; 1 by default.")
]
PenaltyOption = Annotated[float | None, typer.Option(help="Weight of the squared weights.")]
DegreeOption = Annotated[
    str,
    typer.Option(help="Degree of the polynomial that is added: 0 for none, or auto."),
]
Logarithms = Annotated[
    list[str] | None,
    typer.Option("--log", metavar="NAME", help="Input or output to take the logarithm of; repeatable."),
]
NoiseOption = Annotated[
    str, typer.Option(help="gaussian, or student for data with outliers, which then count less.")
]
Fraction = Annotated[float, typer.Option(help="Share of the points to hold out and test on.")]
UsualFraction = Annotated[
    float | None,
    typer.Option(
        help="Share of the points to hold out and test on; by default 0.2, or 0 if those are fewer than 5."
    ),
]
Seconds = Annotated[float | None, typer.Option(help="The most seconds of training.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.", min=0)]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="File to write the result to.")]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON document instead of tables.")]
MemoryLimit = Annotated[
    str | None, typer.Option(help="As in 1.5GB: data that would take more memory are read piece by piece.")
]
ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="Model file that train wrote.")]


class _Stopped(Exception):
    """Carries the exception that ended a command through Typer."""


class Commands(TyperGroup):
    """Passes Ctrl-C and failed writes on to `run`; Typer would only return an exit code."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if not ctx.resilient_parsing and args[0] not in self.commands:
            raise unknown("command", args[0], self.commands)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, OSError) as error:
            raise _Stopped(error) from error


def example(command: str) -> str:
    """Return the last lines of a command's help; the indent makes it code in the documentation."""
    return f"Example:\n\n    {command}"


def show(frame: pd.DataFrame, title: str, output: Path | None = None) -> None:
    """Show a table on a terminal; write CSV into a file or a pipe."""
    if output is not None or not sys.stdout.isatty():
        write(csv(frame), output)
    elif len(frame):
        progress.print_table(frame, title)


def show_json(document: dict[str, Any], output: Path | None = None) -> None:
    """Write one JSON document."""
    write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n", output)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as JSON values; numbers that are not finite become null."""

    def plain(value: Any) -> Any:
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return [{str(name): plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def write(text: str, output: Path | None = None) -> None:
    """Write text to a file or to standard output."""
    if output is None:
        _write_whole(text)
    else:
        write_atomically(output, text)


def _write_whole(text: str) -> None:
    """Write all text to standard output; if it is unbuffered, one call may write only a part."""
    raw = getattr(sys.stdout, "buffer", None)
    if not isinstance(raw, io.RawIOBase):
        sys.stdout.write(text)
        return
    left = memoryview(text.encode(sys.stdout.encoding, sys.stdout.errors or "strict"))
    while left:
        left = left[raw.write(left) or 0 :]


def csv(frame: pd.DataFrame) -> str:
    """Return a table as CSV; text that a spreadsheet would run as a formula gets an apostrophe before it."""

    def inert(cell: object) -> object:
        runs = isinstance(cell, str) and begins_formula(cell) and number_of(cell) is None
        return f"'{cell}" if runs else cell

    texts = {str(name): frame[name].map(inert) for name in frame.select_dtypes(exclude="number")}
    return frame.assign(**texts).to_csv(index=False, lineterminator="\n")


def note(text: str) -> None:
    """Write a line without control characters to standard error; ignore that it is closed."""
    try:
        sys.stderr.write(printable(" ".join(text.splitlines())) + "\n")
    except OSError:  # a note must not end a long training
        progress.silence(sys.stderr)


def refuse_output(output: Path | None, *taken: str | Path | None) -> None:
    """Refuse, before a long run, a path that cannot be written or that is one of the files `taken`."""
    if output is None:
        return
    refuse_unwritable(output)
    for path in (str(other) for other in taken if other is not None):
        files = map(os.path.realpath, [path, *glob.glob(path, recursive=True)])
        if os.path.realpath(output) in files:
            raise SwarmnetError(f"{output}: cannot write: it is another file of this run; name a new one")


def names(text: str | None) -> list[str] | None:
    """Return the names between commas; a comma within brackets belongs to a name, as in ``p (bar, abs)``."""
    if text is None:
        return None
    depths = list(accumulate((character in "([") - (character in ")]") for character in text))
    is_balanced = not depths or (min(depths) >= 0 and depths[-1] == 0)
    cuts = [at for at, mark in enumerate(text) if mark == "," and not (is_balanced and depths[at])]
    found = [text[a + 1 : b].strip() for a, b in pairwise([-1, *cuts, len(text)])]
    return [name for name in found if name]


def numbers(option: str, form: str, text: str | None) -> dict[str, float]:
    """Return numbers by name, as in "h=2,dh/dT=0.5"; of several equality signs the last separates both."""
    found: dict[str, float] = {}
    for part in names(text) or ():
        name, _, number = (piece.strip() for piece in part.rpartition("="))
        try:
            value = float(number)
        except ValueError:
            name = ""
        if not name:
            raise SwarmnetError(f"{option} must be {form}, not {part!r}")
        if name in found:
            raise SwarmnetError(f"{option} has {name!r} twice: give it once")
        found[name] = value
    return found


def definitions(texts: list[str] | None) -> dict[str, str]:
    """Return formulas by name. Of several equality signs, the last separates both: no formula has one."""
    found: dict[str, str] = {}
    for text in texts or ():
        name, sign, formula = (part.strip() for part in text.rpartition("="))
        if not (name and sign and formula):
            raise SwarmnetError(f'--define must be NAME = FORMULA, as in "Fx = -dE/dx", not {text!r}')
        if name in found:
            raise SwarmnetError(f"--define defines {name!r} twice: define it once")
        found[name] = formula
    return found


def hidden(text: str) -> str | list[int]:
    if text.strip() == "auto":
        return "auto"
    if text.strip() == "none":
        return []
    try:
        widths = [int(part) for part in text.split(",")]
    except ValueError:
        widths = [0]
    if min(widths) < 1:
        raise SwarmnetError(
            f"--hidden must be auto or whole numbers of 1 or more such as 16,16, not {text!r}"
        )
    return widths


def degree(text: str) -> str | int:
    return int(text) if text.strip().isdecimal() else text.strip()


def scaling(text: str) -> str | None:
    if text != "none" and text not in KINDS:
        raise unknown("scaling", text, [*KINDS, "none"])
    return None if text == "none" else text


def activations(text: str) -> str | list[str]:
    names = [name.strip() for name in text.split(",")]
    return names[0] if len(names) == 1 else names


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show each of swarmnet's warnings once, as one line without code."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", SwarmnetWarning)
        # The command train writes its own note of this, with the name of the file.
        warnings.filterwarnings("ignore", re.escape(STATUS["interrupted"]), SwarmnetWarning)
        shown, said = warnings.showwarning, set()

        def say(message: Any, category: Any, *rest: Any, **more: Any) -> None:
            if not issubclass(category, SwarmnetWarning):
                shown(message, category, *rest, **more)
            elif str(message) not in said:
                said.add(str(message))
                note(f"warning: {message}")

        warnings.showwarning = say
        yield


def _run(app: typer.Typer) -> object:
    """Run the command; return its result or exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Pipes and files get UTF-8. A terminal shows the characters that it does not have as escapes.
        encoding = sys.stdout.encoding if sys.stdout.isatty() else "utf-8"
        sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")
    try:
        with _plain_warnings():
            code: object = app(args=sys.argv[1:] or ["--help"], standalone_mode=False, prog_name=PROGRAM)
    except _Stopped as stopped:
        raise stopped.args[0] from None
    sys.stdout.flush()
    return code


def run(app: typer.Typer) -> None:
    """Run a command; the exit code is 2 for a user's mistake, 130 after Ctrl-C, 143 after SIGTERM."""
    _open_closed_streams()
    _make_room()
    with interrupts.obeyed() as came:
        code = _exit_code(app, came)
    sys.exit(128 + came[0] if came and code == 130 else code)


def _open_closed_streams() -> None:
    """Replace standard output or error that the shell has closed (`>&-`) by the null device."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # until the end


def _make_room() -> None:
    """Set a usable width for terminals that are too narrow or report none."""
    for name in ("COLUMNS", "LINES"):
        if not re.fullmatch(r"0*[1-9][0-9]{0,3}", os.environ.get(name, "80")):
            del os.environ[name]  # the terminal is asked instead
    if shutil.get_terminal_size().columns < _LEAST_WIDTH:
        os.environ["COLUMNS"] = str(_LEAST_WIDTH)


def _exit_code(app: typer.Typer, came: Sequence[int]) -> int:
    """Run the command and return its exit code; 130 if one of the signals in `came` ended it."""
    code: object = 2
    try:
        code = _run(app)
    except SwarmnetError as error:
        note(f"error: {error}")
    except (KeyboardInterrupt, typer.Abort):
        note("interrupted")
        code = 130
    except OSError as error:
        progress.silence(sys.stdout)
        if came:  # the terminal is closed
            code = 130
        elif isinstance(error, BrokenPipeError):
            code = 141
        else:
            note(f"error: cannot write the result: {error.strerror}")
    except Exception as error:
        # A usage error of Typer's, whose class moved between its versions.
        if not hasattr(error, "format_message"):
            raise
        words = [PROGRAM, getattr(getattr(error, "ctx", None), "info_name", None), "--help"]
        help_command = " ".join(dict.fromkeys(word for word in words if word))  # once, outside of a command
        note(f"error: {error.format_message().rstrip('.')} (see {help_command})")
    return code if isinstance(code, int) else 0
