"""A model as C99 that needs only math.h: the evaluator in templates/model.c, and the tables of constants."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.formulas import Number
from swarmnet.data.quantities import Quantity, leaves
from swarmnet.errors import SwarmnetError
from swarmnet.export.exported_quantities import exported_quantities, formula_text
from swarmnet.export.single_precision import checked_dtype, fitted_to
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.training_record import input_range, without_error_bars
from swarmnet.network.activations import TABLE
from swarmnet.network.network import Network
from swarmnet.network.trend import Trend
from swarmnet.version import __version__

Array = NDArray[Any]

MOST_WEIGHTS = 600  # of a model with error bars, whose file then has 4 MB
_PER_LINE = 4

_HELPERS = {
    "larger": """
static double larger(double a, double b)
{
    return a < b ? b : a; /* a where it is NaN */
}
""",
    "gate": """
static double gate(double z)
{
    const double e = exp(-fabs(z)); /* never overflows */
    return z > 0.0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
}
""",
    "distribution": """
static double distribution(double z)
{
    return 0.5 * erfc(-z * sqrt(0.5));
}
""",
    "density": """
static double density(double z)
{
    return 0.3989422804014327 * exp(-0.5 * z * z);
}
""",
    "moment": """
static double moment(double z)
{
    return 0.3989422804014327 * z * exp(-0.5 * z * z);
}
""",
}

_ACTIVATION = """
static void {name}_unit(double z, double *f)
{{
    const double a = {f}, s = {slope};
    f[0] = a;
    f[1] = s;
{curvature}}}
"""

_IN_C = {"abs": "fabs", "max": "larger"}
_FUNCTION = re.compile(r"\b(exp|expm1|log|log1p|sqrt|pow|sin|cos|tan|tanh|fabs|erfc)\(")
_NUMBER = re.compile(r"(?<![\w.])(\d+\.\d*(?:e[+-]?\d+)?|\d+e[+-]?\d+)")

_HEADER = """\
/* Made by swarmnet {version}: values and partial derivatives of a fitted model, in the units of its data.

{named}
{prototypes}

   J[o][j] is the derivative of y[o] with respect to x[j].{std}
   They return 0. If an x[j] is not finite{positive}, they return j + 1 for the first such
   x[j], and all answers are NaN. Nothing warns of an x beyond the training ranges.
   They allocate nothing and write only their answers: threads may call them at the same time.{single}

   Compile it with  cc -std=c99 -O2 -c  and link with -lm; not with -ffast-math, which drops the checks. */"""


def c_source(
    model: FittedModel, path: str | os.PathLike[str], dtype: str = "float64", std: bool = False
) -> str:
    """The file's text, as `FittedModel.to_c` describes it; its functions are named after the path."""
    if std:
        _refuse_error_bars(model, dtype)
    constants = _Constants(checked_dtype(model, dtype))
    nets = [(model.net, model.theta), *((fit.net, fit.theta) for fit in model.others if std)]
    quantities = exported_quantities(model)
    own = {
        "std": std,
        "trend": any(net.trend is not None for net, _ in nets),
        "logs": model.scaling.logs is not None,
        "single": dtype == "float32",
        "quantities": bool(quantities),
    }
    name = _identifier(path)
    prototypes = _prototypes(name, model.net, len(quantities), std)
    tables = [*_networks(constants, nets, own), *_scaling(constants, model, own)]
    tables += _error_bars(constants, model) if std else []
    body = Template(_selected(own)).substitute(
        header="$header",
        prototypes="\n".join(prototypes),
        name=name,
        d=model.net.d,
        k=model.net.k,
        layers=max(len(net.layers) for net, _ in nets),
        width=max(max(net.sizes) for net, _ in nets),
        functions=_functions([net for net, _ in nets], std),
        tables="".join(tables),
        quantities=len(quantities),
        formulas="\n".join(_formulas(constants, quantities)),
        at=", x, y" if own["logs"] else "",
        to_partials=", x" if own["logs"] else "",
    )
    if own["single"]:
        body, prototypes = _in_float(body), list(map(_in_float, prototypes))
    return Template(body).substitute(header=_header(model, quantities, prototypes, own))


def _refuse_error_bars(model: FittedModel, dtype: str) -> None:
    if model.spread is None:
        raise without_error_bars(model.training)
    if dtype != "float64":
        raise SwarmnetError(
            "error bars need float64, as float32 would lose their digits: leave out dtype or std"
        )
    if model.net.size > MOST_WEIGHTS:
        raise SwarmnetError(
            f"error bars of {model.net.size:,} weights are too much for a C file, which takes at most "
            f"{MOST_WEIGHTS}: leave out std, or fit a smaller network"
        )


