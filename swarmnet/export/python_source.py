"""A model as a Python module that needs nothing but the standard library, written to be read."""

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from swarmnet.errors import SwarmnetError
from swarmnet.export.exported_quantities import exported_quantities, formula_text
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.model_file import scaling_record
from swarmnet.network.activations import TABLE
from swarmnet.network.trend import ONE, Trend
from swarmnet.version import __version__

_HELPERS = {
    "gate": """
def gate(z):
    e = math.exp(-abs(z))  # never overflows
    return 1.0 / (1.0 + e) if z > 0.0 else e / (1.0 + e)

""",
    "distribution": """
def distribution(z):
    return 0.5 * math.erfc(-z * math.sqrt(0.5))

""",
    "moment": """
def moment(z):
    return z * math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)

""",
}

_ACTIVATION = """
def {name}(z):
    return {f}


def {name}_slope(z, a):
    return {slope}
"""

_HEAD = '''\
"""A neural network and its partial derivatives, written by swarmnet {version}; it needs only Python.

predict(x) gives the outputs and jacobian(x) their partial derivatives at a list of numbers x, one for each
of INPUTS: y[o] is that of OUTPUTS[o], and jacobian(x)[o][j] its derivative with respect to INPUTS[j]. All are
in the units of the data that the network was trained on; UNITS has those that are known.
"""

import math

INPUTS = {inputs}
OUTPUTS = {outputs}
UNITS = {units}

# The network takes (x - offset) / scale, and gives (y - offset) / scale.
X_OFFSET, X_SCALE = {x_offset}, {x_scale}
Y_OFFSET, Y_SCALE = {y_offset}, {y_scale}
{logs}
'''

_TAIL = '''

# Layer by layer: W[i][j] from input i to unit j, b[j], f and its slope.
LAYERS = [
{layers}]
{trend}

def predict(x):
    """The outputs at one point, in the order of OUTPUTS."""
    return forward(x, [])[0]


def jacobian(x):
    """A row of partial derivatives for each output: [o][j] is dy[o]/dx[j]."""
    every_input = [[float(i == j) for i in range(len(x))] for j in range(len(x))]
    return forward(x, every_input)[1]


def forward(x, T):
    """The outputs, and their derivatives along the directions T, which are carried along with them."""
    if len(x) != len(INPUTS) or not all(map(math.isfinite, x)):
        raise ValueError("x must be finite numbers, one for each of " + ", ".join(INPUTS))
{logs_before}    a = [(v - offset) / scale for v, offset, scale in zip({u}, X_OFFSET, X_SCALE)]
{before}    for W, b, f, slope in LAYERS:
        z = [dot(a, W, u) + b[u] for u in range(len(b))]
        a = [f(v) for v in z]
        S = [slope(v, w) for v, w in zip(z, a)]
        T = [[S[u] * dot(t, W, u) for u in range(len(b))] for t in T]
{after}    y = [v * scale + offset for v, scale, offset in zip(a, Y_SCALE, Y_OFFSET)]
    J = [[t[o] * (Y_SCALE[o] / scale) for t, scale in zip(T, X_SCALE)] for o in range(len(y))]
{logs_after}    return y, J


def dot(a, W, unit):
    return sum(v * row[unit] for v, row in zip(a, W))
'''

_TREND = '''
# A polynomial in u = (a - centre) / half is added. Its rows are 1, u[0], u[1], ..., and for each step
# (i, j, k, factor, share) factor * row i * row j - share * row k. COEFFICIENTS[t][o] is that of row TERMS[t].
CENTRE, HALF = {centre}, {half}
STEPS = [
{steps}]
TERMS = {terms}
COEFFICIENTS = [
{coefficients}]


def polynomial(a, T):
    """The terms, and their derivatives along the directions T."""
    rows = [1.0] + [(v - centre) / half for v, centre, half in zip(a, CENTRE, HALF)]
    T = [[0.0] + [v / half for v, half in zip(t, HALF)] for t in T]
    for i, j, k, factor, share in STEPS:
        for t in T:
            t.append(factor * (t[i] * rows[j] + rows[i] * t[j]) - share * t[k])
        rows.append(factor * rows[i] * rows[j] - share * rows[k])
    return [rows[i] for i in TERMS], [[t[i] for i in TERMS] for t in T]
'''
_QUANTITIES = '''

QUANTITIES = {names}


def quantities(x):
    """The quantities at one point, in the order of QUANTITIES; an error where one is not defined."""
    y, J = predict(x), jacobian(x)
    return [
{formulas}    ]
'''
_BEFORE = """\
    terms, slopes = polynomial(a, T)
"""
_AFTER = """\
    a = [v + dot(terms, COEFFICIENTS, o) for o, v in enumerate(a)]
    T = [[v + dot(s, COEFFICIENTS, o) for o, v in enumerate(t)] for t, s in zip(T, slopes)]
"""


