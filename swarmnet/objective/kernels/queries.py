"""Kernels of a network's outputs, Jacobians and Hessians at many points."""

import numpy as np

from swarmnet.objective.kernels.compiling import kernel
from swarmnet.objective.kernels.jets import (
    add_bias,
    backward_product,
    block,
    forward,
    forward_products,
    layer_weights,
    multiply,
    pull_back,
    pull_slopes,
)
from swarmnet.objective.kernels.layer_activations import CURVATURE, activate
from swarmnet.objective.kernels.trends import (
    add_term_bends,
    add_terms,
    compute_terms,
    end_of_layers,
    table_of,
)

# Rows in a pass. At 10,000 rows, with two layers of 8 or 24 units, values and partials take 1.1 to 1.2 times
# as long with 64, and 0.91 to 1.00 times with 256; memory grows with it.
AT_A_TIME = 128


@kernel
def outputs(theta, sizes, acts, trend, X, first, last, memory, out):
    """Write Y (n, k) at rows first to last of X (n, d) to out.

    memory (5, AT_A_TIME x units of all layers, including inputs).
    """
    layers, d, start = len(acts), X.shape[1], first
    while start < last:
        rows = min(AT_A_TIME, last - start)
        points = block(memory[3], 1, d, rows)
        points[0] = X[start : start + rows].T
        found, table = forward(theta, sizes, acts, layers, points, memory), table_of(trend, 1, rows)
        compute_terms(trend, points, table)
        add_terms(theta, trend, table, 0, found)
        out[start : start + rows] = found[0].T
        start += rows


@kernel
def jacobians(theta, sizes, acts, trend, X, first, last, offsets, memory, out):
    """Write J (n, k, d) at rows first to last of X (n, d) to out; memory as for `outputs`."""
    layers, d, k, start = len(acts), X.shape[1], out.shape[1], first
    slopes = memory[2]
    while start < last:
        rows = min(AT_A_TIME, last - start)
        below, begin = block(memory[3], 1, d, rows), 0
        below[0] = X[start : start + rows].T
        table, bars = table_of(trend, 1, rows), table_of(trend, 1, rows)[0]
        compute_terms(trend, below, table)
        for layer in range(layers):
            above = block(memory[layer % 2], 1, sizes[layer + 1], rows)
            own = block(slopes[offsets[layer] * rows :], 1, sizes[layer + 1], rows)[0]
            pull_slopes(theta, begin, acts[layer], below, above, own)
            begin += (sizes[layer] + 1) * sizes[layer + 1]
            below = above
        for output in range(k):
            G = pull_back(theta, sizes, acts, trend, table, output, slopes, offsets, memory[3:5], bars, rows)
            out[start : start + rows, output] = G.T
        start += rows


@kernel
def add_bends(C, G, U, first, second, out):
    """out (rows,) += sum over units of f'' G U_first U_second; C and G (units, rows), U (d, units, rows)."""
    for j in range(C.shape[0]):
        c, g, u, v = C[j], G[j], U[first, j], U[second, j]
        for r in range(len(out)):
            out[r] += c[r] * g[r] * u[r] * v[r]


@kernel
def hessians(theta, sizes, acts, trend, X, first, last, offsets, memory, out):
    """Write H (n, k, d, d) at rows first to last of X (n, d) to out.

    H_o = sum over layers and units u of (dY_o/da_u) f''(z_u) grad z_u grad z_u^T: tangents along all inputs,
    and one pullback per output. memory (5, (1 + d) x AT_A_TIME x units of all layers).
    """
    layers, d, k, start, S, C = len(acts), X.shape[1], out.shape[1], first, memory[2], memory[3]
    while start < last:
        rows = min(AT_A_TIME, last - start)
        below, begin = block(memory[0], 1 + d, d, rows), 0
        below[0] = X[start : start + rows].T
        below[1:] = 0.0
        for i in range(d):
            below[1 + i, i] = 1.0
        table, bends = table_of(trend, 1 + d, rows), table_of(trend, 1, rows)[0]
        compute_terms(trend, below, table)
        for layer in range(layers):
            fan_out, at = sizes[layer + 1], offsets[layer] * rows
            above = block(memory[(layer + 1) % 2], 1 + d, fan_out, rows)
            slopes, curvatures = block(S[at:], 1, fan_out, rows)[0], block(C[at:], 1, fan_out, rows)[0]
            bent = block(memory[4][d * at :], d, fan_out, rows)
            b = forward_products(theta, begin, below, above)
            bent[:] = above[1:]
            if acts[layer] == 0:
                add_bias(above[0], b)
            else:
                activate(acts[layer], CURVATURE, above[0], b, slopes, curvatures)
                for part in range(1, 1 + d):
                    multiply(above[part], slopes)
            begin += (sizes[layer] + 1) * fan_out
            below = above
        for output in range(k):
            H = np.zeros((d, d, rows))
            G = block(memory[0], 1, k, rows)[0]
            G[:] = 0.0
            G[output] = 1.0
            end = end_of_layers(theta, trend, k)
            for index in range(layers):
                layer = layers - 1 - index
                fan_in, fan_out, at = sizes[layer], sizes[layer + 1], offsets[layer] * rows
                end -= (fan_in + 1) * fan_out
                if acts[layer] != 0:
                    U = block(memory[4][d * at :], d, fan_out, rows)
                    curvatures = block(C[at:], 1, fan_out, rows)[0]
                    for i in range(d):
                        for j in range(i + 1):
                            add_bends(curvatures, G, U, i, j, H[i, j])
                    multiply(G, block(S[at:], 1, fan_out, rows)[0])
                if layer > 0:
                    W, _ = layer_weights(theta, end, fan_in, fan_out)
                    pulled = block(memory[(index + 1) % 2], 1, fan_in, rows)[0]
                    backward_product(W, G, pulled)
                    G = pulled
            for i in range(d):
                for j in range(i + 1):
                    if len(trend.terms):
                        add_term_bends(theta, trend, table, k, output, i, j, bends, H[i, j])
                    out[start : start + rows, output, i, j] = H[i, j]
                    out[start : start + rows, output, j, i] = H[i, j]
        start += rows
