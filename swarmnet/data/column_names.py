"""What a table's columns and cells mean.

Names follow one grammar: ``h`` (an input or an output), ``dh/dT`` (the partial derivative of output ``h``
with respect to input ``T``), ``sigma(h)`` and ``sigma(dh/dT)`` (the standard deviation of that column).
A table is wide (one row a point, a column for each entry) or long (one row an entry, with the columns
``target``, ``value`` and perhaps ``sigma``). An empty cell is not observed, and nothing else is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from numbers import Real
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.data_frames import pd
from swarmnet.errors import SwarmnetError, printable, suggestion

Array = NDArray[np.float64]
Entry = tuple[int, int | None]  # (output, None) is a value, (output, input) is a partial

_SIGMA = re.compile(r"sigma\((.+)\)")
_SECOND_DERIVATIVE = re.compile(r"d2.+/d.+")
_INPUT_LIKE = re.compile(r"x(_?\d+)?")
_OUTPUT_LIKE = re.compile(r"y(_?\d+)?")
_NUMBER = re.compile(r"[+-]?(nan|inf(inity)?|(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?)", re.IGNORECASE | re.ASCII)
_LONGEST = 500  # characters of a column's name
_FORMULA = "=+-@"  # what spreadsheets take the first character of a formula to be
_MARKLESS = {"Cc", "Cf", "Mn", "Me"}  # Unicode's control and format characters, and marks on others
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"  # letters and symbols that are drawn as nothing
_UNPRINTED = {"Cc", "Cs", "Zl", "Zp"}  # Unicode's control characters, lone surrogates and line breaks


# Names


@dataclass(frozen=True)
class Roles:
    """The parts that names play.

    The keys of `entries` are column names in a wide table and targets in a long one; those of `sigmas`
    are column names, and a long table has none.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    entries: dict[str, Entry]
    sigmas: dict[str, Entry]
    ignored: tuple[str, ...]


class TargetError(SwarmnetError):
    """What is wrong with one target of a long table; the caller knows on which line it stands."""

    def __init__(self, target: str, message: str) -> None:
        super().__init__(f"target {shortened(target)} {message}")
        self.target = target


def derivative_name(output: str, input: str) -> str:
    """The name of the column that holds the partial derivative of `output` with respect to `input`."""
    return f"d{output}/d{input}"


def second_derivative_name(output: str, first: str, second: str) -> str:
    """The name of a Hessian column: ``d2h/dT2`` on the diagonal, ``d2h/dTdp`` off it."""
    return f"d2{output}/d{first}2" if first == second else f"d2{output}/d{first}d{second}"


def sigma_name(column: str) -> str:
    """The name of the column that holds the standard deviation of `column`."""
    return f"sigma({column})"


def parse_derivative(name: str) -> list[tuple[str, str]]:
    """Every way to read `name` as ``d<output>/d<input>``; empty when it is not of that form."""
    if not name.startswith("d") or len(name) > _LONGEST:
        return []
    return [(name[1:c], name[c + 2 :]) for c in _cuts(name) if name[1:c] and name[c + 2 :]]


def refuse_bad_names(columns: Sequence[str]) -> None:
    """Raise SwarmnetError when a column has no name, the name of another, or far too long a name."""
    seen: set[str] = set()
    for number, column in enumerate(columns, 1):
        if not column:
            raise SwarmnetError(
                f"column {number} has no name: name it or remove it "
                "(pandas writes such a column unless it is told index=False)"
            )
        if len(column) > _LONGEST:
            raise SwarmnetError(
                f"column {number}, {shortened(column)}, has a name of {len(column)} characters: shorten it"
            )
        if column in seen:
            raise SwarmnetError(f"column {column!r} is there twice: rename or remove one")
        seen.add(column)


