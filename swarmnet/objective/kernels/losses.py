"""Kernels of the loss of many particles, and of the loss with its gradient at one.

Each is computed over some chunks of rows. Rows with few partials are jets: `inputs` (chunks, 1 + m, d, rows),
`target` and `weight` (chunks, 1 + m, k, rows) of values and tangents, with weight 0 where not observed. Rows
with many partials have m = 0 there, and the partials in `J` and `J_weight` (chunks, k, d, rows). Their
gradients of each output are computed by a pullback, for all inputs at once, and the loss's gradient by a
tangent along the residuals.
"""

import math

import numpy as np

from swarmnet.objective.kernels.compiling import inlined, kernel
from swarmnet.objective.kernels.jets import (
    add_weight_gradient,
    block,
    forward,
    forward_kept,
    forward_product,
    forward_products,
    layer_weights,
    multiply,
    pull_back,
    pull_jets,
    pull_kept,
    pull_slopes,
    pull_tangent,
    push,
    push_products,
)
from swarmnet.objective.kernels.trends import (
    add_term_gradient,
    add_terms,
    compute_terms,
    end_of_layers,
    table_of,
)
from swarmnet.objective.value_losses import CROSS_ENTROPY, SQUARED


@kernel
def add_squares(predicted, target, weight, total):
    """total (rows,) += weight (predicted - target)^2, summed over units; the others are (units, rows)."""
    for o in range(target.shape[0]):
        y, t, w = predicted[o], target[o], weight[o]
        for r in range(len(total)):
            e = y[r] - t[r]
            total[r] += w[r] * e * e


@inlined
def cross_entropy(z, target):
    """Return the cross-entropy of sigmoid(z) and a target from 0 to 1."""
    return max(z, 0.0) + math.log1p(math.exp(-abs(z))) - target * z


@kernel
def add_cross_entropies(theta, start, inputs, out, target, weight, total):
    """total (rows,) += weight times the cross-entropies of sigmoid(z); out (1, k, rows) is overwritten."""
    b = forward_products(theta, start, inputs[:1], out)
    for o in range(target.shape[0]):
        for r in range(len(total)):
            total[r] += weight[o, r] * cross_entropy(out[0, o, r] + b[o], target[o, r])


@kernel
def total_of(terms):
    total = 0.0
    for r in range(len(terms)):
        total += terms[r]
    return total


@kernel
def jet_losses(swarm, first, last, sizes, acts, trend, loss, chunks, inputs, target, weight, memory, out):
    """out[s] = the sum over chunks[0] to chunks[1] (exclusive) for particles s, first to last, of swarm (s,
    p).

    The memory is that of `jets.forward`.
    """
    layers, parts, rows, k = len(acts), inputs.shape[1], inputs.shape[3], sizes[-1]
    start = end_of_layers(swarm[first], trend, k) - (sizes[layers - 1] + 1) * k
    terms, table = np.empty(rows), table_of(trend, parts, rows)
    for s in range(first, last):
        theta = swarm[s]
        terms[:] = 0.0
        for chunk in range(chunks[0], chunks[1]):
            below = forward(theta, sizes, acts, layers - 1, inputs[chunk], memory)
            jets = block(memory[(layers - 1) % 2], parts, k, rows)
            if loss == CROSS_ENTROPY:
                add_cross_entropies(theta, start, below, jets[:1], target[chunk, 0], weight[chunk, 0], terms)
            pull_jets(theta, start, acts[layers - 1], below, jets, block(memory[2], 1, k, rows)[0])
            compute_terms(trend, inputs[chunk], table)
            add_terms(theta, trend, table, 0, jets)
            if loss == SQUARED:
                add_squares(jets[0], target[chunk, 0], weight[chunk, 0], terms)
            for part in range(1, parts):
                add_squares(jets[part], target[chunk, part], weight[chunk, part], terms)
        out[s] = total_of(terms)


