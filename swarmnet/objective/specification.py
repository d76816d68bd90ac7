"""Blueprint: what objectives are made of, here or in another process."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swarmnet.data.mixed_data import MixedData
from swarmnet.network.network import Network
from swarmnet.objective.objective import Objective
from swarmnet.objective.row_source import Source
from swarmnet.scaling import Preparation


@dataclass(frozen=True, eq=False)
class Blueprint:
    """Rows, and how a network is to be trained on them.

    Args:
        rows: in memory, or wherever a Source knows.
        preparation: what becomes of rows in memory; a Source has its own.
        settings: of `Objective`.
    """

    rows: MixedData | Source
    preparation: Preparation
    settings: Mapping[str, Any]

    def objective(self, net: Network, threads: int | None = None) -> Objective:
        """The objective of a network.

        Raises:
            SwarmnetError: as `Objective` does.
        """
        if not isinstance(self.rows, MixedData):
            return Objective(net, self.rows, threads=threads, **self.settings)
        prepared = self.preparation.of(self.rows)
        return Objective(net, prepared, measured=self.rows, threads=threads, **self.settings)
