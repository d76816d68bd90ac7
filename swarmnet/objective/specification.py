"""ObjectiveSpecification: everything needed to make objectives, here or in another process."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swarmnet.network.network import Network
from swarmnet.objective.objective import Objective
from swarmnet.objective.row_source import Source


@dataclass(frozen=True, eq=False)
class ObjectiveSpecification:
    """Rows in any place, and the settings of the objectives for them, see `Objective`."""

    rows: Source
    settings: Mapping[str, Any]

    def objective(self, net: Network, threads: int | None = None) -> Objective:
        """Return the objective of a network.

        Raises:
            SwarmnetError: as in `Objective`.
        """
        return Objective(net, self.rows, threads=threads, **self.settings)
