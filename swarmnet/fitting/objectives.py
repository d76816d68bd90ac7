"""The objectives of the networks that a fit trains, made of its data and options."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from swarmnet.data.dataset import Dataset
from swarmnet.fitting.data_location import source_of
from swarmnet.fitting.options import FitOptions
from swarmnet.network.network import Network
from swarmnet.objective.objective import Objective
from swarmnet.objective.specification import Blueprint
from swarmnet.scaling import Preparation, Scaling
from swarmnet.trainers import Trainer
from swarmnet.trainers.protocols import Executor

if TYPE_CHECKING:
    from swarmnet.distributed.cluster import Cluster


def preparation_for(data: Dataset, net: Network, options: FitOptions) -> Preparation:
    """What becomes of rows before a network is trained on `data`."""
    known, scaling, squared = data.statistics, options.scaling, options.loss == "squared"
    scale = Scaling.of(known, scaling, outputs=squared and net.activations[-1].name == "linear")
    # The values of cross-entropy have no scale to be divided by.
    return Preparation(scale, known if scaling is not None else None, scales_values=squared)


def blueprint(part: Dataset, preparation: Preparation, options: FitOptions) -> Blueprint:
    """What objectives on these rows are made of."""
    return Blueprint(source_of(part, preparation), options.of_objective)


@contextmanager
def objectives(
    nets: Sequence[Network], plan: Blueprint, trainer: Trainer, cluster: "Cluster | None"
) -> Iterator[tuple[list[Objective], Executor | None]]:
    """Those of all networks, and who runs their climbs; when done with they let go of each other."""
    executor: Executor | None = None
    if cluster is None:
        candidates = [plan.objective(net) for net in nets]
    else:
        from swarmnet.distributed.replicas import shared_out  # noqa: PLC0415  # an extra

        candidates, executor = shared_out(nets, plan, trainer, cluster)
    candidates[0].candidates = candidates
    try:
        yield candidates, executor
    finally:
        candidates[0].candidates = ()


def losses_of(nets: Sequence[Network], plan: Blueprint) -> list[Callable[[NDArray[Any]], float]]:
    """The loss of theta (p,) for each network."""
    return [_loss_of(plan.objective(net)) for net in nets]


def _loss_of(objective: Objective) -> Callable[[NDArray[Any]], float]:
    return lambda theta: float(objective.loss(theta))
