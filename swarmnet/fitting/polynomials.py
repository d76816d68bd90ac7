"""The polynomial terms for some data: those of a network's trend, and those tried as models of their own."""

from collections.abc import Iterator, Sequence
from math import comb

from swarmnet.data.dataset import Dataset
from swarmnet.errors import SwarmnetError
from swarmnet.fitting.options import FitOptions
from swarmnet.network.network import Network
from swarmnet.network.trend import MOST_DEGREE, Powers, Trend, hyperbolic_cross, total_degree
from swarmnet.scaling import Scaling
from swarmnet.trainers.linear_evidence import MOST_NUMBERS

_MOST_TERMS = 500  # terms times outputs: QR of as many columns takes a second for ten estimates
_MOST_BENT = 800  # the same with second derivatives, which tell more at each point: degree 4 of nine inputs
_MOST_PER_ENTRY = 2  # terms for each entry: priors decide between more terms than entries
# Mean distances between rows along an input, by which the range of the terms is wider than that of the rows.
# Beyond their range, terms of high degree explode. Of 40 random points, others of the same distribution are
# beyond at 1 of 20: with noise of 5 % errors there were up to 1e10, and are 0.04 with this and `evidence`.
_MARGIN = 3.0
_LEVELS = (3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 28, 33, 39, 46, 55)  # each about a fifth more


def trend_for(data: Dataset, degree: int, options: FitOptions, least: int = 1) -> Trend | None:
    """Return the trend of a degree for the data, with terms of degree `least` or more; None without any.

    Raises:
        SwarmnetError: there are more terms than entries, or the degree is too high.
    """
    if degree > MOST_DEGREE:
        raise SwarmnetError(f"degree must be at most {MOST_DEGREE}, not {degree}")
    is_small = _count(data.d, degree) * data.k <= data.n_entries
    powers = total_degree(data.d, degree) if is_small else hyperbolic_cross(data.d, degree)
    if (len(powers) + 1) * data.k > data.n_entries and degree > 1:
        raise SwarmnetError(
            f"a polynomial of degree {degree} has {len(powers) + 1} terms, which are too many for "
            f"{data.n_entries} entries: choose a lower degree"
        )
    return _trend(powers, data, options, least)


def polynomials(data: Dataset, options: FitOptions) -> list[Network]:
    """Return the polynomials to try as models of their own, by number of terms.

    There are none for data in files, nor for so many entries that few terms would take long. With nonlinear
    quantities they are of rising total degree, so that each contains the one before, with no more terms than
    entries.
    """
    if data.in_memory is None:
        return []
    terms = _MOST_BENT if data.in_memory.n_quantities else _MOST_TERMS
    most = int(min(terms, _MOST_PER_ENTRY * data.n_entries, MOST_NUMBERS / data.n_entries) / data.k)
    if not all(quantity.is_linear for quantity in data.quantities):
        found = list(_total_degrees(data.d, int(min(most, data.n_entries / data.k)), 2))
    else:
        sets = {frozenset(powers): powers for powers in _sets(data.d, most)}
        found = sorted(sets.values(), key=len)
    return [Network((data.d, data.k), trend=_trend(powers, data, options, 2)) for powers in found]


def _total_degrees(d: int, most: int, least: int) -> Iterator[list[Powers]]:
    """Yield all terms of d inputs up to each total degree from `least`, at most so many with the constant."""
    degrees = range(least, MOST_DEGREE + 1)
    yield from (total_degree(d, degree) for degree in degrees if _count(d, degree) <= most)


def _sets(d: int, most: int) -> Iterator[list[Powers]]:
    """Yield sets of terms of d inputs with at most so many terms, counting the constant."""
    yield from _total_degrees(d, most, 1)
    for level in _LEVELS if d > 1 else ():
        powers = hyperbolic_cross(d, level)
        if len(powers) + 1 > most:
            return
        yield powers


def _count(d: int, degree: int) -> int:
    """Return the number of terms up to a total degree, with the constant."""
    return comb(d + degree, degree)


def _trend(powers: Sequence[Powers], data: Dataset, options: FitOptions, least: int) -> Trend | None:
    kept = [term for term in powers if sum(term) >= least]
    if not kept:
        return None
    rows = data.statistics.rows
    margin = _MARGIN / (data.n + 1) * (rows.high - rows.low)
    scaling = Scaling.of(data.statistics, options.scaling, outputs=False)
    edges = rows.low - margin, rows.high + margin
    return Trend.of_powers(kept, *(scaling.scale_X(edge[None])[0] for edge in edges))
