"""Matrices with symbols, computed by formulas that are also shown."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.data_frames import pd
from swarmnet.explanation.steps import Matrix, Step
from swarmnet.network.activations import TABLE, Activation

Array = NDArray[Any]

_WHAT = {
    "x": "inputs in the data's units",
    "A": "activations",
    "W": "weights",
    "b": "biases",
    "z": "hidden inputs",
    "T": "tangents of the activations",
    "U": "tangents of the hidden inputs",
    "V": "second tangents of the hidden inputs",
    "R": "second tangents of the activations",
    "G": "the first tangent of each pair",
    "H": "the second tangent of each pair",
    "I": "tangents along the first of each pair",
    "J": "tangents along the second of each pair",
    "N": "products of both tangents",
    "S": "slopes",
    "C": "curvatures",
    "D": "third derivatives",
    "E": "errors at the hidden inputs",
    "A'": "errors",
    "T'": "errors of the tangents",
    "U'": "deltas of the tangents",
    "V'": "deltas of the second tangents",
    "R'": "errors of the second tangents",
    "I'": "errors of I",
    "J'": "errors of J",
    "N'": "errors of N",
    "B": "what bends the tangents",
    "L": "what bends the second tangents",
    "P": "the trend's terms",
    "Q": "tangents of the trend's terms",
    "O": "second tangents of the trend's terms",
    "K": "coefficients of the trend",
    "K'": "gradient of the coefficients",
    "z'": "deltas",
    "W'": "gradient of the weights",
    "b'": "gradient of the biases",
}
_FUNCTIONS = ("f(z)", "f'(z)", "f''(z)", "f'''(z)")


class Calculation:
    """The numbers computed so far by symbol, such as z'2 of layer 2, and the steps that computed them.

    Args:
        units: the labels of each layer's units, beginning with the inputs.
        along: the labels of the tangents.
        pairs: the labels of the second tangents.
        terms: the labels of the trend's terms.
    """

    def __init__(
        self,
        units: Sequence[Sequence[str]],
        along: Sequence[str],
        pairs: Sequence[str] = (),
        terms: Sequence[str] = (),
    ) -> None:
        self.steps: list[Step] = []
        self._units, self._along, self._terms = units, along, terms
        self._lines = dict.fromkeys("TUQ", along) | dict.fromkeys("VRGHIJNO", pairs) | {"K": terms}
        self._numbers: dict[str, Array] = {}

    def __getitem__(self, symbol: str) -> Array:
        return self._numbers[symbol]

    def __setitem__(self, symbol: str, numbers: Array) -> None:
        self._numbers[symbol] = numbers

    def read(self, symbol: str, active: Array | None = None) -> Matrix:
        """Return a matrix that a step reads; by default, all cells except zeros are active."""
        numbers = self[symbol]
        kind = symbol.rstrip("0123456789")
        layer = int(symbol[len(kind) :])
        lines = self._units[layer - 1] if kind[0] == "W" else self._lines.get(kind[0], [""])
        others = dict.fromkeys("PQO", self._terms) | dict.fromkeys("GH", self._along)
        columns = others.get(kind, self._units[layer])
        # A copy, not the model's own array
        frame = pd.DataFrame(numbers, list(lines), list(columns), copy=True)
        last = len(self._units) - 1
        ends = {"A0": "inputs", f"z{last}": "output inputs", f"A{last}": "outputs"}
        if active is None:
            active = np.ones(numbers.shape, bool) if kind == "z" else numbers != 0
        return Matrix(symbol, ends.get(symbol, _WHAT[kind]), frame, active)

    def make(self, symbol: str, numbers: Array) -> Matrix:
        """Store and return a matrix that a step computes."""
        self[symbol] = numbers
        return replace(self.read(symbol), made=True)

    def show(self, title: str, formula: str, *matrices: Matrix) -> None:
        """Add a step."""
        self.steps.append(Step(title, formula, matrices))

    def activate(self, layer: int, act: Activation, order: int) -> None:
        """Add the step from z to A, the slopes S and, with first and second derivatives, also C and D.

        Args:
            layer: its number.
            act: its activation.
            order: the highest order of the row's derivatives.
        """
        z = self[f"z{layer}"]
        A, S, C, D = (np.empty_like(z) for _ in range(4))
        act.value(z, A)
        act.slope(z, A, S)
        act.curvature(z, A, S, C)
        if order == 2:
            assert act.third is not None  # the objective of the row needs it too
            act.third(z, A, S, C, D)
        written = TABLE[act.name].written if act.built_in else _FUNCTIONS
        made = dict(zip("ASCD"[: order + 2], (A, S, C, D), strict=False))
        formulas = [
            f"{letter}{layer} = " + re.sub(r"\b([zASC])\b", rf"\g<1>{layer}", formula)
            for letter, formula in zip(made, written, strict=False)
        ]
        self.show(
            f"Layer {layer}: activations ({act.name}) and their slopes",
            ", ".join(formulas),
            self.read(f"z{layer}"),
            *(self.make(f"{letter}{layer}", numbers) for letter, numbers in made.items()),
        )

    def compute(self, title: str, *formulas: str) -> None:
        """Add a step of formulas such as ``z1 = A0 @ W1 + b1``, and compute them."""
        read: dict[str, Array] = {}
        made: dict[str, Matrix] = {}
        for formula in formulas:
            symbol, terms = formula.split(" = ")
            parts = [self._term(term) for term in terms.split(" + ")]
            made[symbol] = self.make(symbol, np.sum([numbers for numbers, _ in parts], axis=0))
            for name, active in (pair for _, cells in parts for pair in cells):
                read[name] = read.get(name, False) | active
        known = [self.read(name, active) for name, active in read.items() if name not in made]
        self.show(title, ", ".join(formulas), *known, *made.values())

    def _term(self, term: str) -> tuple[Array, list[tuple[str, Array]]]:
        """Return the value of ``b1``, ``A0.T @ z'1`` or ``sum(U1 * T'1)``, and each matrix's active cells."""
        names = re.findall(r"[^ ()*@]+", term.removeprefix("sum"))
        arrays = [self[name.removesuffix(".T")].T if name.endswith(".T") else self[name] for name in names]
        if len(arrays) == 1:
            return arrays[0], [(term, arrays[0] != 0)]
        left, right = arrays
        on = left != 0, right != 0
        if "@" in term:
            numbers = left @ right
            active = [on[0] & on[1].any(1), on[1] & on[0].any(0)[:, None]]
        else:
            numbers = left * right
            both = on[0] & on[1]
            active = [both.any(0, keepdims=True) if len(array) == 1 else both for array in arrays]
        if term.startswith("sum"):
            numbers = numbers.sum(0, keepdims=True)
        turned = [
            cells.T if name.endswith(".T") else cells for name, cells in zip(names, active, strict=True)
        ]
        return numbers, list(zip([name.removesuffix(".T") for name in names], turned, strict=True))
