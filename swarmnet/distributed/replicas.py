"""A training shared out among the workers of a Dask cluster: pip install ".[dask]".

Either each worker gets all rows, once, cuts them into chunks when it is first asked, and takes climbs some
iterations further by itself; or each has its share of the rows, and adds these up (see `distributed`).
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from swarmnet.data.file_data import FileData, most_rows
from swarmnet.data.mixed_data import MixedData
from swarmnet.distributed.cluster import Cluster
from swarmnet.distributed.sharded_sums import CopiedSource, SentSource, bytes_of
from swarmnet.network.network import Network
from swarmnet.objective.objective import Objective
from swarmnet.objective.specification import Blueprint
from swarmnet.threads import ThreadPool
from swarmnet.trainers import LM, Trainer
from swarmnet.trainers.climb import cost
from swarmnet.trainers.executor import OnReplicas

if TYPE_CHECKING:
    from distributed import Future

T = TypeVar("T")
R = TypeVar("R")

_MOST_BYTES = 1 << 27  # of rows that each worker gets; with what is made of them five times as much
# Multiplications of an iteration, half a second, from which rows shared out take less time than whole climbs
# if there are blocks enough: the calls for a climb's sums take a tenth of a second. How many threads the
# workers have is not asked, so that the model does not depend on it: with few, both take about as long.
_LONG = 5e9
_MOST_HERE = 1 << 16  # rows in files that this process reads as well: too few to be worth its calls


class Objectives:
    """The objectives of some networks on one worker, each made when it is first asked for.

    Args:
        blueprint: of the objectives.
        nets: their networks.
    """

    def __init__(self, blueprint: Blueprint, nets: Sequence[Network]) -> None:
        self._blueprint, self._nets = blueprint, nets
        self._made: dict[int, Objective] = {}
        self._one_at_a_time = threading.Lock()

    def __sizeof__(self) -> int:
        # Dask asks when it comes, before anything is made: chunks hold inputs, and three numbers an entry.
        known, d, k = self._blueprint.rows.statistics, self._blueprint.rows.d, self._blueprint.rows.k
        chunks = known.n * d + 3 * known.n_entries
        return 8 * (known.n * (d + k * (1 + d)) + len(self._nets) * chunks)

    def __reduce__(self) -> tuple[Any, ...]:
        return Objectives, (self._blueprint, self._nets)  # what is made stays here

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


def _work_on(work: Callable[[Any, T], R], objectives: Objectives, number: int, item: T) -> R:
    return work(objectives.objective(number), item)


class WorkerReplicas:
    """Replicas on workers, made at once; where a worker dies, others do its work again.

    Args:
        blueprint: of the objectives.
        nets: their networks.
        cluster: the workers.

    Raises:
        SwarmnetError: as Cluster does.
    """

    def __init__(self, blueprint: Blueprint, nets: Sequence[Network], cluster: Cluster) -> None:
        self._cluster = cluster
        self._objectives: Future = cluster.kept(Objectives(blueprint, nets))
        cluster.on_each(
            Objectives.make_all, self._objectives
        )  # or the clock would take it for slow iterations

    def map(self, work: Callable[[Any, T], R], items: Sequence[tuple[int, T]]) -> list[R]:
        """work(objective, item) of each (number, item), with the objective of that number."""
        numbers, each = zip(*items, strict=True)
        same = [(work, self._objectives)] * len(items)
        return self._cluster.results(self._cluster.submit(_work_on, *zip(*same, strict=True), numbers, each))


def shared_out(
    data: MixedData | FileData, nets: Sequence[Network], plan: Blueprint, trainer: Trainer, cluster: Cluster
) -> tuple[list[Objective], OnReplicas | None]:
    """Objectives by which a trainer has the workers of a cluster do most of its work, one for each network.

    And the executor that has them run climbs, if these are not to share the rows out instead.

    Args:
        data: the rows; of FileData the plan's are on the workers.
        nets: the networks.
        plan: what the objectives are to be made of.
        trainer: who is to be given them.
        cluster: the workers.

    Raises:
        SwarmnetError: as Cluster does.
    """
    spread = copied = here = plan
    if isinstance(data, FileData):
        whole = data.read_by(ThreadPool(1))  # wherever that will be
        copied = replace(plan, rows=CopiedSource(whole, plan.preparation))
        here = copied if data.n <= _MOST_HERE else spread
    else:
        spread = replace(plan, rows=SentSource(data, plan.preparation, cluster))
    if _bytes(data) > _MOST_BYTES:
        return [spread.objective(net) for net in nets], None
    first = here.objective(nets[0])
    if climbs := trainer.climbs_at_once(first):
        blocks = -(-data.n // most_rows(data.d, data.k))
        if cost(first) <= _LONG or blocks < 2 * climbs:
            candidates = [first, *(here.objective(net) for net in nets[1:])]
            return candidates, OnReplicas(WorkerReplicas(copied, nets, cluster))
    first = first if here is spread else spread.objective(nets[0])
    return [first, *(spread.objective(net) for net in nets[1:])], None


def _bytes(data: MixedData | FileData) -> int:
    """Of the rows' numbers."""
    return data.n * data.reader.form.row_bytes if isinstance(data, FileData) else bytes_of(data)
