"""ObjectiveSpecification: everything needed to make objectives, here or in another process."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swarmnet.data.mixed_data import MixedData
from swarmnet.network.network import Network
from swarmnet.objective.objective import Objective
from swarmnet.objective.row_source import Source
from swarmnet.scaling import Preparation


@dataclass(frozen=True, eq=False)
class ObjectiveSpecification:
    """Rows, and the settings of the objectives for them.

    Args:
        rows: MixedData, or a Source of rows in any place.
        preparation: how MixedData is prepared; a Source has its own preparation.
        settings: of `Objective`.
    """

    rows: MixedData | Source
    preparation: Preparation
    settings: Mapping[str, Any]

    def objective(self, net: Network, threads: int | None = None) -> Objective:
        """Return the objective of a network.

        Raises:
            SwarmnetError: as in `Objective`.
        """
        if not isinstance(self.rows, MixedData):
            return Objective(net, self.rows, threads=threads, **self.settings)
        prepared = self.preparation.of(self.rows)
        return Objective(net, prepared, measured=self.rows, threads=threads, **self.settings)
