"""Kernels of a network's polynomial trend: its terms' jets, what they add to the outputs, and gradients.

The terms follow from each other by the steps of `network.trend.Recurrence`. A table (1 + m, d + steps, rows)
holds the jets of the scaled inputs and of each step. Without a trend, all of this does nothing.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from swarmnet.network.network import Network
from swarmnet.objective.kernels.compiling import kernel

Array = NDArray[Any]


class Terms(NamedTuple):
    """The arrays of a trend, as kernels take them.

    Args:
        rows: (steps, 3) as in `Recurrence`.
        factors: (steps, 2) as in `Recurrence`.
        terms: (terms,) as in `Recurrence`; empty without a trend.
        centre: (d,) as in `Trend`.
        scale: (d,) 1 / half of `Trend`.
    """

    rows: Array
    factors: Array
    terms: Array
    centre: Array
    scale: Array


def arrays_of(net: Network, dtype: Any) -> Terms:
    """Return the arrays of a network's trend; they are empty if it has none."""
    if net.trend is None:
        none = np.zeros(0, np.int64)
        return Terms(
            none.reshape(0, 3), np.zeros((0, 2), dtype), none, np.zeros(0, dtype), np.zeros(0, dtype)
        )
    trend, steps = net.trend, net.trend.recurrence
    floats = (np.array(array, dtype) for array in (trend.centre, 1.0 / trend.half))
    return Terms(steps.rows, steps.factors.astype(dtype), steps.terms, *floats)


@kernel
def table_of(trend, parts, rows):
    """Return memory for the jets of all steps."""
    return np.empty((parts, len(trend.centre) + len(trend.rows), rows), trend.factors.dtype)


@kernel
def end_of_layers(theta, trend, k):
    """Return the position in theta where the layers end and the trend's coefficients begin."""
    return len(theta) - len(trend.terms) * k


@kernel
def coefficients_of(theta, trend, k):
    """Return the trend's coefficients (terms, k)."""
    return theta[end_of_layers(theta, trend, k) :].reshape(len(trend.terms), k)


@kernel
def compute_terms(trend, inputs, table):
    """Write the jets of all steps to the table, for inputs (1 + m, d, rows)."""
    d, parts, rows = len(trend.centre), table.shape[0], table.shape[2]
    for j in range(d):
        shift, scale = trend.centre[j], trend.scale[j]
        for r in range(rows):
            table[0, j, r] = (inputs[0, j, r] - shift) * scale
        for part in range(1, parts):
            for r in range(rows):
                table[part, j, r] = inputs[part, j, r] * scale
    for step in range(len(trend.rows)):
        a, b, c = trend.rows[step, 0], trend.rows[step, 1], trend.rows[step, 2]
        factor, share = trend.factors[step, 0], trend.factors[step, 1]
        out, x, y = table[0, d + step], table[0, a], table[0, b]
        if c < 0:
            for r in range(rows):
                out[r] = factor * x[r] * y[r] - share
        else:
            below = table[0, c]
            for r in range(rows):
                out[r] = factor * x[r] * y[r] - share * below[r]
        for part in range(1, parts):
            out, u, v = table[part, d + step], table[part, a], table[part, b]
            for r in range(rows):
                out[r] = factor * (u[r] * y[r] + x[r] * v[r])
            if c >= 0:
                below = table[part, c]
                for r in range(rows):
                    out[r] -= share * below[r]


@kernel
def add_terms(theta, trend, table, first, jets):
    """Add the trend to the outputs' jets (1 + m, k, rows), from part `first` on."""
    k = jets.shape[1]
    C = coefficients_of(theta, trend, k)
    for part in range(first, jets.shape[0]):
        for t in range(len(trend.terms)):
            phi = table[part, trend.terms[t]]
            for o in range(k):
                y, factor = jets[part, o], C[t, o]
                for r in range(len(y)):
                    y[r] += factor * phi[r]


