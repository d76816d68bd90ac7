"""Inspection of MixedData before training: counts, ranges, repeated points, and what is not identifiable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import Array, derivative_name, listed
from swarmnet.data.data_frames import pd
from swarmnet.data.mixed_data import MixedData
from swarmnet.number_format import for_range

_LINEAR = 1e-3  # maximum distance of an input from a linear function of others, in units of its spread
_ROUNDING = 1e-12  # part of an input's spread that may remain through rounding


@dataclass(frozen=True, eq=False)
class DataInspection:
    """The result of `inspect_data`.

    Attributes:
        columns: a row for each input, value, partial and quantity: column, kind, entries, share (of all
            rows), min, max, mean, sigma_min, sigma_max; NaN where there are no numbers.
        patterns: which entries are observed together in a row: pattern, such as "h + dh/dp", and rows; the
            most frequent first. A row without any entry has the pattern "nothing".
        repeated_points: the number of distinct points that are in more than one row.
        repeated_rows: the number of rows at these points.
        repeated: a row for each value and partial observed more than once at the same point:
            column, points, rows, and disagreement, the largest spread (max - min) at one of these points.
        not_identifiable: sentences, one for each relation that this data does not determine.
    """

    columns: pd.DataFrame
    patterns: pd.DataFrame
    repeated_points: int
    repeated_rows: int
    repeated: pd.DataFrame
    not_identifiable: list[str]


RANGE = ("min", "max", "mean")  # columns of the table that hold numbers of the data column


def digits_of(columns: pd.DataFrame) -> list[int]:
    """Return the significant digits for each row's `RANGE`, enough to distinguish its numbers."""
    return [
        for_range(float(low), float(high)) for low, high in zip(columns["min"], columns["max"], strict=True)
    ]


def inspect_data(data: MixedData) -> DataInspection:
    """Inspect n rows of mixed data, without those of weight 0. The data are not changed.
    Example:
        >>> data = MixedData([[0.0], [0.0], [1.0]], Y=[1.0, 1.5, 3.0])
        >>> inspect_data(data).repeated["disagreement"].tolist()
        [0.5]
    """
    data = data.counted()
    point = pd.DataFrame(data.X).groupby(list(range(data.d)), sort=False).ngroup().to_numpy()
    rows_at = np.bincount(point)
    return DataInspection(
        columns=_columns(data),
        patterns=_patterns(data),
        repeated_points=int(np.count_nonzero(rows_at > 1)),
        repeated_rows=int(rows_at[rows_at > 1].sum()),
        repeated=_repeated(data, point),
        not_identifiable=_not_identifiable(data),
    )


def _columns(data: MixedData) -> pd.DataFrame:
    rows = [_summary(name, "input", data.X[:, j], None) for j, name in enumerate(data.inputs)]
    for name, numbers, sigma in data.entry_columns():
        rows.append(_summary(name, "value" if name in data.outputs else "partial", numbers, sigma))
    rows += [_summary(name, "quantity", numbers, sigma) for name, numbers, sigma in data.quantity_columns()]
    return pd.DataFrame(rows)


def _summary(name: str, kind: str, numbers: Array, sigma: Array | None) -> dict[str, object]:
    observed = numbers[np.isfinite(numbers)]
    known = np.empty(0) if sigma is None else sigma[np.isfinite(sigma)]
    return {
        "column": name,
        "kind": kind,
        "entries": observed.size,
        "share": observed.size / numbers.size,
        "min": observed.min() if observed.size else np.nan,
        "max": observed.max() if observed.size else np.nan,
        "mean": observed.mean() if observed.size else np.nan,
        "sigma_min": known.min() if known.size else np.nan,
        "sigma_max": known.max() if known.size else np.nan,
    }


def _patterns(data: MixedData) -> pd.DataFrame:
    names, columns, _ = zip(*data.entry_columns(), *data.quantity_columns(), strict=True)
    # Each row's pattern is packed into bits, so that equal patterns are counted fast.
    packed = np.packbits(np.isfinite(np.stack(columns, axis=1)), axis=1)
    counts = pd.DataFrame(packed).value_counts()
    bits = np.unpackbits(counts.index.to_frame().to_numpy(np.uint8), axis=1, count=len(names))
    texts = [
        " + ".join(name for name, bit in zip(names, row, strict=True) if bit) or "nothing" for row in bits
    ]
    found = pd.DataFrame({"pattern": texts, "rows": counts.to_numpy()})
    return found.sort_values(["rows", "pattern"], ascending=[False, True], ignore_index=True)


def _repeated(data: MixedData, point: NDArray[np.integer]) -> pd.DataFrame:
    """Return the table `repeated`; `point` (n,) is the number of each row's distinct point."""
    rows = []
    for name, numbers, _ in (*data.entry_columns(), *data.quantity_columns()):
        if np.bincount(point[np.isfinite(numbers)], minlength=1).max() < 2:
            continue
        entries = pd.Series(numbers).groupby(point, sort=False).agg(["count", "min", "max"])
        again = entries[entries["count"] > 1]
        if len(again):
            spread = (again["max"] - again["min"]).max()
            rows.append((name, len(again), again["count"].sum(), spread))
    return pd.DataFrame(rows, columns=["column", "points", "rows", "disagreement"])