@kernel
def gradient_losses(
    swarm, first, last, sizes, acts, trend, loss, chunks, inputs, target, weight,
    J, J_weight, outputs, offsets, memory, out,
):  # fmt: skip
    """The same as `jet_losses` for rows with many partials; `outputs` are the outputs that have any.

    memory (5, rows x units of all layers): two layers' values, all slopes (a layer's begin at
    offsets[layer] * rows), and two layers' pullbacks.
    """
    layers, rows = len(acts), inputs.shape[3]
    S, terms = memory[2], np.empty(rows)
    table, bars = table_of(trend, 1, rows), table_of(trend, 1, rows)[0]
    for s in range(first, last):
        theta = swarm[s]
        terms[:] = 0.0
        for chunk in range(chunks[0], chunks[1]):
            jets, start = inputs[chunk], 0
            for layer in range(layers):
                fan_out = sizes[layer + 1]
                out_jets = block(memory[layer % 2], 1, fan_out, rows)
                slopes = block(S[offsets[layer] * rows :], 1, fan_out, rows)[0]
                if layer == layers - 1 and loss == CROSS_ENTROPY:
                    add_cross_entropies(
                        theta, start, jets, out_jets, target[chunk, 0], weight[chunk, 0], terms
                    )
                pull_slopes(theta, start, acts[layer], jets, out_jets, slopes)
                start += (sizes[layer] + 1) * fan_out
                jets = out_jets
            compute_terms(trend, inputs[chunk], table)
            add_terms(theta, trend, table, 0, jets)
            if loss == SQUARED:
                add_squares(jets[0], target[chunk, 0], weight[chunk, 0], terms)
            for output in outputs:
                G = pull_back(theta, sizes, acts, trend, table, output, S, offsets, memory[3:5], bars, rows)
                add_squares(G, J[chunk, output], J_weight[chunk, output], terms)
        out[s] = total_of(terms)


@kernel
def cotangents_of(predicted, target, weight, out):
    """out <- weight (predicted - target), (units, rows); return the sum of weight (predicted - target)^2."""
    total = 0.0
    for o in range(target.shape[0]):
        y, t, w, c = predicted[o], target[o], weight[o], out[o]
        for r in range(len(y)):
            c[r] = w[r] * (y[r] - t[r])
        for r in range(len(y)):
            total += c[r] * (y[r] - t[r])
    return total


@kernel
def value_cotangents(theta, start, act, loss, inputs, predicted, slopes, target, weight, out):
    """Write half the gradient of the values' loss by the last z to out; return the loss."""
    if loss == SQUARED:
        total = cotangents_of(predicted, target, weight, out)
        if act != 0:
            multiply(out, slopes)
        return total
    total = 0.0
    W, b = layer_weights(theta, start, inputs.shape[0], predicted.shape[0])
    forward_product(W, inputs, out)
    for o in range(out.shape[0]):
        for r in range(out.shape[1]):
            total += weight[o, r] * cross_entropy(out[o, r] + b[o], target[o, r])
            out[o, r] = 0.5 * weight[o, r] * (predicted[o, r] - target[o, r])
    return total


@kernel
def back(theta, sizes, acts, trend, table, inputs, A, S, B, offsets, cotangent, product, gradient):
    """Add the gradient from the cotangents of the last z and u, at the beginning of cotangent[0]."""
    layers, parts, rows = len(acts), inputs.shape[0], inputs.shape[2]
    start = end_of_layers(theta, trend, sizes[layers])
    bars = block(cotangent[0], parts, sizes[layers], rows)
    add_term_gradient(trend, table, bars, gradient)
    for index in range(layers):
        layer = layers - 1 - index
        fan_in, fan_out = sizes[layer], sizes[layer + 1]
        start -= (fan_in + 1) * fan_out
        if layer == 0:
            add_weight_gradient(start, inputs, bars, product, gradient)
            return
        below = block(A[parts * offsets[layer - 1] * rows :], parts, fan_in, rows)
        add_weight_gradient(start, below, bars, product, gradient)
        next_bars = block(cotangent[(index + 1) % 2], parts, fan_in, rows)
        push_products(theta, start, bars, next_bars)
        slopes = block(S[offsets[layer - 1] * rows :], 1, fan_in, rows)[0]
        bent = block(B[(parts - 1) * offsets[layer - 1] * rows :], parts - 1, fan_in, rows)
        push(acts[layer - 1], slopes, bent, next_bars, True)
        bars = next_bars


