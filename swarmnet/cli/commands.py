"""The commands: swarmnet train, predict, evaluate, compare, report, inspect, explain, export."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swarmnet import interrupts
from swarmnet.cli import console, printing, progress
from swarmnet.errors import SwarmnetError
from swarmnet.version import __version__

if TYPE_CHECKING:
    pass
from swarmnet.cli.saving import save

app = typer.Typer(
    cls=console.Commands,
    add_completion=True,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        console.write(f"swarmnet {__version__}\n")
        raise typer.Exit


@app.callback()
def swarmnet(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Train small networks on values and partial derivatives, and query both."""


@app.command(epilog=console.example("swarmnet train water.csv -o water.json --seconds 30"))
def train(
    data: console.DataFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write the model to.")] = Path(
        "model.json"
    ),
    hidden: console.Hidden = "auto",
    activation: console.ActivationOption = "tanh",
    trainer: console.TrainerOption = "hybrid",
    inputs: console.Names = None,
    outputs: console.Names = None,
    test_fraction: console.UsualFraction = None,
    seconds: console.Seconds = None,
    iterations: Annotated[int | None, typer.Option(help="The most iterations.")] = None,
    particles: Annotated[int | None, typer.Option(help="The swarm's size.")] = None,
    loss: console.LossOption = "squared",
    scaling: console.ScalingOption = "standard",
    derivative_weight: console.WeightOption = None,
    l2: console.PenaltyOption = None,
    seed: console.Seed = 0,
    checkpoint: Annotated[
        Path | None, typer.Option(help="File to keep the state in, and to go on from: give the same again.")
    ] = None,
    checkpoint_every: Annotated[
        float | None, typer.Option(help="Seconds between two checkpoints; 30 by default.")
    ] = None,
    memory_limit: console.MemoryLimit = None,
    dtype: Annotated[
        str, typer.Option(help="float64, or float32: sums in half the time and room, and less exact.")
    ] = "float64",
    scheduler: Annotated[
        str | None,
        typer.Option(help="Dask scheduler whose workers read the data, as tcp://host:8786; or local."),
    ] = None,
    json: console.Json = False,
) -> None:
    """Train a model, test it on rows held out, and save it."""
    from swarmnet.data.splitting import LEAST_HELD_OUT, split, usual_fraction  # noqa: PLC0415
    from swarmnet.fitting.fitting import fit  # noqa: PLC0415
    from swarmnet.model.metrics import evaluate  # noqa: PLC0415
    from swarmnet.trainers.checkpoint import EVERY  # noqa: PLC0415

    console.refuse_output(output, data)
    console.refuse_output(checkpoint, data, output)
    if checkpoint is None and checkpoint_every is not None:
        raise SwarmnetError("--checkpoint-every needs --checkpoint FILE")
    seen: list[int] = []

    def watch(now: Any) -> None:
        if not seen and now.iteration > 1:
            console.note(f"{checkpoint}: going on from iteration {now.iteration - 1}")
        seen[:] = [now.iteration]
        if show is not None:
            show("training", now)

    with interrupts.keeping(), _opened(data, inputs, outputs, memory_limit, scheduler) as found:
        share = usual_fraction(found) if test_fraction is None else test_fraction
        kept, held_out = split(found, share, seed)
        with progress.bar() as show:
            model = fit(
                kept,
                hidden=console.hidden(hidden),
                activation=console.activations(activation),
                trainer=trainer,
                seed=seed,
                iterations=iterations,
                seconds=seconds,
                particles=particles,
                loss=loss,
                scaling=console.scaling(scaling),
                derivative_weight=derivative_weight,
                l2=l2,
                checkpoint=checkpoint,
                checkpoint_every=EVERY if checkpoint_every is None else checkpoint_every,
                callback=watch if checkpoint or show else None,
                dtype=dtype,
            )
        save(model, output)
    if checkpoint and not seen:
        console.note(f"{checkpoint}: that run had ended: nothing was left to train")
    record = model.training
    console.note(
        f"{output}: {model.net!r}, {record['seconds']:.1f} s, {record['evaluations']} evaluations, "
        f"loss {record['loss']:.3g}{_chi2(record)}: {record['message']}"
    )
    if held_out is None and test_fraction is None:
        console.note(
            f"no rows held out: a fifth of so few is less than {LEAST_HELD_OUT} points, which say little; "
            "use swarmnet evaluate on other data, or --test-fraction"
        )
    elif held_out is None:
        console.note("no rows held out: raise --test-fraction, or use swarmnet evaluate on other data")
    errors = None if held_out is None else evaluate(model, held_out)
    tested = 0 if held_out is None else held_out.n
    if json:
        rows = [] if errors is None else console.records(errors)
        console.show_json({"model": str(output), "training": record, "rows_held_out": tested, "errors": rows})
    elif errors is not None:
        console.show(errors, f"errors on {tested} rows held out")
    if record["status"] == "interrupted":
        raise typer.Exit(130)


