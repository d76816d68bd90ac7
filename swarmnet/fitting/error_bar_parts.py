"""The parts of a model's error bars, from the result of training."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from swarmnet.model.error_bars import OtherFit, pack
from swarmnet.network.network import Network
from swarmnet.objective.objective import Objective
from swarmnet.threads import one_blas_thread
from swarmnet.trainers import TrainResult
from swarmnet.trainers.evidence import covariance_root, with_supported_noise
from swarmnet.trainers.linear_evidence import exact_covariance_root, is_linear


def spread_of(objective: Objective, result: TrainResult) -> NDArray[np.float64] | None:
    """Return the packed root of the weights' covariance; None if training estimated no noise."""
    if result.posterior is None:
        return None
    with one_blas_thread():
        if is_linear(objective):
            return pack(exact_covariance_root(objective, result.posterior))
        supported = with_supported_noise(objective, result.theta, result.posterior)
        return pack(covariance_root(objective, result.theta, supported))


def other_fits(nets: Sequence[Network], result: TrainResult) -> tuple[OtherFit, ...]:
    """Return the other starts' fits, whose deviations from the best one widen the error bars."""
    if result.posterior is None:
        return ()
    posterior = result.posterior
    found = zip(posterior.networks, posterior.others, posterior.share, strict=True)
    return tuple(OtherFit(nets[network], theta, float(share)) for network, theta, share in found if share > 0)