@kernel
def jet_gradient(
    theta, sizes, acts, trend, loss, chunks, inputs, target, weight, offsets, memory, gradient
):  # fmt: skip
    """Add half the gradient of the sum over chunks[0] to chunks[1] to gradient (p,); return the sum.

    memory (10, parts x rows x units of all layers, or a layer's number of weights if larger): all layers'
    jets A, slopes S, curvatures C, B = f'' u, two layers' cotangents, and a layer's gradient.
    """
    parts, rows, last, k = inputs.shape[1], inputs.shape[3], len(acts) - 1, sizes[-1]
    A, S, C, B, cotangent, product = memory[0], memory[1], memory[2], memory[3], memory[4:6], memory[6]
    start, at = end_of_layers(theta, trend, k) - (sizes[last] + 1) * k, offsets[last] * rows
    table, total = table_of(trend, parts, rows), 0.0
    for chunk in range(chunks[0], chunks[1]):
        jets, below = forward_kept(theta, sizes, acts, inputs[chunk], offsets, A, S, C, B), inputs[chunk]
        if last > 0:
            below = block(A[parts * offsets[last - 1] * rows :], parts, sizes[last], rows)
        compute_terms(trend, inputs[chunk], table)
        add_terms(theta, trend, table, 0, jets)
        slopes = block(S[at:], 1, k, rows)[0]
        bent = block(B[(parts - 1) * at :], parts - 1, k, rows)
        bars = block(cotangent[0], parts, k, rows)
        total += value_cotangents(
            theta,
            start,
            acts[last],
            loss,
            below[0],
            jets[0],
            slopes,
            target[chunk, 0],
            weight[chunk, 0],
            bars[0],
        )
        for part in range(1, parts):
            total += cotangents_of(jets[part], target[chunk, part], weight[chunk, part], bars[part])
        push(acts[last], slopes, bent, bars, False)
        back(theta, sizes, acts, trend, table, inputs[chunk], A, S, B, offsets, cotangent, product, gradient)
    return total


@kernel
def pulled_gradient(
    theta, sizes, acts, trend, loss, chunks, inputs, target, weight,
    J, J_weight, outputs, offsets, memory, gradient,
):  # fmt: skip
    """The same as `jet_gradient` for rows with many partials; memory also holds the pullbacks."""
    layers, rows, d = len(acts), inputs.shape[3], inputs.shape[2]
    A, S, C, B, cotangent, product = memory[0], memory[1], memory[2], memory[3], memory[4:6], memory[6]
    pulled, jets = memory[7:9], block(memory[9], 2, d, rows)
    table, work = table_of(trend, 2, rows), table_of(trend, 1, rows)[0]
    total = 0.0
    for chunk in range(chunks[0], chunks[1]):
        jets[0] = inputs[chunk, 0]
        below, start = jets[:1], 0
        for layer in range(layers):
            at = offsets[layer] * rows
            values = block(A[2 * at :], 1, sizes[layer + 1], rows)
            slopes = block(S[at:], 1, sizes[layer + 1], rows)[0]
            curvatures = block(C[at:], 1, sizes[layer + 1], rows)[0]
            pull_kept(theta, start, acts[layer], below, values, slopes, curvatures, values)
            start += (sizes[layer] + 1) * sizes[layer + 1]
            if layer < layers - 1:
                below = values
        last, k = layers - 1, sizes[layers]
        at = offsets[last] * rows
        slopes = block(S[at:], 1, k, rows)[0]
        compute_terms(trend, inputs[chunk], table[:1])
        add_terms(theta, trend, table, 0, block(A[2 * at :], 1, k, rows))
        for place in range(max(1, len(outputs))):
            bars = block(cotangent[0], 2, k, rows)
            if place == 0:
                total += value_cotangents(
                    theta, start - (sizes[last] + 1) * k, acts[last], loss, below[0],
                    block(A[2 * at :], 1, k, rows)[0], slopes, target[chunk, 0], weight[chunk, 0], bars[0],
                )  # fmt: skip
            else:
                bars[0] = 0.0
            bars[1] = 0.0
            if len(outputs):
                output = outputs[place]
                G = pull_back(theta, sizes, acts, trend, table, output, S, offsets, pulled, work, rows)
                total += cotangents_of(G, J[chunk, output], J_weight[chunk, output], jets[1])
                bars[1, output] = 1.0
            else:
                jets[1] = 0.0
            direction, start_at = jets[1], 0
            for layer in range(layers):
                here = offsets[layer] * rows
                tangent = block(A[2 * here :], 2, sizes[layer + 1], rows)[1]
                pull_tangent(
                    theta, start_at, acts[layer], direction, tangent,
                    block(S[here:], 1, sizes[layer + 1], rows)[0],
                    block(C[here:], 1, sizes[layer + 1], rows)[0],
                    block(B[here:], 1, sizes[layer + 1], rows)[0],
                )  # fmt: skip
                start_at += (sizes[layer] + 1) * sizes[layer + 1]
                direction = tangent
            push(acts[last], slopes, block(B[at:], 1, k, rows), bars, False)
            compute_terms(trend, jets, table)
            back(theta, sizes, acts, trend, table, jets, A, S, B, offsets, cotangent, product, gradient)
    return total
