"""A model as an ONNX graph that takes points and gives values and Jacobian, all in the data's units.

    forward    z_1 = (X - x_offset) (W_1 / x_scale) + b_1,  z_l = A_(l-1) W_l + b_l,  A_l = f(z_l),
               S_l = f'(z_l),  values = A_L diag(y_scale) + y_offset
    pullback   G_L = diag(y_scale),  G_(l-1) = (G_l S_l) W_l^T,  jacobian = G_1 S_1 (W_1 / x_scale)^T
    trend      phi by its recurrence, from u = (X - x_offset - x_scale centre) / (x_scale half), and with it
               dphi / dX;  values += phi C diag(y_scale),  jacobian += (C diag(y_scale))^T dphi / dX
    logarithms X is ln X above, values become exp(values), and jacobian becomes values jacobian / X

It asks only for operators that onnxruntime 1.17 has in float64 too, which Erf, Softplus and Cos are not. No
scale is a factor beside a matrix product: onnxruntime would join a single number to it, kept in float32.

Offsets may be large beside scales. In float32 each is the sum of two numbers, taken off one after the other,
because X less the first is exact wherever the two are close to each other (Sterbenz 1974). What goes in and
comes out is rounded all the same, to 6e-8 of its size: where that is much of its spread, a warning says so.
"""

import ast
import importlib
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import derivative_name
from swarmnet.data.logarithms import Logarithms
from swarmnet.errors import SwarmnetError, install_hint
from swarmnet.export.exported_quantities import cos, exported_quantities, write_quantities
from swarmnet.export.single_precision import checked_dtype, fitted_to
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.training_record import input_range
from swarmnet.network.activations import TABLE
from swarmnet.network.trend import ONE, Trend
from swarmnet.version import __version__

Array = NDArray[Any]

_OPSET, _IR = 13, 7  # of 2020: what is needed is there, and old runtimes read it


def onnx_model(model: FittedModel, dtype: str = "float64") -> bytes:
    """The model in ONNX's format, as `FittedModel.to_onnx` describes it."""
    found = checked_dtype(model, dtype)
    try:
        onnx = importlib.import_module("onnx")
    except ImportError:
        raise SwarmnetError(f"writing ONNX needs onnx: {install_hint('onnx')}") from None
    graph = _Graph(onnx, found)
    _write(graph, model)
    d, k, quantities = model.net.d, model.net.k, exported_quantities(model)
    outputs: dict[str, list[Any]] = {"values": ["n", k], "jacobian": ["n", k, d]}
    if quantities:
        write_quantities(graph, quantities, k, d)
        outputs["quantities"] = ["n", len(quantities)]
    document = onnx.helper.make_model(
        graph.finish({"X": ["n", d]}, outputs),
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
        producer_name="swarmnet",
        producer_version=__version__,
        doc_string="values: Y[row, output]; jacobian: dY[row, output]/dx[input]; all in the data's units.",
    )
    names = {"quantities": json.dumps([quantity.name for quantity in quantities])} if quantities else {}
    onnx.helper.set_model_props(document, _metadata(model) | names)
    onnx.checker.check_model(document, full_check=True)
    data: bytes = document.SerializeToString(deterministic=True)
    return data


def _metadata(model: FittedModel) -> dict[str, str]:
    """What the numbers mean, as JSON wherever it is more than a word: names may hold any character."""
    partials = [[derivative_name(out, into) for into in model.inputs] for out in model.outputs]
    return {
        "inputs": json.dumps(model.inputs),
        "outputs": json.dumps(model.outputs),
        "jacobian": json.dumps(partials),
        "units": "those of the training data",
        "column_units": json.dumps(model.units),
        "input_ranges": json.dumps({name: input_range(model.training, name) for name in model.inputs}),
        "swarmnet": __version__,
    }


