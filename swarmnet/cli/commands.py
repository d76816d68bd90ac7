"""The commands of swarmnet; those with many options are in modules of their own."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from swarmnet.cli import console, printing, progress
from swarmnet.cli.comparing import compare
from swarmnet.cli.example_data import datasets
from swarmnet.cli.model_files import holds_model, loaded
from swarmnet.cli.opening import note_columns_left_out
from swarmnet.cli.plotting import plot
from swarmnet.cli.reading import Anything, DataFiles, Points, SomeFiles, with_reading
from swarmnet.cli.suggesting import suggest
from swarmnet.cli.training import train
from swarmnet.data.column_names import listed
from swarmnet.data.file_paths import name_of
from swarmnet.data.inspection import inspect_data
from swarmnet.data.readers import read, read_query
from swarmnet.data.reading import AS_FOUND, Reading
from swarmnet.errors import SwarmnetError
from swarmnet.explanation.explanation import explain as explain_row
from swarmnet.model.metrics import evaluate as errors_of
from swarmnet.model.worst_entries import worst_entries
from swarmnet.version import __version__

app = typer.Typer(
    cls=console.Commands,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        console.write(f"swarmnet {__version__}\n")
        raise typer.Exit


@app.callback()
def swarmnet(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Train small networks on values and partial derivatives, and query both."""


app.command(epilog=console.example("swarmnet train water.csv -o water.json --seconds 30"))(train)


@app.command(epilog=console.example("swarmnet predict water.json points.csv --jacobian -o slopes.csv"))
@with_reading
def predict(
    model: console.ModelFile,
    query: Points,
    jacobian: Annotated[bool, typer.Option("--jacobian", help="Add first derivatives.")] = False,
    hessian: Annotated[bool, typer.Option("--hessian", help="Add second derivatives.")] = False,
    std: Annotated[bool, typer.Option("--std", help="Add error bars, as sigma(...) columns.")] = False,
    quantity: Annotated[
        list[str] | None,
        typer.Option("--quantity", help='Add a formula, as "h - T*dh/dT", or a name defined in training.'),
    ] = None,
    outside: Annotated[
        bool, typer.Option("--outside", help="Add a column of the inputs beyond their training range.")
    ] = False,
    output: console.Output = None,
    reading: Reading = AS_FOUND,
) -> None:
    """Values, and derivatives and formulas if asked for, at the points of a file; CSV."""
    console.refuse_output(output, model, *query)
    fitted = replace(loaded(model, query), warns_outside=False)  # the note below names the file
    points, ignored = read_query(query, fitted.inputs, reading, fitted.units)
    if ignored:
        console.note(f"{name_of(query)}: columns not needed: {listed(ignored)}")
    table = fitted.table(points, jacobian, hessian, std, quantity or (), outside)
    if not outside and (note := fitted.region.note(points)):
        console.note(f"warning: {name_of(query)}: {note}; --outside tells each row")
    console.write(console.csv(table), output)


@app.command(epilog=console.example("swarmnet evaluate water.json water_test.csv"))
@with_reading
def evaluate(
    model: console.ModelFile,
    data: DataFiles,
    define: console.Definitions = None,
    worst: Annotated[
        int | None, typer.Option(help="Show so many entries with the largest residuals instead.", min=1)
    ] = None,
    memory_limit: console.MemoryLimit = None,
    output: console.Output = None,
    json: console.Json = False,
    reading: Reading = AS_FOUND,
) -> None:
    """Errors of a model on data, values and each partial apart, in the data's units."""
    console.refuse_output(output, model, *data)
    fitted = loaded(model, data)
    formulas = console.definitions(define)
    tested = read(data, fitted.inputs, fitted.outputs, memory_limit, define=formulas, reading=reading)
    missed = None
    if worst is not None:
        if tested.in_memory is None:
            raise SwarmnetError("--worst needs the data in memory: raise --memory-limit, or leave it out")
        missed = printing.rows_from_1(worst_entries(fitted, tested.in_memory, worst))
    if json:
        errors = console.records(errors_of(fitted, tested))
        found = {"model": str(model), "rows": tested.n, "errors": errors}
        console.show_json(found | ({} if missed is None else {"worst": console.records(missed)}), output)
    elif missed is not None:
        printing.show_worst(missed, tested.n, output)
    else:
        console.show(errors_of(fitted, tested), f"errors on {tested.n} rows", output)


