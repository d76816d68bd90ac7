"""The history of a training: a row for each iteration."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from swarmnet.trainers.checkpoint import (
    DamagedState,
    State,
    array,
    is_empty,
    matching,
    whole,
)
from swarmnet.trainers.result import Array

_Row = tuple[int, int, float, float, float, int]  # the last item is the stage's number


class History:
    """A row per iteration; past `most` rows only every second, every fourth..., to limit memory.

    The newest row and the row with the lowest loss are always kept. A stage is the trainer that runs; hybrid
    has several.

    Args:
        most: maximum number of rows, except the two that are always kept.
    """

    columns = ("iteration", "evaluations", "seconds", "loss", "validation_loss", "stage")

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self._stages: list[str] = []
        self._rows: list[_Row] = []
        self._kept: list[_Row] = []  # the newest and the best row
        self._stride = 1

    def add(
        self, iteration: int, evaluations: int, seconds: float, loss: float, validation: float, stage: str
    ) -> None:
        """Add an iteration."""
        if stage not in self._stages:
            self._stages.append(stage)
        row = (iteration, evaluations, seconds, loss, validation, self._stages.index(stage))
        best = self._kept[-1] if self._kept and not row[3] < self._kept[-1][3] else row
        self._kept = [row, best]
        if (row[0] - 1) % self._stride == 0:
            self._rows.append(row)
        if len(self._rows) > self._most:
            self._stride *= 2
            self._rows = self._rows[::2]

    def saved(self) -> State:
        """Return the state for `load`."""
        rows = {"rows": self._rows, "kept": np.array(self._kept), "stride": self._stride}
        return rows | {"stages": tuple(self._stages)}

    def load(self, saved: State) -> None:
        """Restore a `saved` state.

        Raises:
            DamagedState: it cannot come from a history.
        """
        self._stride = whole(saved, "stride", 1)
        self._stages = matching(saved, {"stages": []})["stages"]
        if not all(isinstance(name, str) for name in self._stages):
            raise DamagedState("the stages' names must be text")
        self._rows, self._kept = (_rows(saved, name, len(self._stages)) for name in ("rows", "kept"))

    def arrays(self) -> dict[str, Array]:
        """Return the columns by name."""
        rows = {row[0]: row for row in self._rows + self._kept}
        columns: list[Sequence[Any]] = [*zip(*(rows[iteration] for iteration in sorted(rows)), strict=True)]
        columns = columns or [() for _ in self.columns]
        columns[-1] = [self._stages[stage] for stage in columns[-1]]
        return {name: np.array(column) for name, column in zip(self.columns, columns, strict=True)}


def _rows(saved: State, name: str, stages: int) -> list[_Row]:
    """Check and return saved rows, for so many stages."""
    shape = (0,) if is_empty(saved, name) else (None, len(History.columns))
    rows = array(saved, name, shape, finite=False)
    whole_numbers = rows[:, [0, 1, -1]] if len(rows) else rows
    if not ((whole_numbers >= 0) & (whole_numbers == np.floor(whole_numbers))).all():
        raise DamagedState(f"{name} must count from 0 in whole numbers")
    if len(rows) and not (rows[:, -1] < stages).all():
        raise DamagedState("an iteration belongs to no stage")
    return [(int(i), int(n), *rest, int(stage)) for i, n, *rest, stage in rows.tolist()]