def _selected(flags: Mapping[str, bool]) -> str:
    """Return the lines of the template whose conditions hold."""
    template = (files("swarmnet.export") / "templates" / "model.c").read_text(encoding="utf-8")
    kept, conditions = list[str](), list[bool]()
    for line in template.splitlines():
        word = line.strip()
        if word.startswith("//if "):
            conditions.append(flags[word.removeprefix("//if ")])
        elif word == "//else":
            conditions[-1] = not conditions[-1]
        elif word == "//end":
            conditions.pop()
        elif all(conditions):
            kept.append(line)
    return "\n".join(kept) + "\n"


def _in_float(code: str) -> str:
    """Return code of doubles as code of floats, which calls the functions of floats."""
    code = re.sub(r"\bdouble\b", "float", _FUNCTION.sub(r"\1f(", code))
    return _NUMBER.sub(r"\1f", code)


def _identifier(path: str | os.PathLike[str]) -> str:
    """Return the file's name as the beginning of the functions' names."""
    name = re.sub(r"\W", "_", Path(path).stem, flags=re.ASCII).strip("_")
    return name if re.match("[A-Za-z]", name) else f"model_{name}".strip("_")


def _prototypes(name: str, net: Network, quantities: int, std: bool) -> list[str]:
    x, y, J = f"const double x[{net.d}]", f"[{net.k}]", f"[{net.k}][{net.d}]"
    found = [f"int {name}_predict({x}, double y{y});", f"int {name}_jacobian({x}, double J{J});"]
    if quantities:
        found.append(f"int {name}_quantities({x}, double q[{quantities}]);")
    if std:
        found.append(f"int {name}_predict_std({x}, double y{y}, double std{y});")
        found.append(f"int {name}_jacobian_std({x}, double J{J}, double std{J});")
    return found


def _header(
    model: FittedModel, quantities: Sequence[Quantity], prototypes: Sequence[str], own: Mapping[str, bool]
) -> str:
    ranges = [input_range(model.training, name) for name in model.inputs]
    trained = ["" if ends is None else f", trained from {ends[0]!r} to {ends[1]!r}" for ends in ranges]
    units = {name: f" in {_quoted(unit)}" for name, unit in model.units.items()}
    named_inputs = zip(model.inputs, trained, strict=True)
    inputs = [f"{_quoted(name)}{units.get(name, '')}{known}" for name, known in named_inputs]
    outputs = [f"{_quoted(name)}{units.get(name, '')}" for name in model.outputs]
    formulas = [_quoted(quantity.name) for quantity in quantities]
    named = {"inputs x": inputs, "outputs y": outputs, "formulas q": formulas}
    logs = () if model.scaling.logs is None else model.scaling.logs.inputs
    positive = ", ".join(f"x[{j}]" for j, log in enumerate(logs) if log)
    return _HEADER.format(
        version=__version__,
        named="".join(_listed(what, entries) for what, entries in named.items() if entries),
        prototypes="\n".join(f"   {prototype}" for prototype in prototypes),
        std="\n   std are standard deviations, without measurement noise." if own["std"] else "",
        positive=f" or {positive} not positive" if positive else "",
        single="\n   float32 rounds numbers to 6e-8 of their size." if own["single"] else "",
    )


def _listed(what: str, entries: Sequence[str]) -> str:
    kind, letter = what.split()
    return f"   {kind}\n" + "".join(f"     {letter}[{i}] {entry}\n" for i, entry in enumerate(entries))


def _quoted(name: str) -> str:
    """Return a name as a JSON text of ASCII, which neither ends nor begins a comment."""
    return json.dumps(name).replace("*/", "\\u002a/").replace("/*", "/\\u002a")


def _functions(nets: Sequence[Network], std: bool) -> str:
    """Return the activations, and before them the functions of _HELPERS that they call."""
    names = dict.fromkeys(act.name for net in nets for act in net.activations)
    text = "".join(map(partial(_activation, std=std), names))
    return "".join(helper for name, helper in _HELPERS.items() if f"{name}(" in text) + text


def _activation(name: str, std: bool) -> str:
    f, slope, curvature = (
        re.sub(r"\b(abs|max)\(", lambda found: f"{_IN_C[found[1]]}(", formula)
        for formula in TABLE[name].formulas
    )
    bend = f"    f[2] = {curvature};\n" if std else ""
    return _ACTIVATION.format(name=name, f=f, slope=slope, curvature=bend)