def _chi2(record: dict[str, Any]) -> str:
    """How well the fit meets the sigmas, if there are any."""
    found = (record["chi2_per_entry"] or {}).items()
    return "".join(f", chi2 per entry of the {kind} {chi2:.3g}" for kind, chi2 in found)


def _note_columns_left_out(path: str, inputs: str | None, outputs: str | None) -> None:
    """Among them may be a slope whose name is not quite one."""
    from swarmnet.data.column_names import listed  # noqa: PLC0415
    from swarmnet.data.readers import columns_left_out  # noqa: PLC0415

    left_out = columns_left_out(path, console.names(inputs), console.names(outputs))
    if left_out:
        console.note(f"{path}: columns not needed: {listed(left_out)}")


@contextmanager
def _opened(
    data: str, inputs: str | None, outputs: str | None, memory_limit: str | None, scheduler: str | None
) -> Iterator[Any]:
    """The data where they are to be trained on: in memory, in their files, or with a scheduler's workers."""
    from dataclasses import replace  # noqa: PLC0415

    from swarmnet.data.readers import open_files, read  # noqa: PLC0415

    _note_columns_left_out(data, inputs, outputs)
    roles = console.names(inputs), console.names(outputs)
    if scheduler is None:
        yield read(data, *roles, memory_limit)
        return
    _refuse_limit(memory_limit)
    from swarmnet.distributed.cluster import connected  # noqa: PLC0415  # an extra

    files = open_files(data, *roles)
    with connected(scheduler) as cluster:
        yield replace(files, pool=cluster)


def _refuse_limit(memory_limit: str | None) -> None:
    if memory_limit is not None:
        raise SwarmnetError("--memory-limit is for one machine: give it to the workers, as dask worker does")


@app.command(epilog=console.example("swarmnet predict water.json points.csv --jacobian -o slopes.csv"))
def predict(
    model: console.ModelFile,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="CSV or Parquet file of inputs.")],
    jacobian: Annotated[bool, typer.Option("--jacobian", help="Add first derivatives.")] = False,
    hessian: Annotated[bool, typer.Option("--hessian", help="Add second derivatives.")] = False,
    std: Annotated[bool, typer.Option("--std", help="Add error bars, as sigma(...) columns.")] = False,
    output: console.Output = None,
) -> None:
    """Values, and derivatives if asked for, at the points of a file; CSV."""
    from swarmnet.data.column_names import listed  # noqa: PLC0415
    from swarmnet.data.readers import read_query  # noqa: PLC0415
    from swarmnet.model.fitted_model import load  # noqa: PLC0415

    console.refuse_output(output, model, query)
    fitted = load(model)
    points, ignored = read_query(query, fitted.inputs)
    if ignored:
        console.note(f"{query}: columns not needed: {listed(ignored)}")
    console.write(console.csv(fitted.table(points, jacobian, hessian, std)), output)