def refuse_dangerous_name(what: str, name: str) -> None:
    """Refuse a name that could not be written to a table, a terminal and a spreadsheet as it is.

    A name goes into the header of every table that is written, where it must be the same when it is read
    again. So a name that spreadsheets would run as a formula is refused, not changed on the way out.

    Raises:
        SwarmnetError: it is too long, has a line break or another control character, or begins a formula.
    """
    if len(name) > _LONGEST:
        raise SwarmnetError(f"{what} {shortened(name)} has {len(name)} characters: shorten it")
    if any(unicodedata.category(character) in _UNPRINTED for character in name):
        raise SwarmnetError(
            f"{what} {shortened(name)} has a line break or another control character: rename it"
        )
    if begins_formula(name):
        raise SwarmnetError(
            f"{what} {shortened(name)} begins with {_seen(name)[0]}, "
            "which makes it a formula in a spreadsheet: rename it"
        )


def begins_formula(text: str) -> bool:
    """Whether a spreadsheet would take a cell of this text for a formula; fullwidth signs count."""
    return unicodedata.normalize("NFKC", _seen(text)[:1]).startswith(tuple(_FORMULA))


def _seen(text: str) -> str:
    """The text from its first character that leaves a mark: a byte order mark, say, leaves none."""
    for at, character in enumerate(text):
        if not (character.isspace() or character in _BLANK or unicodedata.category(character) in _MARKLESS):
            return text[at:]
    return ""


