"""The defined quantities for the page, which evaluates their formulas itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swarmnet.data.definitions import quantities_of
from swarmnet.data.formulas import Call, Formula, Name, Number, Operation, Partial
from swarmnet.data.logarithms import partial_of
from swarmnet.data.quantities import Argument, Quantity
from swarmnet.model.columns import Column
from swarmnet.model.fitted_model import FittedModel

_FIELDS = ("o", "j", "i")  # output, and the inputs of the derivative; null for none


def formulas_of(model: FittedModel) -> list[dict[str, Any]]:
    """Return the quantities that were defined for training, without those of columns that were left out.

    Each has its name, its arguments, and its formula as nested lists: a number, ``["x", input]``,
    ``["a", argument]``, or an operator or function with what it takes.
    """
    defined = quantities_of(model.training.get("define"), model.inputs, model.outputs)
    return [_formula(model, quantity) for quantity in defined]


def columns_of_page(model: FittedModel, columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Return values and partials by their numbers; with logarithms in the model they have formulas too."""
    plain = [{"name": c.name, "o": c.output, "j": c.input} for c in columns]
    if model.scaling.logs is None:
        return plain
    names = model.inputs, model.outputs
    quantities = [
        Quantity.of(c.name, Name(c.name, c.name), *names)
        if c.input is None
        else partial_of(*names, c.output, c.input)
        for c in columns
    ]
    return [own | _formula(model, q) for own, q in zip(plain, quantities, strict=True)]


def _formula(model: FittedModel, quantity: Quantity) -> dict[str, Any]:
    if model.scaling.logs is not None:
        quantity = model.scaling.logs.quantity(quantity)
    return {
        "name": quantity.name,
        "tree": tree_of(quantity.tree, quantity),
        "arguments": [_argument(argument) for argument in quantity.arguments],
    }


def _argument(argument: Argument) -> dict[str, int | None]:
    output, along = argument
    return dict(zip(_FIELDS, (output, *along, None, None), strict=False))


def tree_of(node: Formula, quantity: Quantity) -> Any:
    """Return a part of a formula as nested lists."""
    match node:
        case Number():
            return node.value
        case Name() | Partial():
            number = quantity.number_of(node)
            if number is not None:
                return ["a", number]
            assert isinstance(node, Name)
            return ["x", quantity.inputs.index(node.name)]
        case Call():
            return [node.function, tree_of(node.argument, quantity)]
        case Operation():
            return [node.operator, tree_of(node.left, quantity), tree_of(node.right, quantity)]