@kernel
def add_term_gradient(trend, table, cotangents, gradient):
    """Add the coefficients' gradient, from cotangents (1 + m, k, rows) of the outputs, to gradient (p,)."""
    k = cotangents.shape[1]
    start = len(gradient) - len(trend.terms) * k
    for t in range(len(trend.terms)):
        for o in range(k):
            found = gradient[start + t * k + o]
            for part in range(cotangents.shape[0]):
                phi, bar = table[part, trend.terms[t]], cotangents[part, o]
                for r in range(len(phi)):
                    found += phi[r] * bar[r]
            gradient[start + t * k + o] = found


@kernel
def write_term_gradients(trend, table, cotangents, J, at):
    """Write each entry's gradient by the coefficients to J (p, ...) from column `at` on."""
    parts, k, rows = cotangents.shape
    start = J.shape[0] - len(trend.terms) * k
    for t in range(len(trend.terms)):
        phi = table[parts - 1, trend.terms[t]]
        for o in range(k):
            g, bar = J[start + t * k + o, at : at + rows], cotangents[parts - 1, o]
            for r in range(rows):
                g[r] = phi[r] * bar[r]


@kernel
def add_pulled_terms(theta, trend, table, k, output, bars, G):
    """Add the gradient of the trend of an output by the inputs to G (d, rows).

    bars (d + steps, rows) is overwritten by the cotangents of all steps.
    """
    if len(trend.terms) == 0:
        return
    d, rows, C = G.shape[0], G.shape[1], coefficients_of(theta, trend, k)
    bars[:] = 0.0
    for t in range(len(trend.terms)):
        bar, factor = bars[trend.terms[t]], C[t, output]
        for r in range(rows):
            bar[r] += factor
    for back in range(len(trend.rows)):
        step = len(trend.rows) - 1 - back
        a, b, c = trend.rows[step, 0], trend.rows[step, 1], trend.rows[step, 2]
        factor, share = trend.factors[step, 0], trend.factors[step, 1]
        bar, x, y, x_bar, y_bar = bars[d + step], table[0, a], table[0, b], bars[a], bars[b]
        for r in range(rows):
            x_bar[r] += factor * y[r] * bar[r]
            y_bar[r] += factor * x[r] * bar[r]
        if c >= 0:
            below = bars[c]
            for r in range(rows):
                below[r] -= share * bar[r]
    for j in range(d):
        g, bar, scale = G[j], bars[j], trend.scale[j]
        for r in range(rows):
            g[r] += scale * bar[r]


@kernel
def compute_bends(trend, table, first, second, bends):
    """Write all steps' second derivatives along two tangents of the table to bends (d + steps, rows)."""
    d, rows = len(trend.centre), table.shape[2]
    bends[:d] = 0.0
    for step in range(len(trend.rows)):
        a, b, c = trend.rows[step, 0], trend.rows[step, 1], trend.rows[step, 2]
        factor, share = trend.factors[step, 0], trend.factors[step, 1]
        out, x, y, x_bend, y_bend = bends[d + step], table[0, a], table[0, b], bends[a], bends[b]
        x1, x2, y1, y2 = table[1 + first, a], table[1 + second, a], table[1 + first, b], table[1 + second, b]
        for r in range(rows):
            both = x_bend[r] * y[r] + x[r] * y_bend[r] + x1[r] * y2[r] + x2[r] * y1[r]
            out[r] = factor * both
        if c >= 0:
            below = bends[c]
            for r in range(rows):
                out[r] -= share * below[r]


@kernel
def add_term_bends(theta, trend, table, k, output, first, second, bends, H):
    """Add the trend's second derivative of an output along two inputs to H (rows,).

    The table holds the tangents along all inputs; bends (d + steps, rows) is overwritten.
    """
    compute_bends(trend, table, first, second, bends)
    C = coefficients_of(theta, trend, k)
    for t in range(len(trend.terms)):
        phi, factor = bends[trend.terms[t]], C[t, output]
        for r in range(len(H)):
            H[r] += factor * phi[r]
