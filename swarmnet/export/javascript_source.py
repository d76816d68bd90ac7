"""A model as a JavaScript module: the report's evaluator, the model's constants, and functions."""

from __future__ import annotations

import json
from importlib.resources import files

from swarmnet.model.columns import columns_of
from swarmnet.model.fitted_model import FittedModel
from swarmnet.report.content import model_content
from swarmnet.report.formulas import columns_of_page, formulas_of
from swarmnet.report.page import evaluator
from swarmnet.version import __version__

_HEAD = """\
// Made by swarmnet {version}: values and partial derivatives of a fitted model, in the units of its data.
// An ES module for browsers and Node; what it exports is at its end.

"""


def javascript_module(model: FittedModel) -> str:
    """Return the source of the module, as `FittedModel.to_javascript` describes it."""
    columns = list(columns_of(model.inputs, model.outputs).values())
    content = {
        "inputs": model.inputs,
        "outputs": model.outputs,
        "units": model.units,
        "model": model_content(model) | {"spread": None},
        "columns": columns_of_page(model, columns),
        "formulas": formulas_of(model),
    }
    # The text of JSON is JavaScript; it is ASCII, so that names with any character stay names.
    constants = f"const CONTENT = {json.dumps(content, allow_nan=False)};\n\n"
    exported = (files("swarmnet.export") / "templates" / "module.js").read_text(encoding="utf-8")
    return _HEAD.format(version=__version__) + evaluator() + "\n" + constants + exported
