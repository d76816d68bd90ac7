"""Write the small data sets: plain examples and smooth test functions with known slopes.

Run with ``python datasets/make_small.py``. The files are written beside this script, and every run
writes the same bytes. Inputs are rounded as printed before a function is evaluated, so each row
holds the function and its slopes at exactly the inputs it shows, to eight significant digits.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).resolve().parent
BOX = ([-2.0, -2.0], [2.0, 2.0])
SMOOTH_TARGETS = ["y", "dy/dx1", "dy/dx2"]
PAIR_TARGETS = ["y1", "y2", "dy1/dx1", "dy1/dx2", "dy2/dx1", "dy2/dx2"]

Floats = NDArray[np.float64]


def latin_hypercube(n: int, low: Sequence[float], high: Sequence[float], rng: np.random.Generator) -> Floats:
    """Return n points in a box: along each axis, one point in each of n equal slices."""
    slices = rng.permuted(np.tile(np.arange(n), (len(low), 1)), axis=1).T
    unit = (slices + rng.random(slices.shape)) / n
    return np.asarray(low) + (np.asarray(high) - np.asarray(low)) * unit


def one_entry_points(
    counts: Sequence[int], low: Sequence[float], high: Sequence[float], rng: np.random.Generator
) -> tuple[Floats, NDArray[np.int64]]:
    """Return shuffled points and the kind of entry each one gets.

    Kind k gets counts[k] points, spread over the whole box by its own Latin hypercube.
    """
    points = np.concatenate([latin_hypercube(n, low, high, rng) for n in counts])
    kinds = np.repeat(np.arange(len(counts)), counts)
    order = rng.permutation(len(kinds))
    return points[order], kinds[order]


def digits(value: float) -> str:
    """Print a number with up to eight significant digits, and -0 as 0."""
    return f"{value + 0.0:.8g}"


def keep(values: Sequence[float], kept: Iterable[int]) -> list[str]:
    """Print the values whose positions are kept, and leave the other cells empty."""
    chosen = set(kept)
    return [digits(value) if k in chosen else "" for k, value in enumerate(values)]


def write_csv(name: str, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a header and rows as a comma-separated file beside this script."""
    lines = [",".join(header)] + [",".join(map(str, row)) for row in rows]
    (FOLDER / name).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def smooth(x1: float, x2: float) -> list[float]:
    """Return y, dy/dx1 and dy/dx2 of the smooth function of two inputs.

    y      = sin(x1) exp(x2/2) + x1 x2/4
    dy/dx1 = cos(x1) exp(x2/2) + x2/4
    dy/dx2 = sin(x1) exp(x2/2)/2 + x1/4
    """
    growth = np.exp(x2 / 2)
    return [
        np.sin(x1) * growth + x1 * x2 / 4,
        np.cos(x1) * growth + x2 / 4,
        np.sin(x1) * growth / 2 + x1 / 4,
    ]


def pair(x1: float, x2: float) -> list[float]:
    """Return y1, y2, dy1/dx1, dy1/dx2, dy2/dx1 and dy2/dx2 of two functions of two inputs.

    y1      = x1 exp(-x2^2/4)             y2      = cos(x1) + x1 x2^2/4
    dy1/dx1 = exp(-x2^2/4)                dy2/dx1 = -sin(x1) + x2^2/4
    dy1/dx2 = -x1 x2 exp(-x2^2/4)/2       dy2/dx2 = x1 x2/2
    """
    bell = np.exp(-(x2**2) / 4)
    return [
        x1 * bell,
        np.cos(x1) + x1 * x2**2 / 4,
        bell,
        -x1 * x2 * bell / 2,
        -np.sin(x1) + x2**2 / 4,
        x1 * x2 / 2,
    ]


def write_plain() -> None:
    """Write xor.csv, line.csv (y = 2 x) and four_inputs.csv (y = x1)."""
    write_csv("xor.csv", ["x1", "x2", "y"], [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]])
    write_csv("line.csv", ["x", "y"], [[x, 2 * x] for x in range(1, 6)])
    rows = [[1, 0, 1, 0, 1], [1, 0, 1, 1, 1], [0, 1, 0, 1, 0]]
    write_csv("four_inputs.csv", ["x1", "x2", "x3", "x4", "y"], rows)


def write_smooth() -> None:
    """Write one-entry rows of the smooth function, wide and long: 20 of each kind."""
    points, kinds = one_entry_points([20, 20, 20], *BOX, np.random.default_rng(1))
    wide, long = [], []
    for (x1, x2), kind in zip(points.round(4), kinds, strict=True):
        values = smooth(x1, x2)
        wide.append([x1, x2, *keep(values, [kind])])
        long.append([x1, x2, SMOOTH_TARGETS[kind], digits(values[kind]), ""])
    write_csv("smooth2d.csv", ["x1", "x2", *SMOOTH_TARGETS], wide)
    write_csv("smooth2d_long.csv", ["x1", "x2", "target", "value", "sigma"], long)


def write_smooth_test() -> None:
    """Write the smooth function and both slopes on a 21 x 21 grid."""
    axis = np.linspace(-2, 2, 21).round(1)
    rows = [[x1, x2, *map(digits, smooth(x1, x2))] for x1 in axis for x2 in axis]
    write_csv("smooth2d_test.csv", ["x1", "x2", *SMOOTH_TARGETS], rows)


def write_slopes() -> None:
    """Write both slopes of the smooth function, without its value, at 40 points."""
    points = latin_hypercube(40, *BOX, np.random.default_rng(2)).round(4)
    rows = [[x1, x2, *map(digits, smooth(x1, x2)[1:])] for x1, x2 in points]
    write_csv("slopes_only.csv", ["x1", "x2", *SMOOTH_TARGETS[1:]], rows)


def write_pair() -> None:
    """Write 80 rows of the two functions, each with one to three of the six entries."""
    rng = np.random.default_rng(3)
    rows = []
    points = latin_hypercube(80, *BOX, rng).round(4) + 0.0  # prints -0.0 as 0.0
    for x1, x2 in points:
        kept = rng.choice(len(PAIR_TARGETS), size=rng.integers(1, 4), replace=False)
        rows.append([x1, x2, *keep(pair(x1, x2), kept)])
    write_csv("two_outputs.csv", ["x1", "x2", *PAIR_TARGETS], rows)


if __name__ == "__main__":
    write_plain()
    write_smooth()
    write_smooth_test()
    write_slopes()
    write_pair()
