"""The command swarmnet train."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from swarmnet import interrupts
from swarmnet.cli import console, progress
from swarmnet.cli.model_files import refuse_model
from swarmnet.cli.opening import opened, refuse_non_positive
from swarmnet.cli.reading import DataFiles, with_reading
from swarmnet.data.dataset import Dataset
from swarmnet.data.mixed_data import MixedData
from swarmnet.data.reading import AS_FOUND, Reading
from swarmnet.data.splitting import LEAST_HELD_OUT, split, usual_fraction
from swarmnet.errors import SwarmnetError
from swarmnet.fitting.duration import usual_seconds
from swarmnet.fitting.fitting import fitted
from swarmnet.fitting.options import FitOptions
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.metrics import evaluate
from swarmnet.trainers.checkpoint import EVERY

ModelOutput = Annotated[Path, typer.Option("--output", "-o", help="File to write the model to.")]
Iterations = Annotated[int | None, typer.Option(help="The most iterations.")]
Particles = Annotated[int | None, typer.Option(help="The swarm's size.")]
CheckpointFile = Annotated[
    Path | None, typer.Option(help="File to keep the state in, and to go on from: give the same again.")
]
CheckpointEvery = Annotated[
    float | None, typer.Option(help="Seconds between two checkpoints; 30 by default.")
]
Precision = Annotated[
    str, typer.Option(help="float64, or float32: sums in half the time and room, and less exact.")
]
Scheduler = Annotated[
    str | None, typer.Option(help="Dask scheduler whose workers read the data, as tcp://host:8786; or local.")
]
_LONG = 30.0  # seconds from which they are announced


@with_reading
def train(
    data: DataFiles,
    output: ModelOutput = Path("model.json"),
    hidden: console.Hidden = "auto",
    activation: console.ActivationOption = "tanh",
    trainer: console.TrainerOption = "hybrid",
    inputs: console.Names = None,
    outputs: console.Names = None,
    define: console.Definitions = None,
    test_fraction: console.UsualFraction = None,
    seconds: console.Seconds = None,
    iterations: Iterations = None,
    particles: Particles = None,
    loss: console.LossOption = "squared",
    scaling: console.ScalingOption = "standard",
    derivative_weight: console.WeightOption = None,
    l2: console.PenaltyOption = None,
    degree: console.DegreeOption = "auto",
    log: console.Logarithms = None,
    require: console.Requirements = None,
    noise: console.NoiseOption = "gaussian",
    seed: console.Seed = 0,
    checkpoint: CheckpointFile = None,
    checkpoint_every: CheckpointEvery = None,
    memory_limit: console.MemoryLimit = None,
    dtype: Precision = "float64",
    scheduler: Scheduler = None,
    json: console.Json = False,
    reading: Reading = AS_FOUND,
) -> None:
    """Train a model, test it on rows held out, and save it."""
    refuse_model(data)
    console.refuse_output(output, *data)
    console.refuse_output(checkpoint, *data, output)
    if checkpoint is None and checkpoint_every is not None:
        raise SwarmnetError("--checkpoint-every needs --checkpoint FILE")
    options = FitOptions(
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
        degree=console.degree(degree),
        log=log,
        require=require or (),
        noise=noise,
        checkpoint=checkpoint,
        checkpoint_every=EVERY if checkpoint_every is None else checkpoint_every,
        dtype=dtype,
    )
    files = opened(data, inputs, outputs, define, memory_limit, scheduler, reading)
    with interrupts.keeping(), files as found:
        refuse_non_positive(found, log, data, define, reading)
        fraction = usual_fraction(found) if test_fraction is None else test_fraction
        kept, held_out = split(found, fraction, seed)
        _announce(kept, options)
        model = _trained(kept, options, _row_numbers(found, held_out))
        _save(model, output)
    _show(model, output, held_out, test_fraction, json)
    if model.training["status"] == "interrupted":
        raise typer.Exit(130)


def _announce(data: Dataset, options: FitOptions) -> None:
    """Say beforehand that training takes long."""
    seconds = usual_seconds(data, options)
    if seconds is not None and seconds >= _LONG:
        about = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
        console.note(
            f"training may take about {about} of one core (roughly; less if a polynomial is exact): "
            "--seconds limits it, and Ctrl-C saves what has been found"
        )


def _row_numbers(data: Dataset, held_out: MixedData | None) -> NDArray[np.intp] | None:
    """Return the number that each training row has in the data, from 0; None for data in files."""
    if data.in_memory is None:
        return None
    rows = np.flatnonzero(data.in_memory.row_weights > 0)
    points = set() if held_out is None else set(map(tuple, held_out.X.tolist()))
    return rows[[tuple(point) not in points for point in data.in_memory.X[rows].tolist()]]


def _trained(data: Dataset, options: FitOptions, rows: NDArray[np.intp] | None) -> FittedModel:
    """The model, while a progress bar shows how far it is; notes where a checkpoint was gone on from."""
    checkpoint = options.checkpoint
    seen: list[int] = []

    def watch(now: Any) -> None:
        if not seen and now.iteration > 1:
            console.note(f"{checkpoint}: going on from iteration {now.iteration - 1}")
        seen[:] = [now.iteration]
        if show is not None:
            show("training", now)

    with progress.bar() as show:
        model = fitted(
            data, replace(options, callback=watch if checkpoint or show else None), row_numbers=rows
        )
    if checkpoint and not seen:
        console.note(f"{checkpoint}: that run had ended: nothing was left to train")
    return model


def _save(model: FittedModel, output: Path) -> None:
    """Save what took long to train; where that fails, among the temporary files."""
    try:
        model.save(output)
    except SwarmnetError as error:
        try:
            path = Path(tempfile.mkdtemp(prefix="swarmnet-"), output.name)
            model.save(path)
        except (SwarmnetError, OSError):
            raise error from None
        raise SwarmnetError(f"{error}; the model was saved as {path}") from None


def _show(
    model: FittedModel, output: Path, held_out: MixedData | None, fraction: float | None, json: bool
) -> None:
    """What training came to, and the errors on the rows held out."""
    record = model.training
    console.note(
        f"{output}: {model.net!r}, {record['seconds']:.1f} s, {record['evaluations']} evaluations, "
        f"loss {record['loss']:.3g}{_chi2(record)}: {record['message']}"
    )
    if held_out is None and fraction is None:
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


def _chi2(record: dict[str, Any]) -> str:
    """Return chi2 per entry as text; "" without sigmas."""
    found = (record["chi2_per_entry"] or {}).items()
    return "".join(f", chi2 per entry of the {kind} {chi2:.3g}" for kind, chi2 in found)
