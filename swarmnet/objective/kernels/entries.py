"""Kernels of single entries: residuals, and the gradient of each.

An entry is one number of one row: the value of an output, or its derivative along one input or two (see
`row_chunks.Entries`, whose columns are the arguments). Each entry is its own jet, without a tangent if it is
a value and with one if it is a partial. The jet of a second partial has three parts besides the value, see
`second_jets`. They are computed in blocks of one kind: values first, then partials, then second partials.
"""

import math

from swarmnet.objective.kernels.compiling import kernel
from swarmnet.objective.kernels.jets import block, forward, forward_kept, push, push_products
from swarmnet.objective.kernels.second_jets import forward_second, forward_second_kept, push_second
from swarmnet.objective.kernels.trends import (
    add_terms,
    compute_bends,
    compute_terms,
    end_of_layers,
    table_of,
    write_term_gradients,
)

# Entries in a pass. At 10,000 rows, with two layers of 8 or 24 units, squares of residuals take 1.1 to 1.2
# times as long with 64, and 0.94 to 1.01 times with 256; memory grows with it.
AT_A_TIME = 128


@kernel
def parts_of(along, second):
    """Return the number of parts of an entry's jet."""
    if along < 0:
        return 1
    return 2 if second < 0 else 4


@kernel
def gather(X, row, along, second, points):
    """Write the entries' jets of the inputs to points (parts, d, entries)."""
    for i in range(X.shape[1]):
        x = points[0, i]
        for r in range(len(row)):
            x[r] = X[row[r], i]
    points[1:] = 0.0
    if points.shape[0] > 1:
        for r in range(len(row)):
            points[1, along[r], r] = 1.0
    if points.shape[0] == 4:
        for r in range(len(row)):
            points[2, second[r], r] = 1.0


@kernel
def end_of_kind(along, start, last):
    """Return the end of the block of entries from `start` that all have an input, or all have none."""
    stop = start + 1
    while stop < min(last, start + AT_A_TIME) and (along[stop] < 0) == (along[start] < 0):
        stop += 1
    return stop


@kernel
def compute_table(trend, points):
    """Return the jets of all steps of the trend."""
    table = table_of(trend, points.shape[0], points.shape[2])
    compute_terms(trend, points, table)
    if points.shape[0] == 4:
        compute_bends(trend, table, 0, 1, table[3])
    return table


@kernel
def residuals_of_entries(
    theta, sizes, acts, trend, X, row, output, along, second, target, weight, group, first, last, memory, r
):  # fmt: skip
    """Write the residuals sqrt(weight) (prediction - target) of entries first to last to r (entries,).

    memory (4, 2 x AT_A_TIME x units of the widest layer, including inputs), or twice that if there are second
    partials.
    """
    layers, d, start = len(acts), X.shape[1], first
    while start < last:
        stop = min(end_of_kind(along, start, last), end_of_kind(second, start, last))
        parts, rows = parts_of(along[start], second[start]), stop - start
        points = block(memory[3], parts, d, rows)
        gather(X, row[start:stop], along[start:stop], second[start:stop], points)
        if parts == 4:
            jets = forward_second(theta, sizes, acts, points, memory)
        else:
            jets = forward(theta, sizes, acts, layers, points, memory)
        add_terms(theta, trend, compute_table(trend, points), parts - 1, jets)
        for e in range(rows):
            n = start + e
            r[n - first] = math.sqrt(weight[n]) * (jets[parts - 1, output[n], e] - target[n])
        start = stop


@kernel
def write_gradients(start, inputs, bars, J, at):
    """Write each entry's gradient by a layer's W and b to J (p, ...) from column `at` on."""
    parts, fan_in, fan_out, rows = inputs.shape[0], inputs.shape[1], bars.shape[1], bars.shape[2]
    for i in range(fan_in):
        for o in range(fan_out):
            g, a, z = J[start + i * fan_out + o, at : at + rows], inputs[0, i], bars[0, o]
            for r in range(rows):
                g[r] = a[r] * z[r]
            for part in range(1, parts):
                t, u = inputs[part, i], bars[part, o]
                for r in range(rows):
                    g[r] += t[r] * u[r]
    bias = start + fan_in * fan_out
    for o in range(fan_out):
        g, z = J[bias + o, at : at + rows], bars[0, o]
        for r in range(rows):
            g[r] = z[r]


@kernel
def entry_gradients(
    theta, sizes, acts, trend, X, row, output, along, second, target, weight, group, first, last,
    root, offsets, memory, r, J,
):  # fmt: skip
    """Write the residuals sqrt(weight) (prediction - target) of entries first to last to r (entries,).

    Their gradients, each times its group's `root`, are written to J (p, entries). memory (7, 2 x AT_A_TIME x
    units of all layers, including inputs), or twice that if there are second partials.
    """
    layers, d, start = len(acts), X.shape[1], first
    while start < last:
        stop = min(end_of_kind(along, start, last), end_of_kind(second, start, last))
        parts, rows = parts_of(along[start], second[start]), stop - start
        points = block(memory[6], parts, d, rows)
        gather(X, row[start:stop], along[start:stop], second[start:stop], points)
        A, S, C, B = memory[0], memory[1], memory[2], memory[3]
        if parts == 4:
            jets = forward_second_kept(theta, sizes, acts, points, offsets, A, S, C, B)
        else:
            jets = forward_kept(theta, sizes, acts, points, offsets, A, S, C, B)
        table, begin = compute_table(trend, points), end_of_layers(theta, trend, sizes[layers])
        add_terms(theta, trend, table, parts - 1, jets)
        bars = block(memory[4], parts, sizes[layers], rows)
        bars[:] = 0.0
        for e in range(rows):
            n = start + e
            sigma = math.sqrt(weight[n])
            r[n - first] = sigma * (jets[parts - 1, output[n], e] - target[n])
            bars[parts - 1, output[n], e] = sigma * root[group[n]]
        write_term_gradients(trend, table, bars, J, start - first)
        for index in range(layers):
            layer = layers - 1 - index
            fan_in, fan_out = sizes[layer], sizes[layer + 1]
            begin -= (fan_in + 1) * fan_out
            at = offsets[layer] * rows
            bent = block(B[(parts - 1) * at :], parts - 1, fan_out, rows)
            slopes = block(S[at:], 1, fan_out, rows)[0]
            if parts == 4:
                push_second(acts[layer], slopes, bent, bars)
            else:
                push(acts[layer], slopes, bent, bars, True)
            if layer == 0:
                write_gradients(begin, points, bars, J, start - first)
            else:
                below = block(A[parts * offsets[layer - 1] * rows :], parts, fan_in, rows)
                write_gradients(begin, below, bars, J, start - first)
                next_bars = block(memory[4 + (index + 1) % 2], parts, fan_in, rows)
                push_products(theta, begin, bars, next_bars)
                bars = next_bars
        start = stop