class _Graph:
    """Nodes and constants in one dtype; what is handed around are the names of tensors."""

    def __init__(self, onnx: Any, dtype: np.dtype[Any]) -> None:
        self._onnx, self.dtype = onnx, dtype
        self._nodes: list[Any] = []
        self._outputs: dict[tuple[Any, ...], str] = {}
        self._constants: dict[str, Any] = {}
        self._numbers: dict[float, str] = {}

    def node(self, op: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        """The name of a node's output, `out` or one of its own; the same node is added once."""
        key = op, inputs, tuple(attributes.items())
        if out is None and key in self._outputs:
            return self._outputs[key]
        name = self._outputs[key] = out or f"{op.lower()}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def constant(self, name: str, numbers: Array | float) -> str:
        """Add a constant in the graph's dtype, or integers as they are."""
        exact = np.asarray(numbers)
        array = exact if exact.dtype.kind == "i" else fitted_to(name, exact, self.dtype)
        self._constants[name] = self._onnx.numpy_helper.from_array(array, name)
        return name

    def parts(self, name: str, numbers: Array) -> list[str]:
        """Constants whose sum is `numbers`, the larger first: one where the dtype holds them exactly."""
        first = self.constant(name, numbers)
        rest = numbers - numbers.astype(self.dtype)
        return [first, self.constant(f"{name}_rest", rest)] if rest.any() else [first]

    def number(self, value: float) -> str:
        """A scalar constant, the same tensor for the same value."""
        if value not in self._numbers:
            self._numbers[value] = self.constant(f"number_{len(self._numbers)}", value)
        return self._numbers[value]

    def finish(self, inputs: dict[str, list[Any]], outputs: dict[str, list[Any]]) -> Any:
        """The graph itself, with the shapes of what goes in and comes out."""
        helper = self._onnx.helper
        element = helper.np_dtype_to_tensor_dtype(self.dtype)
        ends = [
            [helper.make_tensor_value_info(name, element, shape) for name, shape in which.items()]
            for which in (inputs, outputs)
        ]
        return helper.make_graph(self._nodes, "swarmnet", *ends, list(self._constants.values()))


def _write(g: _Graph, model: FittedModel) -> None:
    scaling, net = model.scaling, model.net
    A = "X" if scaling.logs is None else _logarithms(g, scaling.logs)
    for part in g.parts("x_offset", scaling.x_offset):
        A = g.node("Sub", A, part)
    trend = None if net.trend is None else _terms(g, net.trend, scaling.x_scale, A)
    W, S = [], []
    layers = zip(net.activations, net.unflatten(model.theta), strict=True)
    for number, (act, (weights, bias)) in enumerate(layers, 1):
        unit = scaling.x_scale[:, None] if number == 1 else 1.0
        W.append(g.constant(f"W{number}", weights / unit))
        product = g.node("MatMul", A, W[-1])
        z = g.node("Add", product, g.constant(f"b{number}", bias), out=f"z{number}")
        f, slope = TABLE[act.name].formulas[0], TABLE[act.name].onnx_slope
        A = _nodes(g, f, {"z": z})
        S.append(None if slope == "1.0" else _nodes(g, slope, {"z": z, "a": A}))
    units = g.constant("diag_y_scale", np.diag(scaling.y_scale))
    Y, added = g.node("MatMul", A, units), None
    if trend is not None:
        C = g.constant("coefficients", net.coefficients(model.theta) * scaling.y_scale)
        Y = g.node("Add", Y, g.node("MatMul", trend[0], C))
        added = g.node("MatMul", g.node("Transpose", C), trend[1])
    *rest, last = reversed(g.parts("y_offset", scaling.y_offset))  # the smaller first, or it would be lost
    for part in rest:
        Y = g.node("Add", Y, part)
    if scaling.logs is None:
        g.node("Add", Y, last, out="values")
        _write_pullback(g, W, S, units, net.k, added, "jacobian")
    else:
        J = _write_pullback(g, W, S, units, net.k, added, None)
        _write_exponentials(g, scaling.logs, g.node("Add", Y, last), J)


def _logarithms(g: _Graph, logs: Logarithms) -> str:
    """The network's inputs, without a branch: where an input is no logarithm, ln 1 is added to it."""
    mask = np.array(logs.inputs, float)
    logs_of = g.constant("log_inputs", mask)
    others = g.constant("other_inputs", 1.0 - mask)
    positive = g.node("Add", g.node("Mul", "X", logs_of), others, out="X_or_1")
    return g.node("Add", g.node("Mul", "X", others), g.node("Log", positive))


def _write_exponentials(g: _Graph, logs: Logarithms, Y: str, J: str) -> None:
    """The values and the Jacobian from those of the logarithms; exp 0 is 1 for outputs that are none."""
    mask = np.array(logs.outputs, float)
    logs_of = g.constant("log_outputs", mask)
    exp = g.node("Exp", g.node("Mul", Y, logs_of))
    others = g.node("Mul", Y, g.constant("other_outputs", 1.0 - mask))
    g.node("Add", others, g.node("Mul", exp, logs_of), out="values")
    axes = (g.constant(f"unsqueezed_{axis}", np.array([axis])) for axis in (2, 1))
    y, x = (g.node("Unsqueeze", factor, axis) for factor, axis in zip((exp, "X_or_1"), axes, strict=True))
    g.node("Div", g.node("Mul", J, y), x, out="jacobian")


def _terms(g: _Graph, trend: Trend, x_scale: Array, A: str) -> tuple[str, str]:
    """The trend's terms (n, terms), and their gradients (n, terms, d) with respect to X."""
    d, steps = len(x_scale), trend.recurrence
    with np.errstate(all="ignore"):  # what is not finite is refused below
        centre, unit = trend.centre * x_scale, trend.half * x_scale
        per_unit = np.diag(1.0 / unit)
    for part in g.parts("centre", centre):
        A = g.node("Sub", A, part)
    u = g.node("Div", A, g.constant("half", unit))
    value, gradient = [], []
    for j, slope in enumerate(per_unit):
        value.append(g.node("Gather", u, g.constant(f"input_{j}", np.array([j])), axis=1))
        gradient.append(g.node("Expand", g.constant(f"slope_{j}", slope), _shape(g, "d", d)))

    def times(factor: float, tensor: str) -> str:
        return tensor if factor == 1.0 else g.node("Mul", tensor, g.number(factor))

    for (a, b, c), (factor, share) in zip(steps.rows.tolist(), steps.factors.tolist(), strict=True):
        left, right = times(factor, value[a]), times(factor, value[b])
        v = g.node("Mul", left, value[b])
        dv = g.node("Add", g.node("Mul", left, gradient[b]), g.node("Mul", right, gradient[a]))
        if share:
            v = g.node("Sub", v, g.number(share) if c == ONE else times(share, value[c]))
        if share and c != ONE:
            dv = g.node("Sub", dv, times(share, gradient[c]))
        value.append(v)
        gradient.append(dv)
    phi, slopes = (g.node("Concat", *(rows[t] for t in steps.terms), axis=1) for rows in (value, gradient))
    return phi, g.node("Reshape", slopes, g.constant("terms_d", np.array([0, len(trend), d])))


def _shape(g: _Graph, name: str, *sizes: int) -> str:
    """The shape (n, *sizes)."""
    start, stop = (g.constant(f"row_{i}", np.array([i])) for i in (0, 1))
    rows = g.node("Slice", g.node("Shape", "X"), start, stop)
    return g.node("Concat", rows, g.constant(name, np.array(sizes)), axis=0)


def _write_pullback(
    g: _Graph,
    W: list[str],
    S: list[str | None],
    units: str,
    k: int,
    added: str | None,
    out: str | None,
) -> str:
    """The Jacobian (n, k, d) from the last layer to the first, and what is added; a slope of None is 1."""
    G = g.node("Expand", units, _shape(g, "k_k", k, k))
    for number, (weights, slope) in reversed(list(enumerate(zip(W, S, strict=True), 1))):
        if slope is not None:
            G = g.node("Mul", G, g.node("Unsqueeze", slope, g.constant("axis_1", np.array([1]))))
        last = out if number == 1 and added is None else None
        G = g.node("MatMul", G, g.node("Transpose", weights), out=last)
    return G if added is None else g.node("Add", G, added, out=out)


def _nodes(g: _Graph, formula: str, known: dict[str, str]) -> str:
    """A formula of an activation as nodes; `known` are its variables."""

    def write(part: ast.expr) -> str:
        match part:
            case ast.Name(name):
                return known[name]
            case ast.Constant(float(value)):
                return g.number(value)
            case ast.UnaryOp(ast.USub(), ast.Constant(float(value))):
                return g.number(-value)
            case ast.UnaryOp(ast.USub(), operand):
                return g.node("Neg", write(operand))
            case ast.BinOp(left, operator, right):
                return g.node(_OPERATORS[type(operator)], write(left), write(right))
            case ast.Compare(left, [ast.Gt()], [right]):
                above = g.node("Greater", write(left), write(right))
                return g.node("Where", above, g.number(1.0), g.number(0.0))
            case ast.Call(ast.Name(name), arguments) if name in _FUNCTIONS:
                return _FUNCTIONS[name](g, *map(write, arguments))
            case ast.Call(ast.Name(name), arguments):  # exp is Exp
                return g.node(name.capitalize(), *map(write, arguments))
        raise ValueError(f"no ONNX for {ast.unparse(part)}")

    return write(ast.parse(formula, mode="eval").body)


def _gate(g: _Graph, z: str) -> tuple[str, str]:
    """sigmoid(z) and 1 - sigmoid(z), both to all digits: 1 / (1 + e) and e / (1 + e), with e = exp(-|z|)."""
    e = g.node("Exp", g.node("Neg", g.node("Abs", z)))
    below = g.node("Add", g.number(1.0), e)
    large, small = g.node("Reciprocal", below), g.node("Div", e, below)
    above = g.node("Greater", z, g.number(0.0))
    return g.node("Where", above, large, small), g.node("Where", above, small, large)


def _bell(g: _Graph, z: str) -> tuple[str, str]:
    """z^2 / 2 and exp(-z^2 / 2)."""
    square = g.node("Mul", g.node("Mul", z, z), g.number(0.5))
    return square, g.node("Exp", g.node("Neg", square))


def _moment(g: _Graph, z: str) -> str:
    return g.node("Mul", z, g.node("Mul", _bell(g, z)[1], g.number(1.0 / math.sqrt(2.0 * math.pi))))


def _normal_distribution(g: _Graph, z: str) -> str:
    """Phi(z), to 4e-16.

    With t = |z| / sqrt(2) and h = 1/2 the midpoint rule gives (Hunter and Regan 1972)

        erfc(t) = 2 h t / pi exp(-t^2) sum over m of exp(-c_m) / (c_m + t^2) + 2 / (1 + exp(2 pi t / h)),

    c_m = ((m + 1/2) h)^2, of which 13 terms are enough.
    """
    square, bell = _bell(g, z)
    t = g.node("Mul", g.node("Abs", z), g.number(math.sqrt(0.5)))
    c = (0.5 * (np.arange(13) + 0.5)) ** 2
    last = g.constant("axis_last", np.array([-1]))
    nodes = g.node("Add", g.node("Unsqueeze", square, last), g.constant("erfc_nodes", c))
    weights = g.constant("erfc_weights", np.exp(-c)[:, None])  # a vector would fail where n is 0
    total = g.node("Squeeze", g.node("MatMul", g.node("Reciprocal", nodes), weights), last)
    total = g.node("Mul", bell, total)
    total = g.node("Mul", g.node("Mul", total, t), g.number(0.5 / math.pi))
    pole = g.node("Sigmoid", g.node("Mul", t, g.number(-4.0 * math.pi)))
    tail = g.node("Add", total, pole)  # erfc(t) / 2 = Phi(-|z|)
    above = g.node("Greater", z, g.number(0.0))
    return g.node("Where", above, g.node("Sub", g.number(1.0), tail), tail)


_OPERATORS = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Div: "Div"}
_FUNCTIONS: dict[str, Callable[..., str]] = {
    "log1p": lambda g, x: g.node("Log", g.node("Add", g.number(1.0), x)),
    "cos": cos,
    "gate": lambda g, z: _gate(g, z)[0],
    "rest": lambda g, z: _gate(g, z)[1],
    "distribution": _normal_distribution,
    "moment": _moment,
}
