"""What a model cannot represent: a Gaussian process that is small near the training points.

The posterior of the weights knows no functions but the model's. Where a model is wrong, it is certain of
wrong answers. So each output may differ from it by a stationary Gaussian process with Matern's covariance for
nu = 5/2, given that it is nearly 0 at the training points (Kennedy and O'Hagan 2001). The process is a sum of
waves with random frequencies (Rahimi and Recht 2007), whose derivatives are waves as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.quantities import Argument

Array = NDArray[np.float64]

_WAVES = 300
_FREEDOM = 5.0  # degrees of freedom of Student's t: of the frequencies of Matern's covariance, twice its nu
_LENGTH = 0.2  # scale of the covariance, as a share of each input's range for one input; chosen
_AT_POINTS = 0.1  # deviation at a training point, as a share of that without any; chosen


@dataclass(frozen=True, eq=False)
class Misfit:
    """The differences of the outputs from a model, which are independent and alike.

    Args:
        frequency: (waves, d) for points in the network's units.
        phase: (waves,)
        root: (waves, waves) M such that M'M is the covariance of the waves' factors.
        size: (k,) factor of each output.
    """

    frequency: Array
    phase: Array
    root: Array
    size: Array

    @classmethod
    def of(cls, points: Array, around: Array, variance: Array) -> "Misfit":
        """Return the misfit, given that it is nearly 0 at training points.

        Args:
            points: (m, d) training points.
            around: (n, d) points.
            variance: (k,) of each output, the mean over `around`.
        """
        rng = np.random.default_rng(0)
        d = points.shape[1]
        length = _LENGTH * d**0.5 * np.ptp(points, axis=0)
        frequency = rng.normal(size=(_WAVES, d)) / np.sqrt(rng.chisquare(_FREEDOM, (_WAVES, 1)) / _FREEDOM)
        frequency = np.divide(frequency, length, out=np.zeros_like(frequency), where=length > 0)
        one = np.ones(1)
        free = cls(frequency, rng.uniform(0.0, 2.0 * np.pi, _WAVES), np.eye(_WAVES), one)
        seen = free._waves(points, ())
        information = np.eye(_WAVES) + seen @ seen.T / _AT_POINTS**2
        known = replace(free, root=np.linalg.inv(np.linalg.cholesky(information)))
        own = np.mean(np.sum(known._waves(around, ()) ** 2, axis=0))
        return replace(known, size=np.sqrt(variance / own))

    def roots(self, X: Array, arguments: Sequence[Argument], slopes: Array) -> Array:
        """Return V (k waves, n) such that V'V is the covariance (n, n) of a formula's misfit at X (n, d).

        Args:
            X: points.
            arguments: of the formula.
            slopes: (arguments, n) its derivatives by them.
        """
        out = np.zeros((len(self.size), _WAVES, len(X)))
        for (output, along), slope in zip(arguments, slopes, strict=True):
            out[output] += self.size[output] * slope * self._waves(X, along)
        return out.reshape(-1, len(X))

    def _waves(self, X: Array, along: tuple[int, ...]) -> Array:
        """Return (waves, n), the value or a derivative of an output of size 1 at X (n, d)."""
        angle = X @ self.frequency.T + self.phase + 0.5 * np.pi * len(along)  # cos' z = cos(z + pi / 2)
        waves = np.cos(angle) * np.prod(self.frequency[:, list(along)], axis=1)
        return np.asarray(np.sqrt(2.0 / _WAVES) * (self.root @ waves.T))
