"""Groups of entries that share a noise: an output's values, a derivative column, entries with a sigma."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.mixed_data import MixedData

Array = NDArray[Any]

_ROUNDED = 1e-12  # largest variance of equal targets, as a share of their mean square; only bounds rounding


class Grouping:
    """Which entries share a noise: output o's values are group o, column (o, j) is group k + o d + j.

    Then come the q quantities. The last two groups hold the values, and the partials and quantities, with a
    measured sigma.
    """

    def __init__(self, k: int, d: int, q: int = 0) -> None:
        self.first_known = k + k * d + q
        self.values = np.arange(k)
        self.partials = np.arange(k, k + k * d).reshape(k, d)
        self.quantities = np.arange(k + k * d, self.first_known)
        self.is_partial = np.arange(self.first_known + 2) >= k
        self.is_partial[-2] = False

    def of(self, own: Array, sigma: Array | None, known: int) -> Array:
        """Return each entry's group: `own`, or group `known` where its sigma was measured."""
        if sigma is None:
            return own
        return np.where(np.isnan(sigma), own, self.first_known + known)

    def sums(self, data: MixedData, measured: MixedData) -> Array:
        """Return (6, groups), the sums from which `Groups` is made; those of parts of the rows can be added.

        Args:
            data: the rows.
            measured: the same rows with only measured sigmas.
        """
        sums = np.zeros((6, len(self.is_partial)))
        kinds = (
            (0, self.values, data.Y, data.Y_sigma, measured.Y_sigma),
            (1, self.partials, data.J, data.J_sigma, measured.J_sigma),
            (1, self.quantities, data.Q, data.Q_sigma, measured.Q_sigma),
        )
        with np.errstate(all="ignore"):  # the loss will then be inf
            for kind, own, target, sigma, known in kinds:
                often = np.broadcast_to(_along_rows(data.row_weights, target.ndim), target.shape)
                seen = ~np.isnan(target) & (often > 0)
                group = self.of(np.broadcast_to(own, target.shape), known, kind)[seen]
                often = often[seen]
                target = target[seen]
                square = target**2
                unit = np.ones(1) if sigma is None else np.where(np.isnan(sigma), 1.0, sigma)[seen] ** 2
                terms = np.ones(len(square)), often, often * square, often * square / unit
                for row, numbers in zip(sums, (*terms, often * target, often * unit), strict=True):
                    row += np.bincount(group, numbers, sums.shape[1])
        return sums


class Groups(Grouping):
    """Groups of entries with their sizes and mean squares.

    Args:
        k: number of outputs.
        d: number of inputs.
        sums: see `Grouping.sums`.

    Attributes:
        entries: (groups,) number of entries.
        count: (groups,) sum of their row weights.
        square: (groups,) mean square of the targets.
        relative: (groups,) mean square of target / sigma.
        unit: (groups,) mean of sigma^2.
        variance: (groups,) of the targets, 0 where they are equal except for rounding.
        noise_of: (groups,) the group whose noise each group has.
    """

    def __init__(self, k: int, d: int, sums: Array) -> None:
        super().__init__(k, d, sums.shape[1] - k - k * d - 2)
        self.entries, self.count = sums[0].astype(int), sums[1]
        self.square, self.relative, mean, unit = sums[2:] / np.where(self.count > 0, self.count, 1.0)
        self.unit = np.where(self.count > 0, unit, 1.0)
        with np.errstate(all="ignore"):  # the loss will then be inf
            variance = self.square - mean**2
        self.variance = np.where(variance > _ROUNDED * self.square, variance, 0.0)
        self.noise_of = self._noises()

    def _noises(self) -> NDArray[np.intp]:
        """Return the group whose noise each group has: its own or, for equal targets, that of varying ones.

        A single target, such as a reference value, counts as equal targets.

        A constant fits equal targets exactly. By themselves they would get no noise, and the evidence would
        prefer to fit only them and treat the varying targets as noise.
        """
        noise_of = np.arange(len(self.variance))
        own = self.quantities[self.count[self.quantities] > 0]
        alike = self.variance[own] <= _ROUNDED**2 * self.square[own]
        # Residuals are in units of their columns' root mean square, so any quantity that varies will do.
        quantity = own[~alike][:1]
        if len(quantity):
            noise_of[own[alike]] = quantity
        for value, partials in zip(self.values, self.partials, strict=True):
            own = np.array([value, *partials])
            own = own[self.count[own] > 0]
            # Partials computed where they are 0 are about 1e-16; scaled inputs vary by about 1.
            most = self.variance[value] or self.square[partials].max()
            alike = self.variance[own] <= _ROUNDED**2 * most
            varied = own[~alike]
            if not len(varied):
                varied = quantity if len(quantity) else own
            if len(own):
                noise_of[own[alike]] = varied[self.square[varied].argmax()]
        return noise_of


@dataclass(frozen=True)
class EntryWeights:
    """The factor of each squared residual: value / sigma^2, partial / sigma^2, times its row's weight."""

    value: float
    partial: float

    def of(
        self, factor: float, target: Array, sigma: Array | None, rows: Array | None
    ) -> tuple[Array, Array]:
        """Return targets with 0 for NaN, and their weights with 0 there; a missing sigma counts as 1.

        `rows` are the row weights; an entry of weight 0 counts as not observed.
        """
        often = np.ones(1) if rows is None else _along_rows(rows, target.ndim)
        seen = ~np.isnan(target) & (often > 0)
        with np.errstate(all="ignore"):  # the loss will then be inf
            weight = np.where(seen, factor * often, 0.0)
            if sigma is not None:
                weight /= np.where(np.isnan(sigma), 1.0, sigma * sigma)
        return np.where(seen, target, 0.0), weight


def _along_rows(weights: Array, ndim: int) -> Array:
    """Reshape row weights (n,) to `ndim` axes, to broadcast against an array with rows first."""
    return weights.reshape(-1, *[1] * (ndim - 1))
