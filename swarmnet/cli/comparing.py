"""The command swarmnet compare."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from swarmnet.cli import console, printing, progress
from swarmnet.cli.model_files import refuse_model
from swarmnet.cli.opening import (
    cluster_of,
    note_columns_left_out,
    refuse_limit_of_workers,
    refuse_non_positive,
)
from swarmnet.cli.reading import DataFiles, with_reading
from swarmnet.comparison import Comparison
from swarmnet.comparison import compare as run_all
from swarmnet.data.readers import read
from swarmnet.data.reading import AS_FOUND, Reading
from swarmnet.data.splitting import LEAST_HELD_OUT
from swarmnet.errors import SwarmnetError

Trainers = Annotated[str, typer.Option(help="Trainers, separated by commas.")]
Repeats = Annotated[int, typer.Option(help="Seeds for each trainer.")]
Evaluations = Annotated[int | None, typer.Option(help="Budget of a run in evaluations.")]
TestFile = Annotated[str | None, typer.Option(help="File to test on, instead of rows held out.")]
CurvesFile = Annotated[Path | None, typer.Option(help="File for the losses of the iterations, CSV.")]
ReportFile = Annotated[Path | None, typer.Option(help="File for a report to look at, HTML.")]
Jobs = Annotated[
    int, typer.Option(help="Runs at once on this machine; give --evaluations with it, not --seconds.")
]
Scheduler = Annotated[
    str | None, typer.Option(help="Dask scheduler whose workers make the runs, as tcp://host:8786; or local.")
]


@with_reading
def compare(
    data: DataFiles,
    trainers: Trainers = "pso,hybrid,adam,lbfgs",
    repeats: Repeats = 5,
    seconds: console.Seconds = None,
    evaluations: Evaluations = None,
    hidden: console.Hidden = "auto",
    activation: console.ActivationOption = "tanh",
    loss: console.LossOption = "squared",
    scaling: console.ScalingOption = "standard",
    derivative_weight: console.WeightOption = None,
    l2: console.PenaltyOption = None,
    degree: console.DegreeOption = "auto",
    log: console.Logarithms = None,
    require: console.Requirements = None,
    noise: console.NoiseOption = "gaussian",
    inputs: console.Names = None,
    outputs: console.Names = None,
    define: console.Definitions = None,
    test: TestFile = None,
    test_fraction: console.Fraction = 0.2,
    output: console.Output = None,
    curves: CurvesFile = None,
    report: ReportFile = None,
    seed: console.Seed = 0,
    jobs: Jobs = 1,
    scheduler: Scheduler = None,
    memory_limit: console.MemoryLimit = None,
    json: console.Json = False,
    reading: Reading = AS_FOUND,
) -> None:
    """Train by several trainers with the same budget; medians and quartiles over seeds."""
    refuse_model(data)
    for number, made in enumerate((output, curves, report)):
        console.refuse_output(made, *data, test, *(output, curves)[:number])
    refuse_limit_of_workers(scheduler, memory_limit)
    rows, tested = _read(data, inputs, outputs, define, log, test, memory_limit, report is not None, reading)
    with cluster_of(scheduler) as cluster, progress.bar() as show:
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
            degree=console.degree(degree),
            log=log,
            require=require or (),
            noise=noise,
            test=tested,
            test_fraction=test_fraction,
            progress=_named_progress(show),
            jobs=jobs,
            client=None if cluster is None else cluster.client,
        )
    if test is None and comparison.test.n < LEAST_HELD_OUT:
        console.note(f"{comparison.test.n} of so few rows held out say little: --test FILE tests on others")
    _write(comparison, curves, report)
    printing.show_comparison(comparison, output, json)
    if comparison.missing:
        raise typer.Exit(130)


def _write(comparison: Comparison, curves: Path | None, report: Path | None) -> None:
    """Write the files that were asked for beside the table."""
    if curves is not None:
        console.write(console.csv(comparison.curves), curves)
    if report is not None:
        comparison.report(report)


def _read(
    data: list[str],
    inputs: str | None,
    outputs: str | None,
    define: list[str] | None,
    log: list[str] | None,
    test: str | None,
    memory_limit: str | None,
    drawn: bool,
    reading: Reading,
) -> tuple[Any, Any]:
    """The data to train on, and those to test on, if there are any; all in memory if they are to be drawn."""
    if drawn:
        from swarmnet.report.page import require_extra  # noqa: PLC0415

        require_extra()  # now, not after minutes
    note_columns_left_out(data, inputs, outputs, define, reading)
    formulas = console.definitions(define)
    roles = console.names(inputs), console.names(outputs)
    rows = read(data, *roles, memory_limit, define=formulas, reading=reading)
    refuse_non_positive(rows, log, data, define, reading)
    tested = None
    if test is not None:
        tested = read(test, rows.inputs, rows.outputs, memory_limit, define=formulas, reading=reading)
        refuse_non_positive(tested, log, [test], define, reading)
    if drawn and None in (rows.in_memory, (tested or rows).in_memory):
        raise SwarmnetError("--report draws data in memory: raise --memory-limit, or leave one of them out")
    return rows, tested


def _named_progress(show: Callable[[str, Any], None] | None) -> Callable[[str, int, Any], None] | None:
    return None if show is None else lambda name, repeat, now: show(f"{name}, seed {repeat + 1}", now)
