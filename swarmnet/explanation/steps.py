"""A calculation shown step by step as labelled matrices: in a table, in plain text, or as an HTML page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.atomic_write import write_atomically
from swarmnet.data.data_frames import pd
from swarmnet.errors import unknown

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Matrix:
    """A labelled matrix that a step reads or computes.

    Args:
        name: its symbol in the formulas, such as W1.
        what: a description in words.
        frame: the numbers, with labels of rows and columns.
        active: in the shape of `frame`, the cells that matter: the number is neither 0, nor multiplied by 0
            in this step, nor missing.
        made: whether the step computes it; otherwise it reads it.
        digits: number of significant digits shown.
    """

    name: str
    what: str
    frame: pd.DataFrame
    active: NDArray[np.bool_]
    made: bool = False
    digits: int = 6

    def cells(self) -> Iterator[tuple[str, list[tuple[float, str]]]]:
        """Yield each row's label, and its numbers with their mark: "made", "read" or "idle"."""
        mark = "made" if self.made else "read"
        rows = zip(self.frame.index, self.frame.to_numpy(), self.active, strict=True)
        for label, numbers, active in rows:
            yield (
                str(label),
                [(float(x), mark if on else "idle") for x, on in zip(numbers, active, strict=True)],
            )

    def to_csv(self) -> str:
        """Return CSV, with the matrix's name above the row labels."""
        texts = self.frame.map(lambda x: number_text(x, self.digits))
        return texts.to_csv(index_label=self.name, lineterminator="\n")


@dataclass(frozen=True, eq=False)
class Step:
    """One step: its description, its formula, and its matrices, those that it computes last."""

    title: str
    formula: str
    matrices: tuple[Matrix, ...]


@dataclass(frozen=True, eq=False)
class Explanation:
    """The result of `swarmnet.explain`; `explanation["z1"]` is the matrix of that name, as a DataFrame.

    Args:
        title: the network and the learning rate.
        steps: in the order of computation.
        loss: the row's loss before the step of gradient descent.
        loss_after: the row's loss after it.
        theta: (p,) the weights after it.
    """

    title: str
    steps: tuple[Step, ...]
    loss: float
    loss_after: float
    theta: Array

    def __getitem__(self, name: str) -> pd.DataFrame:
        """Return a matrix by its name.

        Raises:
            SwarmnetError: no such name.
        """
        made = {matrix.name: matrix.frame for step in self.steps for matrix in step.matrices}
        if name not in made:
            raise unknown("matrix", name, made)
        return made[name]

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each cell: step, title, matrix, what, row, column, value, made, active."""
        return pd.DataFrame(
            [
                (number, step.title, matrix.name, matrix.what, row, str(column), value, matrix.made, on)
                for number, step in enumerate(self.steps, 1)
                for matrix in step.matrices
                for (row, cells), active in zip(matrix.cells(), matrix.active, strict=True)
                for column, (value, _), on in zip(matrix.frame.columns, cells, active, strict=True)
            ],
            columns=["step", "title", "matrix", "what", "row", "column", "value", "made", "active"],
        )

    def to_text(self) -> str:
        """Return plain text: a line with # for each step, and each matrix as CSV with rounded numbers.

        `to_frame` has every digit.
        """
        blocks = [f"# {_line(self.title)}\n# {NOTATION}\n"]
        for number, step in enumerate(self.steps, 1):
            blocks.append(f"# {number}. {_line(step.title)}: {_line(step.formula)}\n")
            blocks += [matrix.to_csv() for matrix in step.matrices]
        return "\n".join(blocks)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return an HTML page without external files; `path` saves it.

        Raises:
            SwarmnetError: the path cannot be written.
        """
        page = (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{_text(self.title)}</title>\n</head>\n<body>\n{self._repr_html_()}</body>\n</html>\n"
        )
        if path is not None:
            write_atomically(path, page)
        return page

    def _repr_html_(self) -> str:
        legend = " ".join(f'<span class="{mark}">{words}</span>' for mark, words in LEGEND.items())
        steps = "".join(_section(number, step) for number, step in enumerate(self.steps, 1))
        return (
            f'<div class="swarmnet-steps">\n{_STYLE}<h1>{_text(self.title)}</h1>\n'
            f"<p>{legend}</p>\n<p>{_text(NOTATION)}</p>\n{steps}</div>\n"
        )


