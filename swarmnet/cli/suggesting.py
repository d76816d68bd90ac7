"""The command swarmnet suggest."""

from pathlib import Path
from typing import Annotated

import typer

from swarmnet.cli import console, printing
from swarmnet.cli.model_files import loaded
from swarmnet.cli.reading import with_reading
from swarmnet.data.column_names import listed
from swarmnet.data.data_frames import pd
from swarmnet.data.readers import read_query
from swarmnet.data.reading import AS_FOUND, Reading
from swarmnet.model.fitted_model import FittedModel
from swarmnet.suggestion import suggest as suggest_entries

Columns = Annotated[
    str | None,
    typer.Option(help="Columns that can be measured, as in h,dh/dT; by default those of the data."),
]
Costs = Annotated[str | None, typer.Option(help="Of a measurement, as in dh/dT=0.5,h=2; by default 1.")]
Target = Annotated[
    str | None, typer.Option(help="Columns whose error bars are to shrink; by default all outputs.")
]
Candidates = Annotated[
    str | None, typer.Option(help="CSV or Parquet file of points; by default points of the training range.")
]
Box = Annotated[bool, typer.Option("--box", help="Choose among points of the training range as well.")]
Form = Annotated[
    Path | None, typer.Option("--output", "-o", help="CSV file to write, for the numbers to be measured.")
]


@with_reading
def suggest(
    model: console.ModelFile,
    n: Annotated[int, typer.Option("-n", help="How many measurements.", min=1)] = 8,
    candidates: Candidates = None,
    entries: Columns = None,
    costs: Costs = None,
    target: Target = None,
    box: Box = False,
    output: Form = None,
    reading: Reading = AS_FOUND,
) -> None:
    """The measurements that would tell a model most about its function, chosen together."""
    console.refuse_output(output, model, candidates)
    fitted = loaded(model, None if candidates is None else [candidates])
    points = None if candidates is None else _points(candidates, fitted, reading)
    priced = console.numbers("--costs", "COLUMN=NUMBER, as in dh/dT=0.5", costs)
    columns, of = console.names(entries), console.names(target)
    found = suggest_entries(fitted, n, points, columns, priced, of, box)
    if output is not None:
        form = found[[*fitted.inputs, "entry"]].rename(columns={"entry": "target"}).assign(value="")
        console.write(console.csv(form), output)
    found = found if points is None else printing.rows_from_1(found)
    printing.show_points(found, fitted, "what to measure next")


def _points(path: str, model: FittedModel, reading: Reading) -> "pd.DataFrame":
    X, ignored = read_query(path, model.inputs, reading, model.units)
    if ignored:
        console.note(f"{path}: columns not needed: {listed(ignored)}")
    return pd.DataFrame(X, columns=list(model.inputs))
