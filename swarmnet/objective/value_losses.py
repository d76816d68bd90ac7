"""Losses of value entries: squared error, or cross-entropy for sigmoid outputs and targets from 0 to 1."""

from swarmnet.errors import unknown

SQUARED, CROSS_ENTROPY = 0, 1
LOSSES = {"squared": SQUARED, "cross-entropy": CROSS_ENTROPY}


def value_loss(name: str) -> int:
    """Return the number of a loss in the kernels.

    Raises:
        SwarmnetError: no such name.
    """
    if not isinstance(name, str) or name not in LOSSES:
        raise unknown("loss", name, LOSSES)
    return LOSSES[name]
