"""Output of data, models and comparisons: tables, or one JSON document."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from swarmnet.cli import console
from swarmnet.comparison import Comparison
from swarmnet.data.data_frames import pd
from swarmnet.data.inspection import RANGE, DataInspection, digits_of
from swarmnet.data.units import labelled
from swarmnet.errors import printable
from swarmnet.model.audit import audit_lines
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.training_record import MEANINGS, for_people, two_numbers
from swarmnet.number_format import ends, for_offset, for_range


def show_data(found: DataInspection, json: bool) -> None:
    """A table for each thing there is to tell."""
    if json:
        console.show_json(
            {
                "columns": console.records(found.columns),
                "observed_together": console.records(found.patterns),
                "repeated_points": found.repeated_points,
                "repeated_rows": found.repeated_rows,
                "repeated": console.records(found.repeated),
                "not_identifiable": found.not_identifiable,
            }
        )
        return
    tables = {
        "columns": _in_digits(found.columns) if sys.stdout.isatty() else found.columns,
        "observed together": found.patterns,
        "points in more than one row": pd.DataFrame(
            [{"points": found.repeated_points, "rows": found.repeated_rows}] if found.repeated_points else []
        ),
        "observed more than once at a point": found.repeated,
        "not identifiable": pd.DataFrame({"not identifiable": found.not_identifiable}),
    }
    for nth, (title, table) in enumerate((t, f) for t, f in tables.items() if len(f)):
        if nth and not sys.stdout.isatty():
            sys.stdout.write("\n")
        console.show(table, title)


def _in_digits(columns: pd.DataFrame) -> pd.DataFrame:
    """With ranges as text, in as many digits as tell their ends apart, without sigmas if there are none."""
    digits = digits_of(columns)
    texts = {
        name: [
            "" if np.isnan(x) else f"{x:.{count}g}" for x, count in zip(columns[name], digits, strict=True)
        ]
        for name in RANGE
    }
    return columns.dropna(axis=1, how="all").assign(**texts)


def rows_from_1(worst: pd.DataFrame) -> pd.DataFrame:
    """Return the entries with row 1 as the first below the header, as in `explain --row`."""
    return worst.assign(row=worst["row"] + 1)


def show_worst(worst: pd.DataFrame, rows: int, output: Path | None) -> None:
    """The entries with the largest residuals, on a terminal in as many digits as show these."""
    shown = worst
    if output is None and sys.stdout.isatty():
        digits = [for_offset(o, abs(r)) for o, r in zip(worst["observed"], worst["residual"], strict=True)]
        texts = {
            name: [f"{x:.{count}g}" for x, count in zip(worst[name], digits, strict=True)]
            for name in ("observed", "predicted")
        }
        shown = worst.assign(**texts)
    console.show(shown, f"largest residuals on {rows} rows, relative to the noise", output)


def show_points(table: pd.DataFrame, model: FittedModel, title: str) -> None:
    """A table of points, on a terminal with as many digits as tell points of the training range apart."""
    if sys.stdout.isatty():
        ranges = zip(model.inputs, model.region.low, model.region.high, strict=True)
        digits = {name: for_range(low, high) for name, low, high in ranges}
        texts = {name: [f"{x:.{count}g}" for x in table[name]] for name, count in digits.items()}
        table = table.assign(**texts)
    console.show(table, title)


def show_model(model: FittedModel, json: bool) -> None:
    """Its names, its network and how it was trained."""
    net, trend = model.net, model.net.trend
    if json:
        console.show_json(
            {
                "inputs": model.inputs,
                "outputs": model.outputs,
                **({"units": model.units} if model.units else {}),
                "sizes": net.sizes,
                "activations": [act.name for act in net.activations],
                **({} if trend is None else {"trend": {"degree": trend.degree, "terms": len(trend)}}),
                "weights": net.size,
                "training": model.training,
            }
        )
        return
    facts = {
        "inputs": ", ".join(labelled(name, model.units) for name in model.inputs),
        "outputs": ", ".join(labelled(name, model.units) for name in model.outputs),
        "layers": net.architecture,
        "activations": ", ".join(act.name for act in net.activations),
        "weights": net.size,
    }
    told = for_people(model.training)
    facts |= told | audit_lines(model.training)
    texts = [printable(_text(value)) for value in facts.values()]
    console.show(pd.DataFrame({"what": list(facts), "value": texts}), "model")
    if sys.stdout.isatty():  # a pipe gets one table
        said = [name for name in facts if name in MEANINGS]
        console.show(pd.DataFrame({"what": said, "meaning": [MEANINGS[name] for name in said]}), "in words")


def _text(value: Any) -> str:
    """Return a fact as text: pairs as 1..2, named facts in a line without those that are None.

    A terminal gets six digits of a number; a pipe gets all.
    """
    if isinstance(value, dict):
        named = ((name, f"({_text(v)})" if isinstance(v, dict) else _text(v)) for name, v in value.items())
        return ", ".join(f"{name} {text}" for name, text in named if value[name] is not None)
    if (pair := two_numbers(value)) is not None:
        return "..".join(ends(*pair))
    return f"{value:.6g}" if isinstance(value, float) and sys.stdout.isatty() else str(value)


def show_comparison(comparison: Comparison, output: Path | None, json: bool) -> None:
    """On a terminal: median [quartiles] in a cell, a row a quantity. Elsewhere: the whole table, as CSV.

    JSON also has each run.
    """
    table = comparison.table
    if json:
        missing = pd.DataFrame(comparison.missing, columns=["trainer", "repeat"])
        found = {"table": table.reset_index(), "runs": comparison.runs, "missing": missing}
        console.show_json({name: console.records(frame) for name, frame in found.items()}, output)
        return
    if output is not None or not sys.stdout.isatty():
        console.write(console.csv(table.reset_index()), output)
    if not sys.stdout.isatty():
        return
    quantities = [q for q in table.columns if f"{q} q1" in table]
    cells = {
        str(name): [f"{row[q]:.3g} [{row[f'{q} q1']:.3g}, {row[f'{q} q3']:.3g}]" for q in quantities]
        for name, row in table.iterrows()
    }
    frame = pd.DataFrame({"median [quartiles]": quantities} | cells)
    console.show(frame, "the same rows, network and budget")