LEGEND = {"made": "made in this step", "read": "read in this step", "idle": "0, multiplied by 0, or missing"}
NOTATION = (
    "@ is the matrix product, * multiplies cell by cell, .T transposes, "
    "and a dash after a letter (W'1) is the loss's derivative with respect to that"
)
_STYLE = """<style>
.swarmnet-steps { --made: #ffe066; --read: #d7e8fb; --line: #bbb; --ink: #111; --paper: #fff;
  color-scheme: light dark; color: var(--ink); background: var(--paper); padding: 1em;
  font: 15px/1.4 system-ui, sans-serif; print-color-adjust: exact; }
@media (prefers-color-scheme: dark) {
  .swarmnet-steps { --made: #6b5a00; --read: #1d3a5c; --line: #555; --ink: #eee; --paper: #161616; } }
@media print {
  .swarmnet-steps { --made: #ffe066; --read: #d7e8fb; --line: #bbb; --ink: #111; --paper: #fff; } }
.swarmnet-steps section { break-inside: avoid; }
.swarmnet-steps h1 { font-size: 1.25em; } .swarmnet-steps h2 { font-size: 1.05em; margin: 1.4em 0 0.2em; }
.swarmnet-steps code { font-size: 1.05em; }
.swarmnet-steps .matrices { display: flex; flex-wrap: wrap; gap: 0.4em 1.6em; align-items: flex-start; }
.swarmnet-steps .matrix { overflow-x: auto; max-width: 100%; }
.swarmnet-steps table { border-collapse: collapse; margin: 0.4em 0; font-variant-numeric: tabular-nums; }
.swarmnet-steps caption { text-align: left; white-space: nowrap; }
.swarmnet-steps th, .swarmnet-steps td { border: 1px solid var(--line); padding: 0.15em 0.5em;
  text-align: right; white-space: pre; color: var(--ink); }
.swarmnet-steps th { font-weight: normal; font-style: italic; }
.swarmnet-steps .made { background: var(--made); font-weight: bold; }
.swarmnet-steps .read { background: var(--read); }
.swarmnet-steps td.idle { background: none; } .swarmnet-steps .idle { opacity: 0.65; }
</style>
"""


def _section(number: int, step: Step) -> str:
    tables = "".join(f'<div class="matrix">{_table(matrix)}</div>\n' for matrix in step.matrices)
    return (
        f"<section>\n<h2>{number}. {_text(step.title)}</h2>\n<code>{_text(step.formula)}</code>\n"
        f'<div class="matrices">\n{tables}</div>\n</section>\n'
    )


def _table(matrix: Matrix) -> str:
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in matrix.frame.columns)
    rows = "".join(
        f'<tr><th scope="row">{_text(label)}</th>'
        + "".join(
            f'<td class="{mark}" title="{x!r}">{number_text(x, matrix.digits)}</td>' for x, mark in cells
        )
        + "</tr>\n"
        for label, cells in matrix.cells()
    )
    return (
        f"<table>\n<caption><b>{_text(matrix.name)}</b> {_text(matrix.what)}</caption>\n"
        f"<thead><tr><td></td>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>"
    )


def number_text(x: float, digits: int) -> str:
    """Return a number with so many significant digits; an empty text for NaN."""
    return "" if np.isnan(x) else f"{x:.{digits}g}"


def _text(text: object) -> str:
    return escape(str(text))


def _line(text: str) -> str:
    return " ".join(text.split())
