"""The steps forward: a layer's activations, and their first and second derivatives along inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.explanation.data_units import show_outputs, show_partials, show_second_derivatives
from swarmnet.explanation.row import Row
from swarmnet.explanation.symbols import Calculation
from swarmnet.model.fitted_model import FittedModel
from swarmnet.network.network import Network

Array = NDArray[Any]


def calculation_of(net: Network, row: Row) -> Calculation:
    """Return a calculation without steps, with the labels of units, tangents and terms."""
    hidden = [[f"unit {i}" for i in range(1, size + 1)] for size in net.sizes[1:-1]]
    along = [f"along {row.inputs[j]}" for j in row.along]
    pairs = [f"along {row.inputs[i]} and {row.inputs[j]}" for i, j in row.pairs]
    return Calculation([row.inputs, *hidden, row.outputs], along, pairs, _terms(net, row.inputs))


def _terms(net: Network, inputs: Sequence[str]) -> list[str]:
    """Return labels of the trend's terms, such as P2(T) P1(p)."""
    powers = [] if net.trend is None else net.trend.powers.tolist()
    return [" ".join(f"P{q}({x})" for q, x in zip(term, inputs, strict=True) if q) for term in powers]


def show_forward(calculation: Calculation, model: FittedModel, row: Row) -> None:
    """Show the layers' forward pass, and their derivatives up to the row's order."""
    _values(calculation, model, row)
    show_outputs(calculation, row, len(model.net.layers))
    if row.order:
        _tangents(calculation, model.net, row.along)
        show_partials(calculation, row, len(model.net.layers))
    if row.order == 2:
        _second_tangents(calculation, model.net, row)
        show_second_derivatives(calculation, row, len(model.net.layers))


def _values(calculation: Calculation, model: FittedModel, row: Row) -> None:
    net, count = model.net, len(model.net.layers)
    if net.trend is not None:
        calculation[f"K{count}"] = net.coefficients(model.theta)
        (phi,) = net.trend.jets(calculation["A0"].T, 0)
        formula = "P0 = products of Legendre polynomials P1, P2... of A0, scaled to -1..1 over the data"
        calculation.show("Terms of the trend", formula, calculation.read("A0"), calculation.make("P0", phi.T))
    for n, (act, (W, b)) in enumerate(zip(net.activations, net.unflatten(model.theta), strict=True), 1):
        calculation[f"W{n}"], calculation[f"b{n}"] = W, b[None]
        trend = _with_trend(net, n, "P")
        calculation.compute(f"Layer {n}: hidden inputs", f"z{n} = A{n - 1} @ W{n} + b{n}{trend}")
        calculation.activate(n, act, row.order)


def _with_trend(net: Network, n: int, terms: str) -> str:
    """Return what the trend adds to layer n, for the symbol of its terms or of their derivatives."""
    return f" + {terms}0 @ K{n}" if n == len(net.layers) and net.trend is not None else ""


def _tangents(calculation: Calculation, net: Network, along: Sequence[int]) -> None:
    """Show the layers' derivatives along some inputs."""
    seeds = calculation.make("T0", np.eye(net.d)[along])
    calculation.show("Tangents of the inputs", "T0 = 1 for the input that a line goes along, else 0", seeds)
    if net.trend is not None:
        of_terms = net.trend.jets(calculation["A0"].T, 1)[1][:, along, 0].T
        calculation.show("Tangents of the terms", "Q0 = derivatives of P0", calculation.make("Q0", of_terms))
    for n in range(1, len(net.layers) + 1):
        trend = _with_trend(net, n, "Q")
        calculation.compute(f"Layer {n}: tangents", f"U{n} = T{n - 1} @ W{n}{trend}", f"T{n} = S{n} * U{n}")


def _second_tangents(calculation: Calculation, net: Network, row: Row) -> None:
    """Show the layers' second derivatives along pairs of inputs."""
    pairs = np.array(row.pairs)
    first, second = (np.equal.outer(inputs, row.along).astype(float) for inputs in pairs.T)
    calculation.show(
        "Pairs of tangents, and second tangents of the inputs",
        "G0 and H0 = 1 for the first and for the second tangent of a pair, else 0, R0 = 0",
        calculation.make("G0", first),
        calculation.make("H0", second),
        calculation.make("R0", np.zeros((len(pairs), net.d))),
    )
    if net.trend is not None:
        i, j = pairs.T
        of_terms = net.trend.jets(calculation["A0"].T, 2)[2][:, i, j, 0].T
        formula = "O0 = second derivatives of P0"
        calculation.show("Second tangents of the terms", formula, calculation.make("O0", of_terms))
    for n in range(1, len(net.layers) + 1):
        calculation.compute(
            f"Layer {n}: second tangents",
            f"V{n} = R{n - 1} @ W{n}{_with_trend(net, n, 'O')}",
            f"I{n} = G0 @ U{n}",
            f"J{n} = H0 @ U{n}",
            f"N{n} = I{n} * J{n}",
            f"R{n} = S{n} * V{n} + C{n} * N{n}",
        )
