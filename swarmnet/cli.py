"""The command line: swarmnet train, predict, evaluate, compare, inspect.

Results go to standard output or to the file named: tables on a terminal, CSV when piped. Notes, the progress
bar and errors go to standard error; a user's mistake is one line there, and exit code 2.
"""

import glob
import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from swarmnet import progress
from swarmnet.errors import SwarmnetError, SwarmnetWarning, unknown
from swarmnet.trainers import TRAINERS
from swarmnet.trainers.base import STATUS

if TYPE_CHECKING:
    import pandas as pd


class _Stopped(Exception):
    """Carries what ended a command past Typer."""


class _Commands(TyperGroup):
    """Lets `main` see Ctrl-C and failed writes, which Typer turns into exit codes without a word."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if not ctx.resilient_parsing and args[0] not in self.commands:
            raise unknown("command", args[0], self.commands)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, OSError) as error:
            raise _Stopped(error) from error


app = typer.Typer(
    cls=_Commands,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Train small networks on values and partial derivatives, and query both.",
)

Names = Annotated[str | None, typer.Option(help="Column names, separated by commas.")]
Hidden = Annotated[str, typer.Option(help="Units of the hidden layers, as in 16,16, or auto.")]
ActivationOption = Annotated[
    str, typer.Option(help="Of the hidden layers; or one a layer, the output last, as in tanh,sigmoid.")
]
LossOption = Annotated[str, typer.Option(help="squared or cross-entropy.")]
ScalingOption = Annotated[str, typer.Option(help="standard, minmax or none.")]
WeightOption = Annotated[
    float | None, typer.Option(help="Weight of the derivatives against the values; 1 by default.")
]
PenaltyOption = Annotated[float | None, typer.Option(help="Weight of the squared weights.")]
Fraction = Annotated[float, typer.Option(help="Share of the rows to hold out and test on.")]
Seconds = Annotated[float | None, typer.Option(help="The most seconds of training.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.", min=0)]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="File to write the result to.")]
DataFile = Annotated[str, typer.Argument(metavar="DATA", help="CSV or Parquet file, or a glob.")]
ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="Model file that train wrote.")]


@app.command()
def train(
    data: DataFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write the model to.")] = Path(
        "model.json"
    ),
    hidden: Hidden = "auto",
    activation: ActivationOption = "tanh",
    trainer: Annotated[str, typer.Option(help=f"One of {', '.join(TRAINERS)}.")] = "hybrid",
    inputs: Names = None,
    outputs: Names = None,
    test_fraction: Fraction = 0.2,
    seconds: Seconds = None,
    iterations: Annotated[int | None, typer.Option(help="The most iterations.")] = None,
    particles: Annotated[int | None, typer.Option(help="The swarm's size.")] = None,
    loss: LossOption = "squared",
    scaling: ScalingOption = "standard",
    derivative_weight: WeightOption = None,
    l2: PenaltyOption = None,
    seed: Seed = 0,
    checkpoint: Annotated[
        Path | None, typer.Option(help="File to keep the state in, and to go on from: give the same again.")
    ] = None,
    checkpoint_every: Annotated[
        float | None, typer.Option(help="Seconds between two checkpoints; 30 by default.")
    ] = None,
) -> None:
    """Train a model, test it on rows held out, and save it.

    Example: swarmnet train water.csv -o water.json --seconds 30
    """
    from swarmnet.checkpoint import EVERY  # noqa: PLC0415
    from swarmnet.fitting import fit  # noqa: PLC0415
    from swarmnet.metrics import evaluate  # noqa: PLC0415
    from swarmnet.readers import read  # noqa: PLC0415
    from swarmnet.splitting import split  # noqa: PLC0415

    _refuse_output(output, data)
    _refuse_output(checkpoint, data, output)
    if checkpoint is None and checkpoint_every is not None:
        raise SwarmnetError("--checkpoint-every needs --checkpoint FILE")
    kept, held_out = split(read(data, _names(inputs), _names(outputs)), test_fraction, seed)
    with progress.bar() as show:
        model = fit(
            kept,
            hidden=_hidden(hidden),
            activation=_activations(activation),
            trainer=trainer,
            seed=seed,
            iterations=iterations,
            seconds=seconds,
            particles=particles,
            loss=loss,
            scaling=_scaling(scaling),
            derivative_weight=derivative_weight,
            l2=l2,
            checkpoint=checkpoint,
            checkpoint_every=EVERY if checkpoint_every is None else checkpoint_every,
            callback=None if show is None else lambda now: show("training", now),
        )
    model.save(output)
    record = model.training
    _note(
        f"{output}: {model.net!r}, {record['seconds']:.1f} s, {record['evaluations']} evaluations, "
        f"loss {record['loss']:.3g}: {record['message']}"
    )
    if held_out is None:
        _note("no rows held out: raise --test-fraction, or use swarmnet evaluate on other data")
    else:
        _show(evaluate(model, held_out), f"errors on {held_out.n} rows held out")
    if record["status"] == "interrupted":
        raise typer.Exit(130)


@app.command()
def predict(
    model: ModelFile,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="CSV or Parquet file of inputs.")],
    jacobian: Annotated[bool, typer.Option("--jacobian", help="Add first derivatives.")] = False,
    hessian: Annotated[bool, typer.Option("--hessian", help="Add second derivatives.")] = False,
    std: Annotated[bool, typer.Option("--std", help="Add error bars, as sigma(...) columns.")] = False,
    output: Output = None,
) -> None:
    """Values, and derivatives if asked for, at the points of a file; CSV.

    Example: swarmnet predict water.json points.csv --jacobian -o slopes.csv
    """
    from swarmnet.files import write_atomically  # noqa: PLC0415
    from swarmnet.model import load  # noqa: PLC0415
    from swarmnet.readers import read_query  # noqa: PLC0415

    _refuse_output(output, model, query)
    fitted = load(model)
    points, ignored = read_query(query, fitted.inputs)
    if ignored:
        _note(f"{query}: columns not needed: {', '.join(ignored)}")
    text = _csv(fitted.table(points, jacobian, hessian, std))
    if output is None:
        sys.stdout.write(text)
    else:
        write_atomically(output, text)


@app.command()
def evaluate(model: ModelFile, data: DataFile, output: Output = None) -> None:
    """Errors of a model on data, values and each partial apart, in the data's units.

    Example: swarmnet evaluate water.json water_test.csv
    """
    from swarmnet.metrics import evaluate as errors_of  # noqa: PLC0415
    from swarmnet.model import load  # noqa: PLC0415
    from swarmnet.readers import read  # noqa: PLC0415

    _refuse_output(output, model, data)
    fitted = load(model)
    tested = read(data, fitted.inputs, fitted.outputs)
    _show(errors_of(fitted, tested), f"errors on {tested.n} rows", output)


@app.command()
def compare(
    data: DataFile,
    trainers: Annotated[str, typer.Option(help="Trainers, separated by commas.")] = "pso,hybrid,adam,lbfgs",
    repeats: Annotated[int, typer.Option(help="Seeds for each trainer.")] = 5,
    seconds: Seconds = None,
    evaluations: Annotated[int | None, typer.Option(help="Budget of a run in evaluations.")] = None,
    hidden: Hidden = "auto",
    activation: ActivationOption = "tanh",
    loss: LossOption = "squared",
    scaling: ScalingOption = "standard",
    derivative_weight: WeightOption = None,
    l2: PenaltyOption = None,
    inputs: Names = None,
    outputs: Names = None,
    test: Annotated[str | None, typer.Option(help="File to test on, instead of rows held out.")] = None,
    test_fraction: Fraction = 0.2,
    output: Output = None,
    curves: Annotated[Path | None, typer.Option(help="File for the loss of every iteration, CSV.")] = None,
    seed: Seed = 0,
) -> None:
    """Train by several trainers with the same budget; medians and quartiles over seeds.

    Example: swarmnet compare water.csv --trainers pso,hybrid --seconds 5 -o comparison.csv
    """
    from swarmnet.comparison import compare as run_all  # noqa: PLC0415
    from swarmnet.files import write_atomically  # noqa: PLC0415
    from swarmnet.readers import read  # noqa: PLC0415

    _refuse_output(output, data, test)
    _refuse_output(curves, data, test, output)
    mixed = read(data, _names(inputs), _names(outputs))
    with progress.bar() as show:
        comparison = run_all(
            mixed,
            _names(trainers) or [],
            repeats,
            seconds,
            seed,
            evaluations=evaluations,
            hidden=_hidden(hidden),
            activation=_activations(activation),
            loss=loss,
            scaling=_scaling(scaling),
            derivative_weight=derivative_weight,
            l2=l2,
            test=test,
            test_fraction=test_fraction,
            progress=_named_progress(show),
        )
    if curves is not None:
        write_atomically(curves, _csv(comparison.curves))
    if output is not None:
        write_atomically(output, _csv(comparison.table.reset_index()))
    if output is None or sys.stdout.isatty():
        _show_comparison(comparison.table)


@app.command()
def inspect(
    file: Annotated[str, typer.Argument(metavar="DATA|MODEL", help="Data, or a model file.")],
    inputs: Names = None,
    outputs: Names = None,
) -> None:
    """What is in a data or model file: entries, ranges, what is missing, what is not identifiable.

    Example: swarmnet inspect water.csv
    """
    import pandas as pd  # noqa: PLC0415

    from swarmnet.inspection import inspect_data  # noqa: PLC0415
    from swarmnet.model import load  # noqa: PLC0415
    from swarmnet.readers import read  # noqa: PLC0415

    if _is_model(file):
        _show_model(load(file))
        return
    found = inspect_data(read(file, _names(inputs), _names(outputs)))
    tables = {
        "columns": found.columns,
        "observed together": found.patterns,
        "points in more than one row": pd.DataFrame(
            [{"points": found.repeated_points, "rows": found.repeated_rows}] if found.repeated_points else []
        ),
        "observed more than once at a point": found.repeated,
        "not identifiable": pd.DataFrame({"not identifiable": found.not_identifiable}),
    }
    for number, (title, table) in enumerate((t, f) for t, f in tables.items() if len(f)):
        if number and not sys.stdout.isatty():
            sys.stdout.write("\n")
        _show(table, title)


def _is_model(file: str) -> bool:
    """By its name, or by its first byte, with which no CSV or Parquet file begins."""
    if file.lower().endswith(".json"):
        return True
    if not os.path.isfile(file):  # a pipe can be read only once: it is data
        return False
    try:
        with open(file, "rb") as opened:
            return opened.read(1) == b"{"
    except OSError:
        return False


def _show_model(model: Any) -> None:
    import pandas as pd  # noqa: PLC0415

    net = model.net
    facts = {
        "inputs": ", ".join(model.inputs),
        "outputs": ", ".join(model.outputs),
        "layers": "-".join(map(str, net.sizes)),
        "activations": ", ".join(act.name for act in net.activations),
        "weights": net.size,
    } | {name: _listed(value) if isinstance(value, dict) else value for name, value in model.training.items()}
    _show(pd.DataFrame({"what": list(facts), "value": [str(v) for v in facts.values()]}), "model")


def _listed(facts: dict[str, Any]) -> str:
    """Pairs as 1..2, what has parts in parentheses; what was not set is left out."""

    def text(value: Any) -> str:
        if isinstance(value, dict):
            return f"({_listed(value)})"
        if isinstance(value, list) and len(value) == 2:
            return f"{value[0]:g}..{value[1]:g}"
        return str(value)

    return ", ".join(f"{name} {text(value)}" for name, value in facts.items() if value is not None)


def _show_comparison(table: "pd.DataFrame") -> None:
    """On a terminal: median [quartiles] in a cell, a row a quantity. Piped: the whole table as CSV."""
    import pandas as pd  # noqa: PLC0415

    if not sys.stdout.isatty():
        sys.stdout.write(_csv(table.reset_index()))
        return
    cells = {
        name: [
            f"{median:.3g} [{table.loc[name, f'{q} q1']:.3g}, {table.loc[name, f'{q} q3']:.3g}]"
            for q, median in row.items()
            if f"{q} q1" in table
        ]
        for name, (_, row) in zip(table.index.astype(str), table.iterrows(), strict=True)
    }
    quantities = [q for q in table.columns if f"{q} q1" in table]
    frame = pd.DataFrame({"median [quartiles]": quantities} | cells)
    _show(frame, "the same rows, network and budget")


def _show(frame: "pd.DataFrame", title: str, output: Path | None = None) -> None:
    """A table on a terminal; CSV in a file or a pipe."""
    if output is not None:
        from swarmnet.files import write_atomically  # noqa: PLC0415

        write_atomically(output, _csv(frame))
    elif not sys.stdout.isatty():
        sys.stdout.write(_csv(frame))
    elif len(frame):
        progress.print_table(frame, title)


def _named_progress(
    show: Callable[[str, Any], None] | None,
) -> Callable[[str, int, Any], None] | None:
    return None if show is None else lambda name, repeat, now: show(f"{name}, seed {repeat + 1}", now)


def _csv(frame: "pd.DataFrame") -> str:
    return frame.to_csv(index=False, lineterminator="\n")


def _note(text: str) -> None:
    sys.stderr.write(" ".join(text.splitlines()) + "\n")


def _refuse_output(output: Path | None, *taken: str | Path | None) -> None:
    """Before a long run: refuse a path that cannot be written, or that is one of the files `taken`."""
    from swarmnet.files import refuse_unwritable  # noqa: PLC0415

    if output is None:
        return
    refuse_unwritable(output)
    files = {os.path.realpath(file) for other in taken if other is not None for file in _matches(other)}
    if os.path.realpath(output) in files:
        raise SwarmnetError(f"{output}: cannot write: it is another file of this run; name a new one")


def _matches(path: str | Path) -> list[str]:
    """The file itself, and whatever it matches as a glob."""
    return [str(path), *glob.glob(str(path), recursive=True)]


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _hidden(text: str) -> str | list[int]:
    if text.strip() == "auto":
        return "auto"
    try:
        widths = [int(part) for part in text.split(",")]
    except ValueError:
        widths = [0]
    if min(widths) < 1:
        raise SwarmnetError(
            f"--hidden must be auto or whole numbers of 1 or more such as 16,16, not {text!r}"
        )
    return widths


def _scaling(text: str) -> str | None:
    from swarmnet.scaling import KINDS  # noqa: PLC0415

    if text != "none" and text not in KINDS:
        raise unknown("scaling", text, [*KINDS, "none"])
    return None if text == "none" else text


def _activations(text: str) -> str | list[str]:
    names = [name.strip() for name in text.split(",")]
    return names[0] if len(names) == 1 else names


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show each of swarmnet's warnings once, as one line without code."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", SwarmnetWarning)
        # Of this train tells itself, with the name of the file.
        warnings.filterwarnings("ignore", re.escape(STATUS["interrupted"]), SwarmnetWarning)
        shown, said = warnings.showwarning, set()

        def show(message: Any, category: Any, *rest: Any, **more: Any) -> None:
            if not issubclass(category, SwarmnetWarning):
                shown(message, category, *rest, **more)
            elif str(message) not in said:
                said.add(str(message))
                _note(f"warning: {message}")

        warnings.showwarning = show
        yield


def _run() -> object:
    """What the command returns or exits with."""
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8")  # as the files are, so that > and -o write the same
    try:
        with _plain_warnings():
            code: object = app(args=sys.argv[1:] or ["--help"], standalone_mode=False)
    except _Stopped as stopped:
        raise stopped.args[0] from None
    sys.stdout.flush()
    return code


def main() -> None:
    """Run a command; the exit code is 2 for a user's mistake, 130 after Ctrl-C."""
    try:
        code = _run()
    except SwarmnetError as error:
        _note(f"error: {error}")
        code = 2
    except (KeyboardInterrupt, typer.Abort):
        _note("interrupted")
        code = 130
    except OSError as error:
        # Standard output takes no more, and Python must not try again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
        if not isinstance(error, BrokenPipeError):
            _note(f"error: cannot write the result: {error.strerror}")
            code = 2
    except Exception as error:
        # A usage error of Typer's, whose class moved between its versions.
        if not hasattr(error, "format_message"):
            raise
        _note(f"error: {error.format_message().rstrip('.')} (see swarmnet --help)")
        code = 2
    sys.exit(code if isinstance(code, int) else 0)
