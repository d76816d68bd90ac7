"""Workshop: the objectives that a process has for climbs which it takes further for another one."""

import threading
from collections.abc import Sequence
from typing import Any

from swarmnet.blueprint import Blueprint
from swarmnet.network import Network
from swarmnet.objective import Objective
from swarmnet.trainers import LM


class Workshop:
    """The objectives of some networks in one process, each made when it is first asked for.

    Args:
        blueprint: of the objectives.
        nets: their networks.
    """

    def __init__(self, blueprint: Blueprint, nets: Sequence[Network]) -> None:
        self._blueprint, self._nets = blueprint, nets
        self._made: dict[int, Objective] = {}
        self._one_at_a_time = threading.Lock()

    def __sizeof__(self) -> int:
        # Dask asks when it comes, before anything is made: tiles hold inputs, and three numbers an entry.
        known, d, k = self._blueprint.rows.statistics, self._blueprint.rows.d, self._blueprint.rows.k
        tiles = known.n * d + 3 * known.n_entries
        return 8 * (known.n * (d + k * (1 + d)) + len(self._nets) * tiles)

    def __reduce__(self) -> tuple[Any, ...]:
        return Workshop, (self._blueprint, self._nets)  # what is made stays here

    def make_all(self) -> None:
        """Those of all networks, and whatever else takes time before the first iteration."""
        LM().prepare()
        for number in range(len(self._nets)):
            self.objective(number)

    def objective(self, number: int) -> Objective:
        """That of the network with that number, on one thread."""
        with self._one_at_a_time:
            if number not in self._made:
                self._made[number] = self._blueprint.objective(self._nets[number], threads=1)
                self._made[number].number = number
            return self._made[number]