app.command(epilog=console.example("swarmnet compare water.csv --trainers hybrid,adam --seconds 5"))(compare)
app.command(epilog=console.example("swarmnet suggest water.json -n 4 --costs dh/dT=0.5 -o next.csv"))(suggest)
app.command(epilog=console.example("swarmnet plot water.json water_test.csv -o water.png"))(plot)


@app.command(epilog=console.example("swarmnet report water.json water_test.csv -o water.html"))
@with_reading
def report(
    model: console.ModelFile,
    data: SomeFiles = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write the report to.")] = Path(
        "report.html"
    ),
    define: console.Definitions = None,
    reading: Reading = AS_FOUND,
) -> None:
    """One HTML page to explore a model with: its curves move with sliders, without a network."""
    console.refuse_output(output, model, *(data or ()))
    fitted = loaded(model, data)
    formulas = console.definitions(define)
    names = fitted.inputs, fitted.outputs
    tested = read(data, *names, define=formulas, reading=reading) if data else None
    fitted.report(output, tested)


@app.command(epilog=console.example("swarmnet inspect water.csv"))
@with_reading
def inspect(
    files: Anything,
    inputs: console.Names = None,
    outputs: console.Names = None,
    define: console.Definitions = None,
    json: console.Json = False,
    reading: Reading = AS_FOUND,
) -> None:
    """What is in a data or model file: entries, ranges, what is missing, what is not identifiable."""
    if len(files) == 1 and (files[0].lower().endswith(".json") or holds_model(files[0])):
        printing.show_model(loaded(Path(files[0])), json)
    else:
        note_columns_left_out(files, inputs, outputs, define, reading)
        roles, formulas = (console.names(inputs), console.names(outputs)), console.definitions(define)
        printing.show_data(inspect_data(read(files, *roles, define=formulas, reading=reading)), json)


@app.command(epilog=console.example("swarmnet explain water.json water.csv --row 3 --html steps.html"))
@with_reading
def explain(
    model: console.ModelFile,
    data: DataFiles,
    row: Annotated[int, typer.Option(help="Which row of DATA: 1 is the first below the header.", min=1)] = 1,
    learning_rate: Annotated[float, typer.Option(help="Of the step of gradient descent.")] = 0.1,
    html: Annotated[Path | None, typer.Option(help="File to write a page to, instead.")] = None,
    define: console.Definitions = None,
    reading: Reading = AS_FOUND,
) -> None:
    """A forward pass and a step of backpropagation for one row of data, number by number."""
    console.refuse_output(html, model, *data)
    fitted = loaded(model, data)
    mixed = read(data, fitted.inputs, fitted.outputs, define=console.definitions(define), reading=reading)
    found = explain_row(fitted, mixed, row, learning_rate, first_row=1)
    found = replace(found, title=f"{name_of(data)}, row {row}: {found.title}")
    if html is not None:
        found.to_html(html)
    elif sys.stdout.isatty():
        progress.print_steps(found)
    else:
        console.write(found.to_text())


@app.command(epilog=console.example("swarmnet export water.json -o water.onnx --dtype float32"))
def export(
    model: console.ModelFile,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="File to write: FILE.onnx, or source code in FILE.c, FILE.js or FILE.py."
        ),
    ],
    dtype: Annotated[
        str | None, typer.Option(help="float64 (the default) or float32, for ONNX and C.")
    ] = None,
    std: Annotated[bool, typer.Option("--std", help="Add error bars, for C.")] = False,
) -> None:
    """A model for other tools, with its derivatives: an ONNX graph, or code in C, JavaScript or Python."""
    kind = output.suffix.lower()
    if kind not in (".onnx", ".c", ".js", ".mjs", ".py"):
        raise SwarmnetError(
            f"{output}: the name says what to write: it must end in .onnx, .c, .js, .mjs or .py"
        )
    if kind not in (".onnx", ".c") and dtype is not None:
        raise SwarmnetError(f"--dtype is for ONNX and C: a {kind} file is in float64; leave it out")
    if kind != ".c" and std:
        raise SwarmnetError(f"--std is for C: a {kind} file has no error bars; leave it out")
    console.refuse_output(output, model)
    fitted, precision = loaded(model), "float64" if dtype is None else dtype
    if kind == ".onnx":
        fitted.to_onnx(output, precision)
    elif kind == ".c":
        fitted.to_c(output, precision, std)
    elif kind == ".py":
        fitted.to_python(output)
    else:
        fitted.to_javascript(output)


app.command(epilog=console.example("swarmnet datasets"))(datasets)


def main() -> None:
    """The entry point of the command `swarmnet`."""
    console.run(app)
