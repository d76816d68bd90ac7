"""A training distributed over the workers of a Dask cluster: pip install ".[dask]".

Either each worker gets all rows once, divides them into chunks on first use, and does whole
Levenberg-Marquardt runs. Or each worker holds a share of the rows, and computes sums over them (see
`sharded_sums`).
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from swarmnet.distributed.cluster import Cluster
from swarmnet.distributed.sharded_sums import CopiedSource, WorkerSource
from swarmnet.network.network import Network
from swarmnet.objective.objective import Objective
from swarmnet.objective.row_source import Source
from swarmnet.threads import ThreadPool
from swarmnet.trainers import LM, Trainer
from swarmnet.trainers.executor import OnReplicas
from swarmnet.trainers.lm_run import cost

if TYPE_CHECKING:
    from distributed import Future

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class ObjectiveSpecification:
    """Everything needed to make objectives in any process: rows, and settings, see `Objective`."""

    rows: Source
    settings: Mapping[str, Any]

    def objective(self, net: Network, threads: int | None = None) -> Objective:
        """Return the objective of a network.

        Raises:
            SwarmnetError: as in `Objective`.
        """
        return Objective(net, self.rows, threads=threads, **self.settings)


class Objectives:
    """The objectives of several networks on a worker, each made on first use."""

    def __init__(self, specification: ObjectiveSpecification, nets: Sequence[Network]) -> None:
        self._specification, self._nets = specification, nets
        self._made: dict[int, Objective] = {}
        self._one_at_a_time = threading.Lock()

    def __sizeof__(self) -> int:
        # Dask calls this before any objective is made. Chunks hold the inputs, and three numbers per entry.
        data = self._specification.rows.data
        n, d, k = data.n, data.d, data.k
        chunks = n * d + 3 * data.n_entries
        return 8 * (n * (d + k * (1 + d)) + len(self._nets) * chunks)

    def __reduce__(self) -> tuple[Any, ...]:
        return Objectives, (self._specification, self._nets)  # objectives are not sent

    def make_all(self) -> None:
        """Make the objectives of all networks, and do all other slow preparations."""
        LM().prepare()
        for number in range(len(self._nets)):
            self.objective(number)

    def objective(self, number: int) -> Objective:
        """Return the objective of the network with that number, on one thread."""
        with self._one_at_a_time:
            if number not in self._made:
                self._made[number] = self._specification.objective(self._nets[number], threads=1)
                self._made[number].number = number
            return self._made[number]


def _work_on(work: Callable[[Any, T], R], objectives: Objectives, number: int, item: T) -> R:
    return work(objectives.objective(number), item)


class WorkerReplicas:
    """Replicas of objectives on workers, made at once; if a worker dies, others repeat its work."""

    def __init__(
        self, specification: ObjectiveSpecification, nets: Sequence[Network], cluster: Cluster
    ) -> None:
        self._cluster = cluster
        self._objectives: Future = cluster.kept(Objectives(specification, nets))
        cluster.on_each(Objectives.make_all, self._objectives)  # otherwise iterations would seem slow

    def map(self, work: Callable[[Any, T], R], items: Sequence[tuple[int, T]]) -> list[R]:
        """Return work(objective, item) for each (number, item), with the objective of that number."""
        numbers, each = zip(*items, strict=True)
        same = [(work, self._objectives)] * len(items)
        return self._cluster.results(self._cluster.submit(_work_on, *zip(*same, strict=True), numbers, each))


def shared_out(
    nets: Sequence[Network], specification: ObjectiveSpecification, trainer: Trainer, cluster: Cluster
) -> tuple[list[Objective], OnReplicas | None]:
    """Return an objective for each network, with which the workers do most of a trainer's work.

    The second result is the executor that does the runs on the workers, or None if the rows are distributed.
    The specification's rows in files are on the workers.
    """
    data, preparation = specification.rows.data, specification.rows.preparation
    spread = replace(specification, rows=WorkerSource(data, preparation, cluster))
    here = copied = specification
    if data.in_memory is None:
        whole = data.read_by(ThreadPool(1))  # in the process that reads it
        copied = replace(specification, rows=CopiedSource(whole, preparation))
        here = copied if data.n <= cluster.rows_here else spread
    if data.nbytes > cluster.copied_bytes:
        return [spread.objective(net) for net in nets], None
    first = here.objective(nets[0])
    if runs := trainer.runs_at_once(first):
        blocks = -(-data.n // data.block_rows(cluster.block_rows))
        if cost(first) <= cluster.copied_cost or blocks < 2 * runs:
            candidates = [first, *(here.objective(net) for net in nets[1:])]
            return candidates, OnReplicas(WorkerReplicas(copied, nets, cluster))
    first = first if here is spread else spread.objective(nets[0])
    return [first, *(spread.objective(net) for net in nets[1:])], None
