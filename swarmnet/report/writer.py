"""Reports of a model or a comparison as one HTML file with interactive profiles: pip install ".[report]".

The file needs neither network nor server. It contains the models and evaluates them in the page in double
precision, so people without Python can use it. The file contains the weights.
"""

import io
import os
import re
import warnings
from base64 import b64encode
from typing import Any

from swarmnet.atomic_write import write_atomically
from swarmnet.comparison import VALUES_ONLY, Comparison
from swarmnet.data.column_names import listed
from swarmnet.data.data_frames import pd
from swarmnet.data.dataset import require_mixed_data
from swarmnet.data.inspection import inspect_data
from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import SwarmnetError
from swarmnet.model import training_record as record
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.metrics import evaluate
from swarmnet.report import tables
from swarmnet.report.content import MOST_COLUMNS, comparison_losses, model_losses, page_content
from swarmnet.report.page import rendered, require_extra

Path = str | os.PathLike[str]

_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_LOSSES = "The lowest training loss met so far"
_RMSE = "Root mean square and largest error in the column's own unit; 1 - R² is their share of the variance."


def write_model_report(model: FittedModel, path: Path, data: MixedData | None = None) -> None:
    """Write a report of a model, as `FittedModel.report` describes it."""
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
        candidates=tables.candidates_table(model.training, _network(model)),
        audit=tables.audit_table(model),
        content=content,
        losses_text="The training loss of each iteration." if content["losses"] else "",
        diagram=_diagram(model),
    )
    write_atomically(path, html)


def write_comparison_report(comparison: Comparison, path: Path) -> None:
    """Write a report of a comparison, as `Comparison.report` describes it.

    The profiles show one model of each trainer: that of its run with the median loss.
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
        candidates=None,  # all trainers had the same network
        audit=None,
        content=content,
        losses_text=f"{_LOSSES}{': medians, and quartiles as bands' if several else ''}.",
        diagram=None,
    )
    write_atomically(path, html)


def _title(model: FittedModel) -> str:
    return f"{listed(model.outputs)} from {listed(model.inputs)}"


def _network(model: FittedModel) -> str:
    names = dict.fromkeys(act.name for act in model.net.activations)
    return f"{model.net.architecture}, {' and '.join(names)}, {model.net.size} weights"


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
    count = len(comparison.missing)
    missing = f", without {count} that {'was' if count == 1 else 'were'} interrupted" if count else ""
    return [
        ("Network", _network(next(iter(comparison.models.values())))),
        ("Runs", (f"{repeats} of each trainer" if repeats > 1 else "one of each trainer") + missing),
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
    frame = next(iter(frames.values()))
    if len(models) > 1:
        frame = pd.concat(frames, names=["model"]).reset_index("model")
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


def _diagram(model: FittedModel) -> str | None:
    """Return an SVG as a data URL; None if the network is too large for a diagram."""
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    from swarmnet.plots import network  # noqa: PLC0415

    try:
        figure = network(model).figure
    except SwarmnetError:
        return None
    assert isinstance(figure, Figure)
    svg = io.StringIO()
    # The salt makes the file reproducible. Text stays text, because browsers have glyphs that fonts lack.
    with mpl.rc_context({"svg.hashsalt": "swarmnet", "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    drawn = _NOT_XML.sub("\ufffd", svg.getvalue())
    return "data:image/svg+xml;base64," + b64encode(drawn.encode()).decode()
