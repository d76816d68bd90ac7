"""A model as a Python module that needs nothing but the standard library, written to be read."""

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from swarmnet.errors import SwarmnetError
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.model_file import scaling_record
from swarmnet.network.activations import TABLE
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
in the units of the data that the network was trained on.
"""

import math

INPUTS = {inputs}
OUTPUTS = {outputs}

# The network takes (x - offset) / scale, and gives (y - offset) / scale.
X_OFFSET, X_SCALE = {x_offset}, {x_scale}
Y_OFFSET, Y_SCALE = {y_offset}, {y_scale}

'''

_TAIL = '''

# Layer by layer: W[i][j] from input i to unit j, b[j], f and its slope.
LAYERS = [
{layers}]


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
    a = [(v - offset) / scale for v, offset, scale in zip(x, X_OFFSET, X_SCALE)]
    for W, b, f, slope in LAYERS:
        z = [dot(a, W, u) + b[u] for u in range(len(b))]
        a = [f(v) for v in z]
        S = [slope(v, w) for v, w in zip(z, a)]
        T = [[S[u] * dot(t, W, u) for u in range(len(b))] for t in T]
    y = [v * scale + offset for v, scale, offset in zip(a, Y_SCALE, Y_OFFSET)]
    J = [[t[o] * (Y_SCALE[o] / scale) for t, scale in zip(T, X_SCALE)] for o in range(len(y))]
    return y, J


def dot(a, W, unit):
    return sum(v * row[unit] for v, row in zip(a, W))
'''


def python_module(model: FittedModel) -> str:
    """The source of the module, as `FittedModel.to_python` describes it."""
    scaling, net = model.scaling, model.net
    with np.errstate(over="ignore"):
        if not np.isfinite(scaling.y_scale[:, None] / scaling.x_scale).all():
            raise SwarmnetError("the model's scale of partials is too large: its data need other units")
    head = _HEAD.format(
        version=__version__,
        inputs=ascii(list(model.inputs)),  # a name may hold any character, and must stay a name
        outputs=ascii(list(model.outputs)),
        **scaling_record(scaling),
    )
    used = dict.fromkeys(act.name for act in net.activations)
    layers = "".join(
        _layer(W, b, act.name)
        for act, (W, b) in zip(net.activations, net.unflatten(model.theta), strict=True)
    )
    return head + _functions(used) + _TAIL.format(layers=layers)


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
