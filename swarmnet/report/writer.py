"""Reports of a model or a comparison as one HTML file with interactive profiles: pip install ".[report]".

The file needs neither network nor server. It contains the models and evaluates them in the page in double
precision, so people without Python can use it. The file contains the weights.
"""

import os
from typing import Any

import pandas as pd

from swarmnet.atomic_write import write_atomically
from swarmnet.comparison import VALUES_ONLY, Comparison
from swarmnet.data.column_names import listed
from swarmnet.data.dataset import require_mixed_data
from swarmnet.data.inspection import inspect_data
from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import SwarmnetError
from swarmnet.model import training_record as record
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.metrics import evaluate
from swarmnet.report import tables
from swarmnet.report.content import MOST_COLUMNS, comparison_losses, model_losses, page_content
from swarmnet.report.diagram import network_picture
from swarmnet.report.page import rendered, require_extra

Path = str | os.PathLike[str]

_LOSSES = "The lowest training loss met so far"
_RMSE = "Root mean square and largest error in the column's own unit; 1 - R² is their share of the variance."


def write_model_report(model: FittedModel, path: Path, data: MixedData | None = None) -> None:
    """Write a report of a model, completely or not at all.

    Args:
        model: the model.
        path: the file to write, such as "report.html".
        data: data on which errors are measured, and which are drawn with the curves.

    Raises:
        SwarmnetError: jinja2 or matplotlib is missing, the data have other columns, an activation is not
            swarmnet's own, or the path cannot be written.
    """
    require_extra()
    data = None if data is None else require_mixed_data(data)
    tested = None if data is None else data.select(model.inputs, model.outputs)
    content = page_content({"model": model}, tested, tested)
    content["losses"] = model_losses(model)
    html = rendered(
        kind="swarmnet model",
        title=_title(model),
        facts=_model_facts(model),
        results=None,
        errors=None if tested is None else _errors({"": model}, tested),
        data=None if tested is None else _data(tested),
        training=tables.training_table({"": model.training}),
        content=content,
        losses_text="The training loss of each iteration." if content["losses"] else "",
        diagram=network_picture(model),
    )
    write_atomically(path, html)


def write_comparison_report(comparison: Comparison, path: Path) -> None:
    """Write a report of a comparison, completely or not at all.

    The profiles show one model of each trainer: that of its run with the median loss.

    Args:
        comparison: the result of `swarmnet.compare`.
        path: the file to write, such as "report.html".

    Raises:
        SwarmnetError: jinja2 or matplotlib is missing, an activation is not swarmnet's own, the data are
            FileData, or the path cannot be written.
    """
    require_extra()
    models = _median_models(comparison)
    train, test = comparison.train.in_memory, comparison.test.in_memory
    if train is None or test is None:
        raise SwarmnetError("a report draws data in memory: compare without a memory limit, or on fewer rows")
    content = page_content(models, train, test)
    content["losses"] = comparison_losses(comparison)
    several = comparison.runs["repeat"].nunique() > 1
    html = rendered(
        kind="swarmnet comparison",
        title=_title(next(iter(models.values()))),
        facts=_comparison_facts(comparison, train, test),
        results={"table": tables.comparison_table(comparison), "text": _verdict(comparison)},
        errors=_errors(models, test),
        data=_data(train),
        training=tables.training_table({name: model.training for name, model in models.items()}),
        content=content,
        losses_text=f"{_LOSSES}{': medians, and quartiles as bands' if several else ''}.",
        diagram=None,
    )
    write_atomically(path, html)


def _title(model: FittedModel) -> str:
    return f"{listed(model.outputs)} from {listed(model.inputs)}"


def _network(model: FittedModel) -> str:
    sizes = "-".join(map(str, model.net.sizes))
    names = dict.fromkeys(act.name for act in model.net.activations)
    return f"{sizes}, {' and '.join(names)}, {model.net.size} weights"


def _held(data: MixedData) -> str:
    data = data.counted()
    return f"{data.n} rows: {data.n_values} values, {data.n_derivatives} derivatives"


def _model_facts(model: FittedModel) -> list[tuple[str, str]]:
    facts = [("Network", _network(model))]
    training = model.training
    if "trainer" in training:
        trainer, seed, rows, values, derivatives = (
            record.text(training, name) for name in ("trainer", "seed", "rows", "values", "derivatives")
        )
        seconds, loss = record.number(training.get("seconds")), record.number(training.get("loss"))
        time = record.UNKNOWN if seconds is None else f"{seconds:.3g} s"
        facts += [
            ("Trained by", f"{trainer}, seed {seed}, {time}"),
            ("Trained on", f"{rows} rows: {values} values, {derivatives} derivatives"),
            ("Training loss", record.UNKNOWN if loss is None else tables.short(loss, 3)),
        ]
    return facts


def _comparison_facts(comparison: Comparison, train: MixedData, test: MixedData) -> list[tuple[str, str]]:
    repeats = comparison.runs["repeat"].nunique()
    return [
        ("Network", _network(next(iter(comparison.models.values())))),
        ("Runs", f"{repeats} of each trainer" if repeats > 1 else "one of each trainer"),
        ("Trained on", _held(train)),
        ("Tested on", _held(test)),
    ]


def _median_models(comparison: Comparison) -> dict[str, FittedModel]:
    """Return the model of each trainer's run with the (lower) median loss.

    Models with error bars come first, then those with a lower loss; the control comes last.
    """
    models, order = {}, {}
    for name, runs in comparison.runs.groupby("trainer", sort=False):
        ordered = runs.sort_values("loss")
        run = ordered.iloc[(len(ordered) - 1) // 2]
        model = models[str(name)] = comparison.models[str(name), int(run["repeat"])]
        order[str(name)] = (str(name).endswith(VALUES_ONLY), model.spread is None, float(run["loss"]))
    return {name: models[name] for name in sorted(models, key=order.__getitem__)}


def _verdict(comparison: Comparison) -> str:
    text = "Every trainer had the same rows, network and budget; the best of each row is marked."
    if any(str(name).endswith(VALUES_ONLY) for name in comparison.table.index):
        text += f" A trainer with{VALUES_ONLY} is the control: it saw no derivative."
    return text


def _errors(models: dict[str, FittedModel], data: MixedData) -> dict[str, Any]:
    frames = {name: evaluate(model, data) for name, model in models.items()}
    if len(models) > 1:
        frame = pd.concat([f.assign(model=name) for name, f in frames.items()], ignore_index=True)
        frame = frame[["model", *(column for column in frame if column != "model")]]
    else:
        frame = next(iter(frames.values()))
    pictured = frame["column"].nunique()
    more = (
        f" Pictures are of the first {MOST_COLUMNS} of {pictured} columns." if pictured > MOST_COLUMNS else ""
    )
    frame["r2"] = 1.0 - frame["r2"]  # shows more digits near R2 = 1
    names = {"max_error": "largest error", "rmse": "RMSE", "r2": "1 - R²"}
    return {
        "rows": f"{data.counted().n} rows",
        "table": tables.frame_table(frame.rename(columns=names), "Values and partials"),
        "text": _RMSE + more,
    }


def _data(data: MixedData) -> dict[str, Any]:
    found = inspect_data(data)
    return {"open": found.not_identifiable, "tables": tables.inspection_tables(found)}
