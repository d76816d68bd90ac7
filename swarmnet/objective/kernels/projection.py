"""Kernel of the sums that determine the best linear output layer (variable projection)."""

import math

import numpy as np

from swarmnet.objective.kernels.compiling import kernel
from swarmnet.objective.kernels.jets import forward, outer_product
from swarmnet.objective.kernels.trends import compute_terms, table_of


@kernel
def gram_sums(
    swarm, first, last, sizes, acts, trend, chunks, inputs, target, weight, memory, out
):  # fmt: skip
    """Add the sums [Phi w Phi' | Phi w t'] over some chunks to out[s, o] (units, units + targets).

    Phi (units, rows) are the last hidden activations of particle s, 1 and the trend's terms, or the tangents
    of all of these. If out[s]
    has a Gram matrix for each output, each has its own weights w and one target. If it has only one, all
    outputs have the first one's weights, and each output is a target.

    The memory is that of `jets.forward`. The sums are float64.
    """
    hidden, parts, rows = len(acts) - 1, inputs.shape[1], inputs.shape[3]
    grams, units = out.shape[1], out.shape[2]
    targets, one, terms = out.shape[3] - units, sizes[hidden], trend.terms
    table = table_of(trend, parts, rows)
    features, product = np.empty((units + targets, rows)), np.empty((units, units + targets))
    for s in range(first, last):
        theta = swarm[s]
        for chunk in range(chunks[0], chunks[1]):
            jets = forward(theta, sizes, acts, hidden, inputs[chunk], memory)
            compute_terms(trend, inputs[chunk], table)
            for part in range(parts):
                constant = 1.0 if part == 0 else 0.0
                for o in range(grams):
                    w = weight[chunk, part, o]
                    root = features[one]
                    for r in range(rows):
                        root[r] = math.sqrt(w[r])
                    for i in range(one):
                        phi, a = features[i], jets[part, i]
                        for r in range(rows):
                            phi[r] = a[r] * root[r]
                    for t in range(len(terms)):
                        phi, a = features[one + 1 + t], table[part, terms[t]]
                        for r in range(rows):
                            phi[r] = a[r] * root[r]
                    for q in range(targets):
                        t, y = features[units + q], target[chunk, part, o + q]
                        for r in range(rows):
                            t[r] = y[r] * root[r]
                    for r in range(rows):
                        root[r] *= constant
                    outer_product(features[:units], features, product)
                    out[s, o] += product