def refuse_same_names(inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Refuse inputs and outputs of which two columns of a table would have the same name.

    A table may hold inputs, outputs, derivatives, second derivatives, and standard deviations of all but
    inputs and second derivatives. Two second derivatives with one name are left to whoever writes them.

    Raises:
        SwarmnetError: two of them have, such as d(2h)/dT2 and the second derivative of h by T.
    """
    known_in, known_out = set(inputs), set(outputs)
    seen: set[str] = set()
    for name in [*inputs, *outputs]:
        if name in seen or _is_made(name, known_in, known_out):
            raise two_columns(name)
        seen.add(name)
    # d(h/dT)/dp and dh/d(T/dp)
    rest = {out[c + 2 :]: out for out in outputs for c in _cuts(out) if out[:c] in known_out}
    for into in inputs:
        for c in _cuts(into):
            if into[:c] in rest and into[c + 2 :] in known_in:
                raise two_columns(derivative_name(rest[into[:c]], into[c + 2 :]))
    # d(2h)/d(T2) and the second derivative of h by T
    twice = next((out for out in outputs if out[:1] == "2" and out[1:] in known_out), None)
    square = next((into for into in inputs if _is_pair(into, known_in)), None)
    if twice is not None and square is not None:
        raise two_columns(derivative_name(twice, square))


def _cuts(name: str) -> list[int]:
    """Where a name may be taken for a numerator and a denominator."""
    return [cut.start() for cut in re.finditer("(?=/d)", name)]


def _is_made(name: str, inputs: Collection[str], outputs: Collection[str]) -> bool:
    """Whether it is that of a derivative, of a second one, or of a standard deviation."""
    owner = _SIGMA.fullmatch(name)
    if owner:
        return owner[1] in outputs or _is_derivative(owner[1], inputs, outputs)
    if not name.startswith("d"):
        return False
    second = [(name[2:c], name[c + 2 :]) for c in _cuts(name) if name.startswith("d2")]
    return _is_derivative(name, inputs, outputs) or any(
        out in outputs and _is_pair(rest, inputs) for out, rest in second
    )


def _is_derivative(name: str, inputs: Collection[str], outputs: Collection[str]) -> bool:
    return any(out in outputs and into in inputs for out, into in parse_derivative(name))


def _is_pair(text: str, inputs: Collection[str]) -> bool:
    """Whether it is an input and a 2, or two inputs with a d between them."""
    if text.endswith("2") and text[:-1] in inputs:
        return True
    return any(text[: c.start()] in inputs and text[c.end() :] in inputs for c in re.finditer("d", text))


def two_columns(name: str) -> SwarmnetError:
    """The error for a name that two columns of a table would have."""
    return SwarmnetError(
        f"two columns would be called {shortened(name)}: choose other names for inputs or outputs"
    )


def is_long(
    columns: Sequence[str],
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
) -> bool:
    """Whether a table is in the long form: it has `target` and `value`, and neither is a data column."""
    claimed = {*(as_list(inputs) or ()), *(as_list(outputs) or ())}
    return {"target", "value"} <= set(columns) - claimed


def roles_of(
    columns: Sequence[str],
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
) -> Roles:
    """Decide the role of each column of a wide table.

    `inputs` and `outputs` decide first; then the derivative columns (numerators are outputs,
    denominators inputs); then the names x, x1, x_2... and y, y1, y_2... Nothing is guessed: a column left
    over is an error, unless both `inputs` and `outputs` are given: then it is ignored.

    Raises:
        SwarmnetError: a column is undecided, both input and output, or belongs to nothing.
    """
    given_in, given_out = as_list(inputs), as_list(outputs)
    claimed = {*(given_in or ()), *(given_out or ())}
    free = [c for c in columns if c not in claimed]
    sigmas = [c for c in free if _SIGMA.fullmatch(c)]
    slopes = [c for c in free if not _SIGMA.fullmatch(c) and parse_derivative(c)]
    derived = {*sigmas, *slopes}
    plain = [c for c in columns if c not in derived]
    numerators = [out for c in slopes for out, _ in parse_derivative(c)]
    _refuse_bad_choice("inputs", given_in, plain, "column")
    _refuse_bad_choice("outputs", given_out, [*plain, *numerators], "column")
    known_in, known_out = dict.fromkeys(plain), dict.fromkeys([*plain, *(given_out or ())])
    pairs = {c: _read_pair(c, known_in, known_out) for c in slopes}
    in_names, out_names = _decide(plain, list(pairs.values()), given_in, given_out)
    entries = _wide_entries(plain, pairs, in_names, out_names)
    owned = _wide_sigmas(sigmas, columns, entries, in_names)
    used = {*in_names, *entries, *owned}
    ignored = tuple(c for c in columns if c not in used)
    return Roles(tuple(in_names), tuple(out_names), entries, owned, ignored)


def long_roles_of(
    columns: Sequence[str],
    targets: Sequence[str],
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
) -> Roles:
    """Decide what each column and each of the distinct `targets` of a long table is.

    Inputs are what `inputs` says; else the denominators of the derivative targets and x, x1, x_2...
    Outputs are what `outputs` says; else, when there are derivative targets, their numerators and y, y1,
    y_2...; else y, y1, y_2... or the only target there is. With `inputs` given a column left over is
    ignored, else it is an error.

    Raises:
        SwarmnetError: a column is undecided, a name is both input and output.
        TargetError: a target is neither an output nor a partial.
    """
    given_in, given_out = as_list(inputs), as_list(outputs)
    slopes = {t for t in targets if t not in (given_out or ()) and parse_derivative(t)}
    plain = [t for t in targets if t not in slopes]
    # `sigma` is the standard deviation, unless inputs= claims it
    reserved = {"target", "value", "sigma"} - set(given_in or ())
    points = [c for c in columns if c not in reserved]
    _refuse_bad_choice("inputs", given_in, columns, "column")
    _refuse_numbers(plain)
    known_in, known_out = dict.fromkeys(points), dict.fromkeys([*plain, *(given_out or ())])
    pairs = {t: _read_target(t, known_in, known_out) for t in targets if t in slopes}
    numerators = [out for out, _ in pairs.values()]
    _refuse_bad_choice("outputs", given_out, [*plain, *numerators], "target")
    in_names = given_in or _long_inputs(points, list(pairs.values()))
    out_names = given_out or _long_outputs(plain, numerators)
    _refuse_both(in_names, out_names)
    entries = _long_entries(targets, pairs, in_names, out_names)
    ignored = tuple(c for c in points if c not in in_names)
    return Roles(tuple(in_names), tuple(out_names), entries, {}, ignored)


def listed(names: Sequence[str]) -> str:
    """The names, cut short where a readable line would end."""
    shown = [printable(name if len(name) <= 80 else f"{name[:77]}...") for name in names[:12]]
    return ", ".join(shown) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def as_list(names: Iterable[str] | None) -> list[str] | None:
    """The names, of which one alone may be given as a string."""
    if names is None:
        return None
    return [names] if isinstance(names, str) else [str(name) for name in names]


def _refuse_bad_choice(option: str, given: list[str] | None, known: Sequence[str], what: str) -> None:
    if given is None:
        return
    if not given:
        raise SwarmnetError(f"{option}= names no {what}: give at least one, or leave it out")
    there, seen = set(known), set()
    for name in given:
        if name in seen:
            raise SwarmnetError(f"{option}= names {name!r} twice: name it once")
        seen.add(name)
        if name not in there:
            raise SwarmnetError(
                f"{option}= names {name!r}, which is no {what}: {suggestion(name, known)}"
                f"the {what}s are {listed(list(dict.fromkeys(known)))}"
            )


def _read_pair(name: str, inputs: Collection[str], outputs: Collection[str]) -> tuple[str, str]:
    """Read a slope column as (output, input); the input must be a column of the table."""
    try:
        return _only_reading(name, inputs, outputs)
    except SwarmnetError as error:
        raise SwarmnetError(f"column {name!r} {error}") from None


def _read_target(name: str, inputs: Collection[str], outputs: Collection[str]) -> tuple[str, str]:
    try:
        return _only_reading(name, inputs, outputs)
    except SwarmnetError as error:
        raise TargetError(name, str(error)) from None


def _only_reading(name: str, inputs: Collection[str], outputs: Collection[str]) -> tuple[str, str]:
    """The one reading of ``d<output>/d<input>`` with a known input, and a known output if several have."""
    readings = [pair for pair in parse_derivative(name) if pair[1] in inputs]
    if len(readings) > 1:
        readings = [pair for pair in readings if pair[0] in outputs] or readings
    if _SECOND_DERIVATIVE.fullmatch(name) and not any(out in outputs for out, _ in readings):
        raise SwarmnetError(
            "is a second derivative: swarmnet learns from values and first derivatives, so remove it"
        )
    if len(readings) > 1:
        raise SwarmnetError("can be read as more than one derivative: rename the columns")
    if not readings:
        into = parse_derivative(name)[0][1]
        raise SwarmnetError(
            f"is a derivative with respect to unknown name {into!r}: {suggestion(into, inputs)}"
            f"the columns are {listed(list(inputs))}"
        )
    return readings[0]


def _decide(
    plain: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    given_in: list[str] | None,
    given_out: list[str] | None,
) -> tuple[list[str], list[str]]:
    """Split the `plain` columns into inputs and outputs; `pairs` are the (output, input) of the slopes."""
    # Dicts, as sets that keep their order
    numerators = dict.fromkeys(out for out, _ in pairs)
    denominators = dict.fromkeys(into for _, into in pairs)
    asked_out = dict.fromkeys(given_out or numerators)
    inputs, outputs = given_in, given_out
    if inputs is None:
        free = [n for n in plain if given_out is None or n not in asked_out]
        inputs = [n for n in free if _is_input(n, numerators, denominators)]
    taken = set(inputs)
    if outputs is None:
        likely = [n for n in plain if n in numerators or _OUTPUT_LIKE.fullmatch(n)]
        outputs = [n for n in dict.fromkeys([*likely, *numerators]) if n not in taken]
    if given_in is None or given_out is None:
        for name in given_in or denominators:
            if name in asked_out:
                raise _undecided(name, given_in, given_out)
        placed = taken.union(outputs)
        for name in plain:
            if name not in placed:
                raise _undecided(name, given_in, given_out)
    _refuse_both(inputs, outputs)
    if not inputs:
        raise SwarmnetError("no column is an input: say which with inputs= (--inputs)")
    if not outputs:
        raise SwarmnetError("no column is an output: say which with outputs= (--outputs)")
    return inputs, outputs


def _is_input(name: str, numerators: Collection[str], denominators: Collection[str]) -> bool:
    return name in denominators or (name not in numerators and bool(_INPUT_LIKE.fullmatch(name)))


def _undecided(name: str, given_in: list[str] | None, given_out: list[str] | None) -> SwarmnetError:
    missing = [o for o, given in (("inputs", given_in), ("outputs", given_out)) if given is None]
    options = " and ".join(f"{option}=" for option in missing)
    flags = ", ".join(f"--{option}" for option in missing)
    return SwarmnetError(
        f"column {name!r} could be an input or an output: say which with {options} ({flags})"
    )


def _refuse_both(inputs: Collection[str], outputs: Collection[str]) -> None:
    taken = set(outputs)
    for name in inputs:
        if name in taken:
            raise SwarmnetError(
                f"{name!r} is both an input and an output: correct inputs= and outputs= (--inputs, --outputs)"
            )


def _wide_entries(
    plain: Sequence[str],
    pairs: dict[str, tuple[str, str]],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> dict[str, Entry]:
    """Where each entry column goes; a slope of columns that the user left out is left out too."""
    o_of = {name: o for o, name in enumerate(outputs)}
    j_of = {name: j for j, name in enumerate(inputs)}
    known = {*plain, *outputs}
    entries: dict[str, Entry] = {n: (o_of[n], None) for n in plain if n in o_of}
    for column, (out, into) in pairs.items():
        if out in o_of and into in j_of:
            entries[column] = (o_of[out], j_of[into])
        elif out in j_of or into in o_of:
            raise SwarmnetError(
                f"column {column!r} takes {out!r} for an output and {into!r} for an input, but inputs= "
                "and outputs= say otherwise: correct them or remove the column"
            )
        elif out not in known:
            raise SwarmnetError(
                f"column {column!r} is the derivative of unknown name {out!r}: "
                f"{suggestion(out, outputs)}add it to outputs= (--outputs) or remove the column"
            )
    return entries


def _wide_sigmas(
    sigmas: Sequence[str],
    columns: Sequence[str],
    entries: dict[str, Entry],
    inputs: Sequence[str],
) -> dict[str, Entry]:
    owned: dict[str, Entry] = {}
    others = set(columns).difference(inputs, sigmas)
    for column in sigmas:
        owner = column[len("sigma(") : -1]
        if owner in entries:
            owned[column] = entries[owner]
        elif owner not in others:
            raise SwarmnetError(
                f"column {column!r} belongs to nothing: {suggestion(owner, entries)}"
                f"there is no value or derivative column {owner!r}"
            )
    return owned


def _refuse_numbers(targets: Sequence[str]) -> None:
    """Numbers under `target` mean that the table is wide, and that `target` is one of its columns."""
    for target in targets:
        if _NUMBER.fullmatch(target):
            raise TargetError(
                target,
                "is a number, not a name: if `target` and `value` are data columns of a wide table, "
                "say so with inputs= and outputs= (--inputs, --outputs)",
            )


def _long_inputs(points: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[str]:
    numerators = {out for out, _ in pairs}
    denominators = {into for _, into in pairs}
    for name in points:
        if not _is_input(name, numerators, denominators):
            raise SwarmnetError(
                f"column {name!r} could be an input or not: say which columns are with inputs= (--inputs)"
            )
    if not points:
        raise SwarmnetError("no column is an input: add the inputs' columns")
    return list(points)


def _long_outputs(plain: Sequence[str], numerators: Sequence[str]) -> list[str]:
    if not numerators and len(set(plain)) == 1:
        return list(plain)  # the only thing that was ever observed
    sloped = set(numerators)
    likely = [t for t in plain if t in sloped or _OUTPUT_LIKE.fullmatch(t)]
    if not likely and not numerators:
        raise SwarmnetError(
            f"nothing says which of the targets {listed(plain)} are outputs: say so with outputs= (--outputs)"
        )
    return list(dict.fromkeys([*likely, *numerators]))


def _long_entries(
    targets: Sequence[str],
    pairs: dict[str, tuple[str, str]],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    o_of = {name: o for o, name in enumerate(outputs)}  # there may be many targets
    j_of = {name: j for j, name in enumerate(inputs)}
    for target in targets:
        out, into = pairs.get(target, (target, None))
        if out not in o_of:
            what = "is no output" if into is None else f"is the derivative of unknown name {out!r}"
            raise TargetError(
                target,
                f"{what}: {suggestion(out, outputs)}the outputs are {listed(outputs)}, "
                "and outputs= (--outputs) can say otherwise",
            )
        if into is not None and into not in j_of:
            raise TargetError(
                target,
                f"is a derivative with respect to {into!r}: the inputs are {listed(inputs)}, "
                "and inputs= (--inputs) can say otherwise",
            )
        entries[target] = (o_of[out], None if into is None else j_of[into])
    return entries


# Cells


class Table(Protocol):
    """What a CSV file, a Parquet file, several of them and a DataFrame have in common."""

    @property
    def name(self) -> str:
        """How errors call it."""

    @property
    def columns(self) -> list[str]:
        """Distinct names, none empty."""

    def __len__(self) -> int: ...

    def numbers(self, columns: Sequence[str]) -> dict[str, Array]:
        """The columns as (n,) arrays, NaN where a cell is empty, inf where a number is too large.

        Raises:
            SwarmnetError: a cell is neither empty nor a number; it says where.
        """

    def texts(self, column: str) -> tuple[NDArray[np.int64], list[str]]:
        """(n,) codes of the cells, -1 for an empty one, and the distinct texts that the codes index."""

    def where(self, row: int, column: str) -> str:
        """How an error calls the cell of `column` in the row with position `row`."""


@dataclass(frozen=True)
class FrameTable:
    """A DataFrame as a Table; errors call a row by its index.

    Raises:
        SwarmnetError: a column has no name, or the name of another.
    """

    frame: pd.DataFrame
    name: str = "DataFrame"

    def __post_init__(self) -> None:
        try:
            refuse_bad_names(self.columns)
        except SwarmnetError as error:
            raise SwarmnetError(f"{self.name}: {error}") from None

    @cached_property
    def columns(self) -> list[str]:
        return [str(column).strip() for column in self.frame.columns]

    @cached_property
    def _at(self) -> dict[str, int]:
        return {column: at for at, column in enumerate(self.columns)}

    def __len__(self) -> int:
        return len(self.frame)

    def numbers(self, columns: Sequence[str]) -> dict[str, Array]:
        return {column: self._numbers(column) for column in columns}

    def texts(self, column: str) -> tuple[NDArray[np.int64], list[str]]:
        return coded(self._series(column).astype(object).map(str, na_action="ignore"))

    def where(self, row: int, column: str) -> str:
        return f"{self.name}, row index {self.frame.index[row]}, column {column!r}"

    def _series(self, column: str) -> pd.Series[Any]:
        return self.frame.iloc[:, self._at[column]]

    def _numbers(self, column: str) -> Array:
        series = self._series(column)
        if series.dtype.kind in "iuf":
            return series.to_numpy(dtype=np.float64, na_value=np.nan)
        numbers = np.empty(len(series))
        for row, cell in enumerate(series):
            number = number_of(cell)
            if number is None:
                raise not_a_number(self.where(row, column), str(cell))
            numbers[row] = number
        return numbers


def number_of(cell: object) -> float | None:
    """What a cell holds: NaN for an empty one, inf for too large a number, None for anything but a number.

    Empty are "", any spelling of the text NaN, None and pandas' missing values. Booleans, dates, complex
    numbers and all other words are not numbers.
    """
    if isinstance(cell, str):
        text = cell.strip()
        if not text:
            return float("nan")
        return float(text) if _NUMBER.fullmatch(text) else None
    if isinstance(cell, bool | np.bool_):
        return None
    if isinstance(cell, Real | Decimal):
        try:
            return float(cell)
        except OverflowError:
            return float("inf")
    return float("nan") if cell is None or cell is pd.NA or cell is pd.NaT else None


def not_a_number(where: str, text: str) -> SwarmnetError:
    return SwarmnetError(
        f"{where}: {shortened(text)} is not a number: correct it, "
        "or leave the cell empty if it is a target that was not observed"
    )


def shortened(text: str) -> str:
    """A cell's text in quotes, on one line and short enough for it."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def coded(texts: pd.Series[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """(n,) codes of the texts in order of appearance, -1 for an empty one, and the distinct texts."""
    codes, distinct = pd.factorize(texts)
    stripped = pd.Series([str(text).strip() for text in distinct], dtype=object)
    recoded, names = pd.factorize(stripped.mask(stripped.str.lower().isin(["", "nan"])))
    return np.append(recoded, -1)[codes].astype(np.int64), list(names)