_LOGS = """
# Of these the network takes the natural logarithms, to which offset and scale belong.
X_LOG, Y_LOG = {inputs}, {outputs}
"""
_LOGS_BEFORE = """\
    if not all(v > 0.0 for v, log in zip(x, X_LOG) if log):
        raise ValueError("x must be positive where X_LOG is True")
    u = [math.log(v) if log else v for v, log in zip(x, X_LOG)]
"""
_LOGS_AFTER = """\
    y = [math.exp(v) if log else v for v, log in zip(y, Y_LOG)]
    J = [[t * (y[o] if log else 1.0) for t in J[o]] for o, log in enumerate(Y_LOG)]
    J = [[t / (v if log else 1.0) for t, v, log in zip(row, x, X_LOG)] for row in J]
"""


def python_module(model: FittedModel) -> str:
    """The source of the module, as `FittedModel.to_python` describes it."""
    scaling, net, logs = model.scaling, model.net, model.scaling.logs
    with np.errstate(over="ignore"):
        if not np.isfinite(scaling.y_scale[:, None] / scaling.x_scale).all():
            raise SwarmnetError("the model's scale of partials is too large: its data need other units")
    head = _HEAD.format(
        version=__version__,
        inputs=ascii(list(model.inputs)),  # a name may hold any character, and must stay a name
        outputs=ascii(list(model.outputs)),
        units="{" + ", ".join(f"{name!a}: {unit!a}" for name, unit in model.units.items()) + "}",
        logs="" if logs is None else _LOGS.format(inputs=list(logs.inputs), outputs=list(logs.outputs)),
        **scaling_record(scaling),
    )
    used = dict.fromkeys(act.name for act in net.activations)
    layers = "".join(
        _layer(W, b, act.name)
        for act, (W, b) in zip(net.activations, net.unflatten(model.theta), strict=True)
    )
    parts = {"trend": "", "before": "", "after": "", "u": "x", "logs_before": "", "logs_after": ""}
    if logs is not None:
        parts |= {"u": "u", "logs_before": _LOGS_BEFORE, "logs_after": _LOGS_AFTER}
    if net.trend is not None:
        trend = _trend(net.trend, net.coefficients(model.theta))
        parts |= {"trend": trend, "before": _BEFORE, "after": _AFTER}
    return head + _functions(used) + _TAIL.format(layers=layers, **parts) + _quantities(model)


def _quantities(model: FittedModel) -> str:
    found = exported_quantities(model)
    if not found:
        return ""
    formulas = "".join(f"        {formula_text(quantity, 'math.')},\n" for quantity in found)
    return _QUANTITIES.format(names=ascii([quantity.name for quantity in found]), formulas=formulas)


def _functions(used: Iterable[str]) -> str:
    """The activations, and before them the functions of _HELPERS that they call."""
    text = "\n".join(
        _ACTIVATION.format(name=name, f=TABLE[name].formulas[0], slope=TABLE[name].formulas[1])
        for name in used
    )
    helpers = [helper for name, helper in _HELPERS.items() if f"{name}(" in text]
    return "".join(helpers) + re.sub(r"(?<!def )\b(exp|expm1|log1p|sin|cos|tanh)\(", r"math.\1(", text)


def _layer(W: NDArray[np.float64], b: NDArray[np.float64], name: str) -> str:
    rows = "".join(f"            {row},\n" for row in W.tolist())
    return (
        f"    (\n        [\n{rows}        ],\n        {b.tolist()},\n"
        f"        {name},\n        {name}_slope,\n    ),\n"
    )


def _trend(trend: Trend, C: NDArray[np.float64]) -> str:
    steps = trend.recurrence
    rows = steps.rows - ONE  # ONE becomes row 0
    return _TREND.format(
        centre=trend.centre.tolist(),
        half=trend.half.tolist(),
        steps="".join(
            f"    ({i}, {j}, {k}, {factor!r}, {share!r}),\n"
            for (i, j, k), (factor, share) in zip(rows.tolist(), steps.factors.tolist(), strict=True)
        ),
        terms=(steps.terms - ONE).tolist(),
        coefficients="".join(f"    {row},\n" for row in C.tolist()),
    )
