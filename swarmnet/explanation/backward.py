"""The steps backward: the loss's derivatives from the last layer to the first, and the weights' step."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from swarmnet.data.data_frames import pd
from swarmnet.explanation.steps import Matrix
from swarmnet.explanation.symbols import Calculation
from swarmnet.explanation.tables import frame_of, table
from swarmnet.network.network import Network

Array = NDArray[Any]


def show_backward(
    calculation: Calculation, net: Network, order: int, at_outputs: str
) -> list[tuple[Array, Array]]:
    """Show the backward pass; return the gradient of each layer's (W, b).

    Args:
        calculation: with the forward pass and the errors.
        net: the network.
        order: the highest order of the row's derivatives.
        at_outputs: what z' of the last layer is without derivatives, as a formula.
    """
    gradient, count = [], len(net.layers)
    for n in range(count, 0, -1):
        own = at_outputs if n == count else f"S{n} * A'{n}"
        calculation.compute(f"Layer {n}: deltas", *_deltas(n, own, order))
        parts = ["", f" + T{n - 1}.T @ U'{n}", f" + R{n - 1}.T @ V'{n}"][: order + 1]
        formulas = [f"W'{n} = A{n - 1}.T @ z'{n}" + "".join(parts), f"b'{n} = z'{n}"]
        if n == count and net.trend is not None:
            parts = ["", f" + Q0.T @ U'{n}", f" + O0.T @ V'{n}"][: order + 1]
            formulas.append(f"K'{n} = P0.T @ z'{n}" + "".join(parts))
        calculation.compute(f"Layer {n}: gradient", *formulas)
        if n > 1:
            passed = zip("ATR"[: order + 1], "zUV", strict=False)
            formulas = [f"{letter}'{n - 1} = {delta}'{n} @ W{n}.T" for letter, delta in passed]
            calculation.compute(f"Layer {n - 1}: errors passed back", *formulas)
        gradient.append((calculation[f"W'{n}"], calculation[f"b'{n}"][0]))
    return gradient[::-1]


def _deltas(n: int, own: str, order: int) -> list[str]:
    """Return the formulas of the deltas of layer n."""
    if order == 0:
        return [f"z'{n} = {own}"]
    tangents, bends, formulas = f"U'{n} = S{n} * T'{n}", f"B{n} = sum(U{n} * T'{n})", list[str]()
    if order == 2:
        formulas = [f"V'{n} = S{n} * R'{n}", f"N'{n} = C{n} * R'{n}"]
        formulas += [f"I'{n} = N'{n} * J{n}", f"J'{n} = N'{n} * I{n}"]
        tangents += f" + G0.T @ I'{n} + H0.T @ J'{n}"
        bends += f" + sum(V{n} * R'{n})"
    formulas += [tangents, bends]
    if order == 1:
        return [*formulas, f"z'{n} = {own} + C{n} * B{n}"]
    return [*formulas, f"L{n} = sum(N{n} * R'{n})", f"z'{n} = {own} + C{n} * B{n} + D{n} * L{n}"]


def show_update(
    calculation: Calculation, net: Network, after: Array, rate: float, losses: tuple[float, float]
) -> None:
    """Show the weights after the step, and the losses before and after it."""
    for n, (W, b) in enumerate(net.unflatten(after), 1):
        read, made = [], []
        parts = [(f"W{n}", "weights", W), (f"b{n}", "biases", b[None])]
        if n == len(net.layers) and net.trend is not None:
            parts.append((f"K{n}", "coefficients", net.coefficients(after)))
        for name, what, numbers in parts:
            slope = calculation.read(f"{name[0]}'{n}")
            before = calculation.read(name, slope.active)
            frame = pd.DataFrame(numbers, before.frame.index, before.frame.columns)
            read += [before, slope]
            made.append(Matrix(f"{name} after", f"updated {what}", frame, slope.active, made=True))
        letters = [name[0] for name, _, _ in parts]
        formulas = ", ".join(f"{x}{n} after = {x}{n} - {rate:g} * {x}'{n}" for x in letters)
        calculation.show(f"Layer {n}: updated weights", formulas, *read, *made)
    change = frame_of(["total"], ["before", "after"], [losses[:1], losses[1:]])
    calculation.show(
        "The row's loss after the step",
        "loss of the same row with the updated weights",
        table("loss after", "of the row", change, made=True),
    )
