"""The trainers, and the table of their names. A new optimiser is one file and one row here."""

from dataclasses import fields, replace
from typing import Any

from swarmnet.errors import SwarmnetError, unknown
from swarmnet.trainers.gradient_descent import SGD as SGD
from swarmnet.trainers.gradient_descent import Adam as Adam
from swarmnet.trainers.hybrid import Hybrid as Hybrid
from swarmnet.trainers.lbfgs import LBFGS as LBFGS
from swarmnet.trainers.levenberg_marquardt import LM as LM
from swarmnet.trainers.monitor import Monitor as Monitor
from swarmnet.trainers.particle_swarm import PSO as PSO
from swarmnet.trainers.particle_swarm import ProjectedPSO as ProjectedPSO
from swarmnet.trainers.result import Progress as Progress
from swarmnet.trainers.result import TrainResult as TrainResult
from swarmnet.trainers.run import run as run
from swarmnet.trainers.trainer import Trainer as Trainer

TRAINERS: dict[str, type[Trainer]] = {
    trainer.name: trainer for trainer in (Hybrid, PSO, ProjectedPSO, SGD, Adam, LBFGS, LM)
}


def configured(
    trainer: str | Trainer,
    iterations: int | None = None,
    seconds: float | None = None,
    particles: int | None = None,
    evaluations: int | None = None,
) -> Trainer:
    """Return a trainer, given by name or configured, with these settings in place of its own.

    With seconds or evaluations but no iterations, the number of iterations is not limited.

    Raises:
        SwarmnetError: an unknown name, a setting out of range, or particles for a trainer without a swarm.
    """
    if isinstance(trainer, str):
        if trainer not in TRAINERS:
            raise unknown("trainer", trainer, TRAINERS)
        trainer = TRAINERS[trainer]()
    if not isinstance(trainer, Trainer):
        raise SwarmnetError(f"trainer must be a name or a configured trainer such as PSO(), not {trainer!r}")
    changes: dict[str, Any] = {}
    if seconds is not None:
        changes |= {"seconds": seconds, "iterations": None}
    if evaluations is not None:
        changes |= {"evaluations": evaluations, "iterations": None}
    if iterations is not None:
        changes["iterations"] = iterations
    if particles is not None:
        if "particles" in {f.name for f in fields(trainer)}:
            changes["particles"] = particles
        elif isinstance(trainer, Hybrid):
            changes["swarm"] = replace(trainer.swarm, particles=particles)
        else:
            raise SwarmnetError(f"particles do not go with {trainer.name}: it has no swarm")
    return replace(trainer, **changes)
