"""A training shared out among the workers of a Dask cluster: pip install ".[dask]".

Either each worker gets all rows, once, makes tiles of them when it is first asked, and takes climbs some
iterations further by itself; or each has its share of the rows, and adds these up (see `distributed`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from swarmnet.blueprint import Blueprint
from swarmnet.cluster import Cluster
from swarmnet.data import MixedData
from swarmnet.distributed import CopiedSource, SentSource, bytes_of
from swarmnet.filedata import FileData, most_rows
from swarmnet.network import Network
from swarmnet.objective import Objective
from swarmnet.threads import ThreadPool
from swarmnet.trainers import Trainer
from swarmnet.trainers.second_order import cost
from swarmnet.workshop import Workshop

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


def _work_on(work: Callable[[Any, T], R], workshop: Workshop, number: int, item: T) -> R:
    return work(workshop.objective(number), item)


class WorkerCopies:
    """Copies on workers, made at once; where a worker dies, others do its work again.

    Args:
        blueprint: of the objectives.
        nets: their networks.
        cluster: the workers.

    Raises:
        SwarmnetError: as Cluster does.
    """

    def __init__(self, blueprint: Blueprint, nets: Sequence[Network], cluster: Cluster) -> None:
        self._cluster = cluster
        self._workshop: Future = cluster.kept(Workshop(blueprint, nets))
        cluster.on_each(Workshop.make_all, self._workshop)  # or the clock would take it for slow iterations
        self.ready = True

    def map(self, work: Callable[[Any, T], R], items: Sequence[tuple[int, T]]) -> list[R]:
        """work(copy, item) of each (number, item), on a copy of the objective with that number."""
        numbers, each = zip(*items, strict=True)
        same = [(work, self._workshop)] * len(items)
        return self._cluster.results(self._cluster.submit(_work_on, *zip(*same, strict=True), numbers, each))


def shared_out(
    data: MixedData | FileData, nets: Sequence[Network], plan: Blueprint, trainer: Trainer, cluster: Cluster
) -> list[Objective]:
    """Objectives by which a trainer has the workers of a cluster do most of its work, one for each network.

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
        return [spread.objective(net) for net in nets]
    first = here.objective(nets[0])
    if climbs := trainer.climbs_at_once(first):
        blocks = -(-data.n // most_rows(data.d, data.k))
        if cost(first) <= _LONG or blocks < 2 * climbs:
            rungs = [first, *(here.objective(net) for net in nets[1:])]
            copies = WorkerCopies(copied, nets, cluster)
            for rung in rungs:
                rung.copies = copies
            return rungs
    first = first if here is spread else spread.objective(nets[0])
    return [first, *(spread.objective(net) for net in nets[1:])]


def _bytes(data: MixedData | FileData) -> int:
    """Of the rows' numbers."""
    return data.n * data.reader.form.row_bytes if isinstance(data, FileData) else bytes_of(data)
