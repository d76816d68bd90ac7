"""Kernels of a network's outputs and their Jacobian at many points."""

import numpy as np

from swarmnet.kernels.activate import activate
from swarmnet.kernels.compiling import kernel
from swarmnet.kernels.jets import add_bias, block, layer_weights, pull_back, pull_jets

AT_A_TIME = 128


@kernel
def outputs(theta, sizes, acts, X, first, last, memory, out):
    """Y (n, k) at rows first to last of X (n, d), in out.

    memory (5, rows at a time x units of all layers, inputs included).
    """
    layers, d, start = len(acts), X.shape[1], first
    while start < last:
        rows = min(AT_A_TIME, last - start)
        jets, begin = block(memory[3], 1, d, rows), 0
        jets[0] = X[start : start + rows].T
        for layer in range(layers):
            above = block(memory[layer % 2], 1, sizes[layer + 1], rows)
            pull_jets(theta, begin, acts[layer], jets, above, block(memory[2], 1, sizes[layer + 1], rows)[0])
            begin += (sizes[layer] + 1) * sizes[layer + 1]
            jets = above
        out[start : start + rows] = jets[0].T
        start += rows


@kernel
def jacobians(theta, sizes, acts, X, first, last, offsets, memory, out):
    """J (n, k, d) at rows first to last of X (n, d), in out; memory as for `outputs`."""
    layers, d, k, start = len(acts), X.shape[1], out.shape[1], first
    slopes = memory[2]
    while start < last:
        rows = min(AT_A_TIME, last - start)
        below, begin = block(memory[3], 1, d, rows)[0], 0
        below[:] = X[start : start + rows].T
        for layer in range(layers):
            W, b = layer_weights(theta, begin, sizes[layer], sizes[layer + 1])
            above = block(memory[layer % 2], 1, sizes[layer + 1], rows)[0]
            np.dot(W.T, below, above)
            if acts[layer] == 0:
                add_bias(above, b)
            else:
                own = block(slopes[offsets[layer] * rows :], 1, sizes[layer + 1], rows)[0]
                activate(acts[layer], 1, above, b, own, own)
            begin += (sizes[layer] + 1) * sizes[layer + 1]
            below = above
        for output in range(k):
            G = pull_back(theta, sizes, acts, output, slopes, offsets, memory[3:5], rows)
            out[start : start + rows, output] = G.T
        start += rows
