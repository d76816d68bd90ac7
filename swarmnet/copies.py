"""A training shared out among the workers of a Dask cluster: pip install "swarmnet[dask]".

Either each worker gets all rows, once, makes tiles of them when it is first asked, and takes climbs some
iterations further by itself; or each has its share of the rows, and adds these up (see `distributed`).
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from swarmnet.blueprint import Blueprint
from swarmnet.cluster import Cluster
from swarmnet.data import MixedData
from swarmnet.distributed import CopiedSource, SentSource
from swarmnet.filedata import FileData
from swarmnet.network import Network
from swarmnet.objective import Objective
from swarmnet.threads import ThreadPool
from swarmnet.trainers import LM, Trainer

if TYPE_CHECKING:
    from distributed import Future

T = TypeVar("T")
R = TypeVar("R")

_MOST_NUMBERS = 1 << 24  # of rows that each worker gets: 128 MB
_MOST_HERE = 1 << 16  # rows in files that this process reads as well: too few to be worth its calls


class Workshop:
    """The objectives of some networks in one process, each made when it is first asked for."""

    def __init__(self, blueprint: Blueprint, nets: Sequence[Network]) -> None:
        self._blueprint, self._nets = blueprint, nets
        self._made: dict[int, Objective] = {}
        self._one_at_a_time = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Workshop, (self._blueprint, self._nets)  # what is made stays here

    def make_all(self) -> None:
        """Those of all networks, and whatever else takes time before the first iteration."""
        LM().prepare()
        for net in self._nets:
            self.objective(net.size)

    def objective(self, size: int) -> Objective:
        """That with so many weights, on one thread."""
        with self._one_at_a_time:
            if size not in self._made:
                net = next(net for net in self._nets if net.size == size)
                self._made[size] = self._blueprint.objective(net, threads=1)
            return self._made[size]


def _work_on(work: Callable[[Any, T], R], workshop: Workshop, size: int, item: T) -> R:
    return work(workshop.objective(size), item)


class WorkerCopies:
    """Copies on workers, made at once; where a worker dies, others do its work again.

    Args:
        blueprint: of the objectives.
        nets: their networks, each with another number of weights.
        cluster: the workers.

    Raises:
        SwarmnetError: as Cluster does.
    """

    def __init__(self, blueprint: Blueprint, nets: Sequence[Network], cluster: Cluster) -> None:
        self._cluster = cluster
        self._workshop: Future = cluster.kept(Workshop(blueprint, nets))
        cluster.on_each(Workshop.make_all, self._workshop)  # or the clock would take it for slow iterations

    def map(self, work: Callable[[Any, T], R], items: Sequence[tuple[int, T]]) -> list[R]:
        """work(copy, item) of each (size, item), on a copy of the objective that has so many weights."""
        sizes, each = zip(*items, strict=True)
        same = [(work, self._workshop)] * len(items)
        return self._cluster.results(self._cluster.submit(_work_on, *zip(*same, strict=True), sizes, each))


def shared_out(
    rungs: Sequence[Objective],
    data: MixedData | FileData,
    plan: Blueprint,
    trainer: Trainer,
    cluster: Cluster,
) -> Sequence[Objective]:
    """Objectives by which a trainer has the workers of a cluster do most of its work.

    Args:
        rungs: the objectives of its networks; those of FileData have their rows on the workers.
        data: the rows.
        plan: what the rungs were made of.
        trainer: who is to be given them.
        cluster: the workers.

    Raises:
        SwarmnetError: as Cluster does.
    """
    if data.n * (data.d + data.k * (1 + data.d)) <= _MOST_NUMBERS and trainer.climbs(rungs[0]):
        if isinstance(data, FileData):
            here = data.read_by(ThreadPool(1))  # wherever that will be
            plan = replace(plan, rows=CopiedSource(here, plan.preparation))
            if data.n <= _MOST_HERE:
                rungs = [plan.objective(rung.net) for rung in rungs]
        copies = WorkerCopies(plan, [rung.net for rung in rungs], cluster)
        for rung in rungs:
            rung.copies = copies
        return rungs
    if isinstance(data, FileData):
        return rungs
    plan = replace(plan, rows=SentSource(data, plan.preparation, cluster))
    return [plan.objective(rung.net) for rung in rungs]
