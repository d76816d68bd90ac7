"""How long a fit that chooses its network takes, roughly, before it begins."""

from swarmnet.data.dataset import Dataset
from swarmnet.fitting.candidates import candidates_for
from swarmnet.fitting.options import FitOptions
from swarmnet.trainers.lm_run import multiplications

# Processor seconds of default fits against the multiplications of one Levenberg-Marquardt iteration of each
# candidate: 1.6, 4.4, 13, 7, 34 and 39 s at 1.2e7, 4.8e8, 4e9, 5e9, 6.2e10 and 1.8e11 (60 to 7,500 entries).
_SECONDS, _WORK, _GROWTH = 4.4, 4.8e8, 0.4


def usual_seconds(data: Dataset, options: FitOptions) -> float | None:
    """Return about how many processor seconds training takes, to a factor of two.

    None if the options limit it, if the network is not chosen, or for data in files.
    """
    trainer = options.configured_trainer
    is_limited = (trainer.iterations, trainer.seconds, trainer.evaluations) != (None, None, None)
    if is_limited or data.in_memory is None:
        return None
    networks = [net for net in candidates_for(data, options) if len(net.sizes) > 2]
    if len(networks) < 2:
        return None
    work = sum(multiplications(data.n_entries, net.size) for net in networks)
    return float(_SECONDS * (work / _WORK) ** _GROWTH)
