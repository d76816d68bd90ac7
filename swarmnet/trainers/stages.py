"""The lengths of hybrid's stages, and the costs at which it changes its method."""

from dataclasses import dataclass

from swarmnet.trainers.lm_run import COLD
from swarmnet.trainers.network_choice import SMALL_COST


@dataclass(frozen=True, kw_only=True)
class Stages:
    """The lengths of hybrid's stages, and the costs at which it changes its method.

    Iterations of runs count at the usual cooling. `halvings`, `chosen` and `cold` are a third of what they
    were before steps had geodesic acceleration: on the water data, 400 iterations with it reach the evidence
    of 1500 without. Costs are multiplications of an iteration of Levenberg-Marquardt, see `lm_run.cost`.

    Args:
        halvings: iterations after which the worse half of the networks is given up. Mean test errors of 8
            default fits of datasets/ are 1.15 times as large after 10 and 20, and 1.18 after 40 and 55.
        chosen: iterations after which the best remaining network is chosen. There, mean test errors are 1.02
            times as large after 45, and 0.88 after 120; single fits differ by factors of 0.3 to 3.5.
        starts_halved: iterations after which the worse half of the starts is given up. After 30 and 50, or
            120 and 140, test errors are the same in 8 fits of datasets/ with 8-8 units.
        cold: iterations within which the noise should become low; with a shorter budget it falls faster.
        lm: iterations of Levenberg-Marquardt without a budget; it only bounds time: most runs end earlier.
        small: the largest cost with which a network takes part in the successive halving.
        dear: the cost above which L-BFGS trains. It bounds time: two cores do 2e10 to 4e10 a second.
        judged: iterations of L-BFGS by which a larger network is judged if it has too many weights for a
            preconditioner, more than `lm_run.MOST_WEIGHTS`; it bounds the time for each.
        conditioned: iterations of L-BFGS with a preconditioner, without a budget. On the airfoil (33,632 rows
            of 17 entries, five seeds) the R2 of values after 900 is 0.99944, that of the worst partial 0.92;
            after 400 they were 0.99911 and 0.86.
        plain: iterations of L-BFGS without a preconditioner, without a budget.
    """

    halvings: tuple[int, ...] = (20, 40)
    chosen: int = 60
    starts_halved: tuple[int, ...] = (60, 100)
    cold: float = COLD
    lm: int = 4000
    small: float = SMALL_COST
    dear: float = 2e10
    judged: int = 300
    conditioned: int = 900
    plain: int = 2500
