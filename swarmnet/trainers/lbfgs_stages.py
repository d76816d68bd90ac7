"""The L-BFGS stages of hybrid, for where Levenberg-Marquardt is slow or impossible."""

import numpy as np

from swarmnet.trainers.lbfgs import LBFGS
from swarmnet.trainers.lm_run import MOST_WEIGHTS
from swarmnet.trainers.protocols import Trainable
from swarmnet.trainers.result import Array
from swarmnet.trainers.stages import Stages

# Ridge of the solved output weights of a start: starts with small weights train better. Test errors of hybrid
# with one start, 8-8 units, are 1.6 times as large for 1e-9, 1.4 for 1e-5 and 0.96 for 0.1 (16 fits of
# datasets/, standard error a factor of 1.4).
RIDGE = 1e-3
# Iterations with one preconditioner. Measured as in `lbfgs`, the loss is 0.2 times as large with 5, 0.6 with
# 10 and 5 with 40; a preconditioner takes about the time of a gradient.
_REFRESH = 20
# With a preconditioner, a network is judged once its loss falls by at most 5 % in 50 iterations. In four fits
# as for `fitting.candidates._ENTRIES_A_WEIGHT`, test errors are 1.3 times as large with 2.5 % and with 10 %,
# 1.5 times with 25 iterations (standard errors are factors of 1.6 to 1.8), and 0.43 times with 100 (3.5).
_SLOW, _WAITED = 0.05, 50


def polishing(net: Trainable, stages: Stages, limited: bool) -> LBFGS:
    """Return the L-BFGS that trains to the end; if `limited` by a budget, without limits of its own."""
    conditioned = _is_conditioned(net)
    iterations = stages.conditioned if conditioned else stages.plain
    return LBFGS(iterations=None if limited else iterations, refresh=_REFRESH if conditioned else None)


def judging(net: Trainable, stages: Stages) -> LBFGS:
    """Return the L-BFGS that judges a large network: preconditioned if possible, else over the hidden layers.

    On the airfoil (33,632 rows of 17 entries) the loss after 150 preconditioned iterations is a third of that
    after 300 iterations over the hidden layers, in a fifth of the time. Larger networks need more iterations:
    there two layers of 24 units overtake two of 16 after 600. So each goes on while its loss falls fast.
    """
    if _is_conditioned(net):
        return LBFGS(iterations=stages.conditioned, refresh=_REFRESH, tolerance=_SLOW, patience=_WAITED)
    return LBFGS(iterations=stages.judged, solved=net.can_project)


def solved_start(net: Trainable, rng: np.random.Generator) -> Array:
    """Return random weights (p,) with the output layer solved for, if it can be."""
    theta = net.initial(rng)
    if net.can_project_start:
        hidden = theta[: net.hidden_size]
        theta = np.concatenate([hidden, net.projected(hidden[None], RIDGE)[1][0]])
    return theta


def _is_conditioned(net: Trainable) -> bool:
    """Return whether there is a preconditioner for L-BFGS."""
    return net.can_linearise and net.size <= MOST_WEIGHTS