def _not_identifiable(data: MixedData) -> list[str]:
    everywhere = dependences(data.X[(data.entries_per_row > 0) & (data.row_weights > 0)])
    sentences = [_collinear(data, j, others) for j, others in everywhere.items()]
    for o, output in enumerate(data.outputs):
        sentences += _open(data, o, output)
        for j, others in dependences(data.X[np.isfinite(data.Y[:, o]) & (data.row_weights > 0)]).items():
            if j not in everywhere and not _is_sloped(data, o, [j, *others]):
                sentences.append(
                    f"{_relation(data, j, others)} wherever {output} has a value, and none of its slopes "
                    "along them is observed: nothing tells their effects apart"
                )
    return sentences


def _collinear(data: MixedData, j: int, others: list[int]) -> str:
    """Describe an input that is a linear function of others in every row."""
    unsaid = [out for o, out in enumerate(data.outputs) if not _is_sloped(data, o, [j, *others])]
    tells = (
        f"nothing tells their effects on {listed(unsaid)}" if unsaid else "slopes alone tell their effects"
    )
    return f"{_relation(data, j, others)} in every row: {tells} apart"


def _relation(data: MixedData, j: int, others: list[int]) -> str:
    return f"{data.inputs[j]} is a linear function of {listed([data.inputs[other] for other in others])}"


def _is_sloped(data: MixedData, o: int, inputs: list[int]) -> bool:
    """Return whether a partial of output `o` with respect to one of the inputs is observed."""
    return bool(np.isfinite(data.J[:, o, inputs]).any())


def dependences(X: Array) -> dict[int, list[int]]:
    """Return the inputs that are linear functions, with a constant, of earlier inputs: {input: earlier ones}.

    The relation must hold in every row within a thousandth of the input's spread, which allows for rounded
    numbers. With no more rows than coefficients such a function always exists, so it is not reported.
    """
    if len(X) < 3:
        return {}
    low, high = X.min(0), X.max(0)
    varied = np.flatnonzero(low < high)
    Z = (X[:, varied] - (low / 2 + high / 2)[varied]) / (high / 2 - low / 2)[varied]
    Z -= Z.mean(0)
    R: Array = np.asarray(np.linalg.qr(Z, mode="r"))  # its columns have the same linear relations as Z's
    size = np.linalg.norm(R, axis=0)
    Q, T = np.zeros((2, len(R), len(R)))  # R[:, kept] = Q T
    kept: list[int] = []
    found: dict[int, list[int]] = {}
    for at, column in enumerate(R.T):
        basis = Q[:, : len(kept)]
        along = basis.T @ column
        along += basis.T @ (column - basis @ along)  # second pass against rounding
        rest = column - basis @ along
        left = float(np.linalg.norm(rest))
        if left <= _LINEAR * size[at]:
            by = np.linalg.solve(T[: len(kept), : len(kept)], along)
            others = np.array(kept)[np.abs(by) * size[kept] > _LINEAR * size[at]]
            if len(others) + 1 < len(Z) and _is_close(Z[:, at], Z[:, kept] @ by):
                found[int(varied[at])] = varied[others].tolist()
                continue
        if left > _ROUNDING * size[at]:
            T[: len(kept), len(kept)], T[len(kept), len(kept)] = along, left
            Q[:, len(kept)] = rest / left
            kept.append(at)
    return found


def _is_close(column: Array, function: Array) -> bool:
    """Compare with the median distance from the median, which single outliers do not change."""
    away = np.abs(column - np.median(column))
    spread = np.median(away) or away.mean()
    return bool(np.abs(column - function).max() <= _LINEAR * spread)


def _open(data: MixedData, o: int, output: str) -> list[str]:
    """Return sentences about what the entries of output `o` do not determine.

    If all values are at a single x_j and dY/dx_j is never observed, the dependence on x_j is arbitrary.
    """
    valued = np.isfinite(data.Y[:, o])
    sloped = [bool(np.isfinite(data.J[:, o, j]).any()) for j in range(data.d)]
    if not valued.any() and not any(sloped):
        return [f"{output} has no entry at all: nothing is known about it"]
    sentences = []
    if not valued.any():
        sentences.append(f"{output} has no value, only slopes: its constant is free and will be pinned")
    for j, into in enumerate(data.inputs):
        at = np.unique(data.X[valued, j])
        if sloped[j] or at.size > 1:
            continue
        partial = derivative_name(output, into)
        seen = f"all its values are at {into} = {at[0]:.6g}" if at.size else "it has no value"
        sentences.append(
            f"nothing says how {output} depends on {into}: {seen}, and {partial} is never observed"
        )
    return sentences