@app.command(epilog=console.example("swarmnet evaluate water.json water_test.csv"))
def evaluate(
    model: console.ModelFile,
    data: console.DataFile,
    memory_limit: console.MemoryLimit = None,
    output: console.Output = None,
    json: console.Json = False,
) -> None:
    """Errors of a model on data, values and each partial apart, in the data's units."""
    from swarmnet.data.readers import read  # noqa: PLC0415
    from swarmnet.model.fitted_model import load  # noqa: PLC0415
    from swarmnet.model.metrics import evaluate as errors_of  # noqa: PLC0415

    console.refuse_output(output, model, data)
    fitted = load(model)
    tested = read(data, fitted.inputs, fitted.outputs, memory_limit)
    errors = errors_of(fitted, tested)
    if json:
        found = {"model": str(model), "rows": tested.n, "errors": console.records(errors)}
        console.show_json(found, output)
    else:
        console.show(errors, f"errors on {tested.n} rows", output)


@app.command(epilog=console.example("swarmnet compare water.csv --trainers hybrid,adam --seconds 5"))
def compare(
    data: console.DataFile,
    trainers: Annotated[str, typer.Option(help="Trainers, separated by commas.")] = "pso,hybrid,adam,lbfgs",
    repeats: Annotated[int, typer.Option(help="Seeds for each trainer.")] = 5,
    seconds: console.Seconds = None,
    evaluations: Annotated[int | None, typer.Option(help="Budget of a run in evaluations.")] = None,
    hidden: console.Hidden = "auto",
    activation: console.ActivationOption = "tanh",
    loss: console.LossOption = "squared",
    scaling: console.ScalingOption = "standard",
    derivative_weight: console.WeightOption = None,
    l2: console.PenaltyOption = None,
    inputs: console.Names = None,
    outputs: console.Names = None,
    test: Annotated[str | None, typer.Option(help="File to test on, instead of rows held out.")] = None,
    test_fraction: console.Fraction = 0.2,
    output: console.Output = None,
    curves: Annotated[Path | None, typer.Option(help="File for the losses of the iterations, CSV.")] = None,
    report: Annotated[Path | None, typer.Option(help="File for a report to look at, HTML.")] = None,
    seed: console.Seed = 0,
    jobs: Annotated[
        int, typer.Option(help="Runs at once on this machine; give --evaluations with it, not --seconds.")
    ] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Dask scheduler whose workers make the runs, as tcp://host:8786; or local."),
    ] = None,
    memory_limit: console.MemoryLimit = None,
    json: console.Json = False,
) -> None:
    """Train by several trainers with the same budget; medians and quartiles over seeds."""
    from swarmnet.comparison import compare as run_all  # noqa: PLC0415
    from swarmnet.data.mixed_data import MixedData  # noqa: PLC0415
    from swarmnet.data.readers import read  # noqa: PLC0415
    from swarmnet.data.splitting import LEAST_HELD_OUT  # noqa: PLC0415

    console.refuse_output(output, data, test)
    console.refuse_output(curves, data, test, output)
    console.refuse_output(report, data, test, output, curves)
    if report is not None:
        from swarmnet.report.page import require_extra  # noqa: PLC0415

        require_extra()  # now, not after minutes
    if scheduler is not None:
        _refuse_limit(memory_limit)
    _note_columns_left_out(data, inputs, outputs)
    rows = read(data, console.names(inputs), console.names(outputs), memory_limit)
    tested = None if test is None else read(test, rows.inputs, rows.outputs, memory_limit)
    if report is not None and not all(isinstance(part, MixedData) for part in (rows, tested or rows)):
        raise SwarmnetError("--report draws data in memory: raise --memory-limit, or leave one of them out")
    with _client(scheduler) as client, progress.bar() as show:
        comparison = run_all(
            rows,
            console.names(trainers) or [],
            repeats,
            seconds,
            seed,
            evaluations=evaluations,
            hidden=console.hidden(hidden),
            activation=console.activations(activation),
            loss=loss,
            scaling=console.scaling(scaling),
            derivative_weight=derivative_weight,
            l2=l2,
            test=tested,
            test_fraction=test_fraction,
            progress=_named_progress(show),
            jobs=jobs,
            client=client,
        )
    if test is None and comparison.test.n < LEAST_HELD_OUT:
        console.note(f"{comparison.test.n} of so few rows held out say little: --test FILE tests on others")
    if curves is not None:
        console.write(console.csv(comparison.curves), curves)
    if report is not None:
        comparison.report(report)
    printing.show_comparison(comparison, output, json)


