"""The columns of a model's answers: each output's values, "h", and then its partials, "dh/dT"."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import derivative_name
from swarmnet.data.mixed_data import MixedData

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """A value, or with `input` a partial, by the positions of its output and input."""

    name: str
    output: int
    input: int | None

    def of(self, numbers: Array) -> Array:
        """Return the column (n,) of values (n, k) or partials (n, k, d), whichever it is."""
        return numbers[:, self.output] if self.input is None else numbers[:, self.output, self.input]

    def observed(self, data: MixedData) -> Array:
        """Return the observations (n,), NaN where not observed."""
        return self.of(data.Y if self.input is None else data.J)

    def sigma(self, data: MixedData) -> Array:
        """Return the standard deviations (n,) given with the data, NaN where there is none."""
        given = data.Y_sigma if self.input is None else data.J_sigma
        return np.full(data.n, np.nan) if given is None else self.of(given)


def columns_of(inputs: Sequence[str], outputs: Sequence[str]) -> dict[str, Column]:
    """Return values and partials by name, one output after another."""
    columns: dict[str, Column] = {}
    for o, out in enumerate(outputs):
        columns[out] = Column(out, o, None)
        for j, into in enumerate(inputs):
            name = derivative_name(out, into)
            columns[name] = Column(name, o, j)
    return columns
