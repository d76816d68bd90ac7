"""The objectives of the networks of a fit."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from swarmnet.data.dataset import Dataset
from swarmnet.fitting.data_location import source_of
from swarmnet.fitting.options import FitOptions
from swarmnet.network.network import Network
from swarmnet.objective.objective import Objective
from swarmnet.objective.specification import ObjectiveSpecification
from swarmnet.scaling import Preparation, Scaling
from swarmnet.trainers import Trainer
from swarmnet.trainers.protocols import Executor

if TYPE_CHECKING:
    from swarmnet.distributed.cluster import Cluster


def preparation_for(data: Dataset, net: Network, options: FitOptions) -> Preparation:
    """Return how rows are scaled before training on `data`."""
    known, scaling, squared = data.statistics, options.scaling, options.loss == "squared"
    scale = Scaling.of(known, scaling, outputs=squared and net.activations[-1].name == "linear")
    # With cross-entropy, values are probabilities and are not scaled.
    return Preparation(scale, known if scaling is not None else None, scales_values=squared)


def objective_specification(
    part: Dataset, preparation: Preparation, options: FitOptions
) -> ObjectiveSpecification:
    """Return the specification of objectives for these rows."""
    return ObjectiveSpecification(source_of(part, preparation), options.of_objective)


@contextmanager
def objectives(
    nets: Sequence[Network],
    specification: ObjectiveSpecification,
    trainer: Trainer,
    cluster: "Cluster | None",
) -> Iterator[tuple[list[Objective], Executor | None]]:
    """Yield the objectives of all networks, and the executor of their runs, if it is not the default one.

    At the end the references between the objectives are removed, so that their memory is freed at once.
    """
    executor: Executor | None = None
    if cluster is None:
        candidates = [specification.objective(net) for net in nets]
    else:
        from swarmnet.distributed.replicas import shared_out  # noqa: PLC0415  # an extra

        candidates, executor = shared_out(nets, specification, trainer, cluster)
    candidates[0].candidates = candidates
    try:
        yield candidates, executor
    finally:
        candidates[0].candidates = ()


def losses_of(
    nets: Sequence[Network], specification: ObjectiveSpecification
) -> list[Callable[[NDArray[Any]], float]]:
    """Return the loss as a function of theta (p,) for each network."""
    return [_loss_of(specification.objective(net)) for net in nets]


def _loss_of(objective: Objective) -> Callable[[NDArray[Any]], float]:
    return lambda theta: float(objective.loss(theta))
