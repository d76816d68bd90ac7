"""What MixedData holds, before anything is trained on it: counts, ranges, repeats, what it leaves open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import Array, derivative_name, listed
from swarmnet.data.data_frames import pd
from swarmnet.data.mixed_data import MixedData
from swarmnet.number_format import for_range

_LINEAR = 1e-3  # of an input's spread, how far a linear function of others may be from it
_ROUNDING = 1e-12  # of an input's spread, what may be left of it by rounding


@dataclass(frozen=True, eq=False)
class DataInspection:
    """What `inspect_data` found.

    Attributes:
        columns: a row for each input, value and partial: column, kind, entries, share (of all rows), min,
            max, mean, sigma_min, sigma_max; NaN where there is nothing to tell from.
        patterns: which entries are observed together in a row: pattern, such as "h + dh/dp", and rows; the
            most frequent first. A row without any entry has the pattern "nothing".
        repeated_points: distinct points that stand in more than one row.
        repeated_rows: the rows that they stand in.
        repeated: a row for each value and partial that was observed more than once at the same point:
            column, points, rows, and disagreement, the largest spread (max - min) at one of these points.
        not_identifiable: sentences, one for each thing that this data says nothing about.
    """

    columns: pd.DataFrame
    patterns: pd.DataFrame
    repeated_points: int
    repeated_rows: int
    repeated: pd.DataFrame
    not_identifiable: list[str]


RANGE = ("min", "max", "mean")  # of a column's numbers


def digits_of(columns: pd.DataFrame) -> list[int]:
    """How many significant digits each row's `RANGE` takes: numbers may differ in the last ones alone."""
    return [
        for_range(float(low), float(high)) for low, high in zip(columns["min"], columns["max"], strict=True)
    ]


def inspect_data(data: MixedData) -> DataInspection:
    """Look at n rows of mixed data, but for those of weight 0; nothing is printed, changed or guessed.

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
    names, columns, _ = zip(*data.entry_columns(), strict=True)
    # A row's pattern in as few bytes as hold it, so that equal patterns are found fast
    packed = np.packbits(np.isfinite(np.stack(columns, axis=1)), axis=1)
    counts = pd.DataFrame(packed).value_counts()
    bits = np.unpackbits(counts.index.to_frame().to_numpy(np.uint8), axis=1, count=len(names))
    texts = [
        " + ".join(name for name, bit in zip(names, row, strict=True) if bit) or "nothing" for row in bits
    ]
    found = pd.DataFrame({"pattern": texts, "rows": counts.to_numpy()})
    return found.sort_values(["rows", "pattern"], ascending=[False, True], ignore_index=True)


def _repeated(data: MixedData, point: NDArray[np.integer]) -> pd.DataFrame:
    """`point` (n,) numbers the distinct points."""
    rows = []
    for name, numbers, _ in data.entry_columns():
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
    """What an input leaves open that is a linear function of others in every row."""
    unsaid = [out for o, out in enumerate(data.outputs) if not _is_sloped(data, o, [j, *others])]
    tells = (
        f"nothing tells their effects on {listed(unsaid)}" if unsaid else "slopes alone tell their effects"
    )
    return f"{_relation(data, j, others)} in every row: {tells} apart"


def _relation(data: MixedData, j: int, others: list[int]) -> str:
    return f"{data.inputs[j]} is a linear function of {listed([data.inputs[other] for other in others])}"


def _is_sloped(data: MixedData, o: int, inputs: list[int]) -> bool:
    """Whether a slope of output `o` along one of the inputs is observed."""
    return bool(np.isfinite(data.J[:, o, inputs]).any())


def dependences(X: Array) -> dict[int, list[int]]:
    """Which inputs are linear functions, with a constant, of those before them, and of which of these.

    That is so where it holds in every row to within a thousandth of the input's own spread, as it does for
    rounded numbers. Through no more rows than the function has coefficients there always is one, which says
    nothing.
    """
    if len(X) < 3:
        return {}
    low, high = X.min(0), X.max(0)
    varied = np.flatnonzero(low < high)
    Z = (X[:, varied] - (low / 2 + high / 2)[varied]) / (high / 2 - low / 2)[varied]
    Z -= Z.mean(0)
    R: Array = np.asarray(np.linalg.qr(Z, mode="r"))  # of which columns depend on each other as those of Z
    size = np.linalg.norm(R, axis=0)
    Q, T = np.zeros((2, len(R), len(R)))  # R[:, kept] = Q T
    kept: list[int] = []
    found: dict[int, list[int]] = {}
    for at, column in enumerate(R.T):
        basis = Q[:, : len(kept)]
        along = basis.T @ column
        along += basis.T @ (column - basis @ along)  # again, for what rounding left
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
    """Compared with the middle half of the column: a single row far out makes no line of a cloud."""
    away = np.abs(column - np.median(column))
    spread = np.median(away) or away.mean()
    return bool(np.abs(column - function).max() <= _LINEAR * spread)


def _open(data: MixedData, o: int, output: str) -> list[str]:
    """What the entries of output `o` leave open.

    Values at one x_j alone, without dY/dx_j anywhere, go with any function of x_j that is zero there.
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