@contextmanager
def _client(scheduler: str | None) -> Iterator[Any]:
    """The client of a scheduler, if one is named."""
    if scheduler is None:
        yield None
        return
    from swarmnet.distributed.cluster import connected  # noqa: PLC0415  # an extra

    with connected(scheduler) as cluster:
        yield cluster.client


@app.command(epilog=console.example("swarmnet report water.json water_test.csv -o water.html"))
def report(
    model: console.ModelFile,
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Data to measure errors on and to draw, or a glob.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write the report to.")] = Path(
        "report.html"
    ),
) -> None:
    """One HTML page to explore a model with: its curves move with sliders, without a network."""
    from swarmnet.data.readers import read  # noqa: PLC0415
    from swarmnet.model.fitted_model import load  # noqa: PLC0415

    console.refuse_output(output, model, data)
    fitted = load(model)
    fitted.report(output, None if data is None else read(data, fitted.inputs, fitted.outputs))


@app.command(epilog=console.example("swarmnet inspect water.csv"))
def inspect(
    file: Annotated[str, typer.Argument(metavar="DATA|MODEL", help="Data, or a model file.")],
    inputs: console.Names = None,
    outputs: console.Names = None,
    json: console.Json = False,
) -> None:
    """What is in a data or model file: entries, ranges, what is missing, what is not identifiable."""
    from swarmnet.data.inspection import inspect_data  # noqa: PLC0415
    from swarmnet.data.readers import read  # noqa: PLC0415
    from swarmnet.model.fitted_model import load  # noqa: PLC0415

    if _is_model(file):
        printing.show_model(load(file), json)
    else:
        _note_columns_left_out(str(file), inputs, outputs)
        printing.show_data(inspect_data(read(file, console.names(inputs), console.names(outputs))), json)


@app.command(epilog=console.example("swarmnet explain water.json water.csv --row 3 --html steps.html"))
def explain(
    model: console.ModelFile,
    data: console.DataFile,
    row: Annotated[int, typer.Option(help="Which row of DATA: 1 is the first below the header.", min=1)] = 1,
    learning_rate: Annotated[float, typer.Option(help="Of the step of gradient descent.")] = 0.1,
    html: Annotated[Path | None, typer.Option(help="File to write a page to, instead.")] = None,
) -> None:
    """A forward pass and a step of backpropagation for one row of data, number by number."""
    from dataclasses import replace  # noqa: PLC0415

    from swarmnet.data.readers import read  # noqa: PLC0415
    from swarmnet.explanation.explanation import explain as explain_row  # noqa: PLC0415
    from swarmnet.model.fitted_model import load  # noqa: PLC0415

    console.refuse_output(html, model, data)
    fitted = load(model)
    mixed = read(data, fitted.inputs, fitted.outputs)
    found = explain_row(fitted, mixed, row, learning_rate, first_row=1)
    found = replace(found, title=f"{data}, row {row}: {found.title}")
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
        Path, typer.Option("--output", "-o", help="File to write: FILE.onnx, or FILE.py for a Python module.")
    ],
    dtype: Annotated[str | None, typer.Option(help="float64 (the default) or float32, for ONNX.")] = None,
) -> None:
    """A model for other tools, with its derivatives: an ONNX graph, or a Python module that needs none."""
    from swarmnet.model.fitted_model import load  # noqa: PLC0415

    kind = output.suffix.lower()
    if kind not in (".onnx", ".py"):
        raise SwarmnetError(f"{output}: the name says what to write: it must end in .onnx or .py")
    if kind == ".py" and dtype is not None:
        raise SwarmnetError("--dtype is for ONNX: a Python module always computes in float64; leave it out")
    console.refuse_output(output, model)
    fitted = load(model)
    if kind == ".py":
        fitted.to_python(output)
    else:
        fitted.to_onnx(output, "float64" if dtype is None else dtype)


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


def _named_progress(
    show: Callable[[str, Any], None] | None,
) -> Callable[[str, int, Any], None] | None:
    return None if show is None else lambda name, repeat, now: show(f"{name}, seed {repeat + 1}", now)


def main() -> None:
    """The entry point of the command `swarmnet`."""
    console.run(app)
