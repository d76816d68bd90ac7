"""Rows for benchmarks.scale: as many as one likes, as Parquet files, of a function whose partials are known.

Half of the rows have a value, three eighths one partial, and one eighth a value and all partials.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

INPUTS = [f"x{j + 1}" for j in range(8)]
PARTIALS = [f"dy/d{name}" for name in INPUTS]
GROUP = 1 << 17  # rows of a row group
FILE = 20 * GROUP  # rows of a file
TEST = 20_000


def function(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) values of a smooth function of eight inputs, and its (n, 8) partials."""
    x1, x2, x3, x4, x5, x6, x7, x8 = X.T
    bell = np.exp(-(x5**2) - x6**2)
    y = np.sin(2.0 * x1 + x2) + x3 * x4 + bell + 0.5 * np.cos(x7 + x8)
    wave, turn = np.cos(2.0 * x1 + x2), -0.5 * np.sin(x7 + x8)
    return y, np.stack([2.0 * wave, wave, x4, x3, -2.0 * x5 * bell, -2.0 * x6 * bell, turn, turn], axis=1)


def drawn(rows: int, seed: int, full: bool = False) -> pd.DataFrame:
    """Random rows, of which some or, with `full`, all entries were observed."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1.0, 1.0, (rows, len(INPUTS)))
    y, J = function(X)
    if not full:
        kind = rng.integers(8, size=rows)  # 0 to 3: value; 4 to 6: one partial; 7: all
        y[(kind > 3) & (kind < 7)] = np.nan
        one = rng.integers(len(INPUTS), size=rows)[:, None] == np.arange(len(INPUTS))
        J[~(one & (kind > 3)[:, None]) & (kind < 7)[:, None]] = np.nan
    return pd.DataFrame(np.column_stack([X, y, J]), columns=[*INPUTS, "y", *PARTIALS])


def generate(folder: Path, rows: int, start: int = 0) -> str:
    """Write so many rows into files of a folder, and others to test on; what matches them.

    Numbers stand as they are, without compression: 136 bytes a row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    groups = groups_of(rows, start)
    for number, first in enumerate(range(0, rows, FILE)):
        name = folder / f"rows-{number:04d}.parquet"
        writer = None
        for _ in range(first, min(first + FILE, rows), GROUP):
            columns = {name: pa.array(column.to_numpy()) for name, column in next(groups).items()}
            table = pa.table(columns)  # NaN stays NaN
            writer = writer or parquet.ParquetWriter(
                name, table.schema, compression="none", use_dictionary=False
            )
            writer.write_table(table)
        if writer is not None:
            writer.close()
    drawn(TEST, 1 << 32, full=True).to_parquet(folder / "test.parquet", index=False)
    return str(folder / "rows-*.parquet")


def groups_of(rows: int, start: int = 0) -> Iterator[pd.DataFrame]:
    """The rows, a row group at a time."""
    for number, first in enumerate(range(0, rows, GROUP)):
        yield drawn(min(GROUP, rows - first), start + number)