class _Constants:
    """Writes numbers in one dtype, each with all its digits."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype

    def numbers(self, name: str, numbers: Array | float) -> list[str]:
        """Return each number as text; refuse those that the dtype cannot hold."""
        return [str(number) for number in fitted_to(name, numbers, self._dtype).ravel()]

    def table(self, name: str, numbers: Array) -> str:
        """Return a table of numbers."""
        return _table("double", name, self.numbers(name, numbers))

    def rest(self, name: str, numbers: Array) -> str:
        """Return a table of what rounding to the dtype takes from numbers."""
        return self.table(name, numbers - numbers.astype(self._dtype))


def _table(kind: str, name: str, entries: Sequence[str], per_line: int = _PER_LINE) -> str:
    rows = (", ".join(entries[i : i + per_line]) for i in range(0, len(entries), per_line))
    text = ",\n    ".join(rows)
    return f"static const {kind} {name}[{len(entries)}] = {{\n    {text}\n}};\n"


def _networks(
    constants: _Constants, nets: Sequence[tuple[Network, Array]], own: Mapping[str, bool]
) -> Iterator[str]:
    """Yield the tables of all networks, and that of the networks."""
    records = []
    for number, (net, theta) in enumerate(nets):
        yield constants.table(f"theta_{number}", theta)
        layers = [
            f"{{{layer.fan_in}, {layer.fan_out}, theta_{number} + {layer.start}, "
            f"theta_{number} + {layer.bias.start}, {layer.activation.name}_unit}}"
            for layer in net.layers
        ]
        yield _table("Layer", f"layers_{number}", layers, 1)
        record = [str(len(net.layers)), f"layers_{number}", *([f"theta_{number}"] if own["std"] else [])]
        if own["trend"]:
            record += ["0"] * 7 if net.trend is None else _trend_fields(net.trend, net, number)
        if net.trend is not None:
            yield from _trend(constants, net.trend, number)
        records.append(f"{{{', '.join(record)}}}")
    yield _table("Network", "NETWORKS", records, 1)
    if own["trend"]:
        trends = [net.trend for net, _ in nets if net.trend is not None]
        # One more than none, or a compiler that sees no step warns of the first one
        rows = nets[0][0].d + max(1, *(len(trend.recurrence.rows) for trend in trends))
        yield f"enum {{ ROWS = {rows}, TERMS = {max(map(len, trends))} }};\n"


def _trend_fields(trend: Trend, net: Network, number: int) -> list[str]:
    steps, coefficients = len(trend.recurrence.rows), net.layers[-1].bias.stop
    tables = [f"{name}_{number}" for name in ("terms", "centre", "half")]
    step = f"steps_{number}" if steps else "0"
    return [str(steps), str(len(trend)), step, *tables, f"theta_{number} + {coefficients}"]


def _trend(constants: _Constants, trend: Trend, number: int) -> Iterator[str]:
    steps = trend.recurrence
    with np.errstate(all="ignore"):
        constants.numbers("half", 1.0 / trend.half)
    if len(steps.rows):
        pairs = zip(steps.rows.tolist(), steps.factors, strict=True)
        rows = [f"{{{', '.join([*map(str, row), *constants.numbers('factor', f)])}}}" for row, f in pairs]
        yield _table("Step", f"steps_{number}", rows)
    yield _table("int", f"terms_{number}", list(map(str, steps.terms.tolist())), 20)
    yield constants.table(f"centre_{number}", trend.centre)
    yield constants.table(f"half_{number}", trend.half)


def _scaling(constants: _Constants, model: FittedModel, own: Mapping[str, bool]) -> Iterator[str]:
    scaling = model.scaling
    with np.errstate(over="ignore"):
        constants.numbers("scale of partials", scaling.y_scale[:, None] / scaling.x_scale)
    for name in ("x_offset", "x_scale", "y_offset", "y_scale"):
        yield constants.table(name, getattr(scaling, name)).replace(name, name.upper())
    if own["single"]:
        yield constants.rest("X_REST", scaling.x_offset)
        yield constants.rest("Y_REST", scaling.y_offset)
    if scaling.logs is not None:
        for name, logs in (("X_LOG", scaling.logs.inputs), ("Y_LOG", scaling.logs.outputs)):
            yield _table("int", name, [str(int(log)) for log in logs], 20)


def _error_bars(constants: _Constants, model: FittedModel) -> Iterator[str]:
    assert model.spread is not None
    yield f"enum {{ SIZE = {model.net.size}, FITS = {len(model.others) + 1} }};\n"
    yield constants.table("ROOT", model.spread)
    shares = np.array([1.0, *(fit.share for fit in model.others)])
    yield constants.table("SHARES", shares / shares.sum())


def _formulas(constants: _Constants, quantities: Sequence[Quantity]) -> Iterator[str]:
    for number, quantity in enumerate(quantities):
        sizes = [node.value for node in leaves(quantity.tree) if isinstance(node, Number)]
        constants.numbers(f"formula of {quantity.name!r}", np.array(sizes))
        yield f"    q[{number}] = {formula_text(quantity, '')};"
