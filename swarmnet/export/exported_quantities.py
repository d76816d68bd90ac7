"""The defined quantities in exports: formulas of inputs, values and first partials."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from swarmnet.data.column_names import listed
from swarmnet.data.definitions import quantities_of
from swarmnet.data.formulas import Call, Formula, Name, Number, Operation, Partial
from swarmnet.data.quantities import Quantity
from swarmnet.errors import warn_user
from swarmnet.model.fitted_model import FittedModel

_OPERATORS = {"+": "Add", "-": "Sub", "*": "Mul", "/": "Div", "**": "Pow"}


class Nodes(Protocol):
    """An ONNX graph, to which nodes and constants are added by the names of their tensors."""

    def node(self, op: str, *inputs: str, out: str | None = None, **attributes: Any) -> str: ...
    def constant(self, name: str, numbers: Any) -> str: ...
    def number(self, value: float) -> str: ...


def exported_quantities(model: FittedModel) -> list[Quantity]:
    """Return the defined quantities without those of second derivatives, of which it warns."""
    defined = quantities_of(model.training.get("define"), model.inputs, model.outputs)
    if left_out := [quantity.name for quantity in defined if quantity.order > 1]:
        warn_user(f"not exported, as they have second derivatives: {listed(left_out)}")
    return [quantity for quantity in defined if quantity.order <= 1]


def write_quantities(g: Nodes, quantities: list[Quantity], k: int, d: int) -> None:
    """Add the tensor `quantities` (n, q), from the graph's `X`, `values` and `jacobian`."""
    partials = g.node("Reshape", "jacobian", g.constant("n_partials", np.array([0, k * d])))

    def column(tensor: str, number: int) -> str:
        return g.node("Gather", tensor, g.constant(f"{tensor}_{number}", np.array([number])), axis=1)

    def write(node: Formula, of: Quantity) -> str:
        match node:
            case Number():
                return g.number(node.value)
            case Name() | Partial():
                number = of.number_of(node)
                if number is None:
                    assert isinstance(node, Name)
                    return column("X", of.inputs.index(node.name))
                output, along = of.arguments[number]
                return column(partials, output * d + along[0]) if along else column("values", output)
            case Call():
                argument = write(node.argument, of)
                if node.function == "-":
                    return g.node("Neg", argument)
                if node.function == "cos":
                    return cos(g, argument)
                if node.function == "tan":
                    return g.node("Div", g.node("Sin", argument), cos(g, argument))
                return g.node(node.function.capitalize(), argument)
            case Operation():
                return g.node(_OPERATORS[node.operator], write(node.left, of), write(node.right, of))

    g.node("Concat", *(write(quantity.tree, quantity) for quantity in quantities), axis=1, out="quantities")


def cos(g: Nodes, z: str) -> str:
    """The cosine as 1 - 2 sin(z / 2)^2: Cos in float64 is not in onnxruntime 1.17."""
    half = g.node("Sin", g.node("Mul", z, g.number(0.5)))
    square = g.node("Mul", half, half)
    return g.node("Sub", g.number(1.0), g.node("Add", square, square))


def formula_text(quantity: Quantity, prefix: str) -> str:
    """Return the formula in Python or C, of a point `x`, its outputs `y` and its partials `J`.

    `prefix` is that of functions and of infinity, such as "math.".
    """

    def write(node: Formula) -> str:
        match node:
            case Number():
                return repr(node.value) if math.isfinite(node.value) else f"{prefix}inf"
            case Name() | Partial():
                number = quantity.number_of(node)
                if number is None:
                    assert isinstance(node, Name)
                    return f"x[{quantity.inputs.index(node.name)}]"
                output, along = quantity.arguments[number]
                return f"J[{output}][{along[0]}]" if along else f"y[{output}]"
            case Call():
                function = "-" if node.function == "-" else f"{prefix}{node.function}"
                return f"{function}({write(node.argument)})"
            case Operation():
                left, right = write(node.left), write(node.right)
                # In Python, ** would be complex where the base is negative
                return (
                    f"{prefix}pow({left}, {right})"
                    if node.operator == "**"
                    else f"({left} {node.operator} {right})"
                )

    return write(quantity.tree)
