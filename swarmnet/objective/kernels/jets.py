"""Passes through a network on jets, of which all kernels consist.

A jet is a value with its tangents along some directions. The jets of a layer's units at a chunk of rows are
an array (1 + m, units, rows): the values, then each of m tangents. The inputs' jets are the rows and the
directions. For layer l with weights W, b and activation f:

    forward    z = W' a + b,   u = W' t,   a <- f(z),   t <- f'(z) u
    backward   with the loss's cotangents a', t' of the layer's outputs:
               u' = f'(z) t',   z' = f'(z) a' + f''(z) u t',   W' = a z'^T + t u'^T,   b' = z' over all rows,
               and W z', W u' for the layer below.

The backward pass is double backpropagation (Drucker and Le Cun 1992). All arrays of a chunk are contiguous
with rows last: a layer is a matrix product for each part of the jets, and activations run along the rows.
"""

import numpy as np

from swarmnet.objective.kernels.compiling import kernel
from swarmnet.objective.kernels.layer_activations import CURVATURE, SLOPE, TANGENT, VALUE, activate
from swarmnet.objective.kernels.trends import add_pulled_terms, end_of_layers

# Separate functions, so that the code around NumPy's dot is compiled once and not for each call.


@kernel
def forward_product(W, A, out):
    """out = W' A."""
    np.dot(W.T, A, out)


@kernel
def backward_product(W, Z, out):
    """out = W Z."""
    np.dot(W, Z, out)


@kernel
def outer_product(A, Z, out):
    """out = A Z'."""
    np.dot(A, Z.T, out)


@kernel
def block(memory, parts, units, rows):
    """Return (parts, units, rows) at the beginning of memory."""
    return memory[: parts * units * rows].reshape(parts, units, rows)


@kernel
def layer_weights(theta, start, fan_in, fan_out):
    """Return W (fan_in, fan_out) and b (fan_out,) of the layer that begins at `start` in theta."""
    stop = start + fan_in * fan_out
    return theta[start:stop].reshape(fan_in, fan_out), theta[stop : stop + fan_out]


@kernel
def add_bias(Z, b):
    """Z (units, rows) += b."""
    for j in range(Z.shape[0]):
        shift, z = b[j], Z[j]
        for r in range(len(z)):
            z[r] += shift


@kernel
def multiply(A, S):
    """A *= S, both (units, rows)."""
    for j in range(A.shape[0]):
        a, s = A[j], S[j]
        for r in range(len(a)):
            a[r] *= s[r]


@kernel
def forward_products(theta, start, inputs, out):
    """Write W' times each part of inputs (1 + m, fan_in, rows) to out (1 + m, fan_out, rows); return b."""
    W, b = layer_weights(theta, start, inputs.shape[1], out.shape[1])
    for part in range(inputs.shape[0]):
        forward_product(W, inputs[part], out[part])
    return b


@kernel
def pull_jets(theta, start, act, inputs, out, slopes):
    """One layer forward without stored slopes: inputs (1 + m, fan_in, rows), out (1 + m, fan_out, rows).

    slopes (fan_out, rows) is overwritten.
    """
    parts, b = inputs.shape[0], forward_products(theta, start, inputs, out)
    if act == 0:
        add_bias(out[0], b)
    elif parts == 1:
        activate(act, VALUE, out[0], b, slopes, slopes)
    elif parts == 2:
        activate(act, TANGENT, out[0], b, out[1], slopes)
    else:
        activate(act, SLOPE, out[0], b, slopes, slopes)
        for part in range(1, parts):
            multiply(out[part], slopes)


@kernel
def forward(theta, sizes, acts, layers, inputs, memory):
    """Return the jets after the first `layers` layers; slopes are not stored.

    memory (3, parts x rows x units of the widest layer) holds two layers' jets and one layer's slopes.
    """
    parts, rows = inputs.shape[0], inputs.shape[2]
    jets, start = inputs, 0
    for layer in range(layers):
        out = block(memory[layer % 2], parts, sizes[layer + 1], rows)
        pull_jets(theta, start, acts[layer], jets, out, block(memory[2], 1, sizes[layer + 1], rows)[0])
        start += (sizes[layer] + 1) * sizes[layer + 1]
        jets = out
    return jets


@kernel
def pull_slopes(theta, start, act, inputs, out, slopes):
    """One layer's values forward, with its slopes (fan_out, rows) for `pull_back`."""
    b = forward_products(theta, start, inputs, out)
    if act == 0:
        add_bias(out[0], b)
    else:
        activate(act, SLOPE, out[0], b, slopes, slopes)


@kernel
def bend(S, C, T, B):
    """From u in T: B <- f'' u, T <- f' u; all (units, rows)."""
    for j in range(T.shape[0]):
        s, c, t, bent = S[j], C[j], T[j], B[j]
        for r in range(len(t)):
            bent[r] = c[r] * t[r]
            t[r] = s[r] * t[r]


@kernel
def pull_kept(theta, start, act, inputs, out, S, C, B):
    """One layer forward; store slopes S, curvatures C (fan_out, rows), B = f'' u for the backward pass."""
    b = forward_products(theta, start, inputs, out)
    if act == 0:
        add_bias(out[0], b)
        return
    activate(act, CURVATURE, out[0], b, S, C)
    for part in range(1, inputs.shape[0]):
        bend(S, C, out[part], B[part - 1])


@kernel
def forward_kept(theta, sizes, acts, inputs, offsets, A, S, C, B):
    """All layers forward; store jets A, slopes S and B = f'' u of every layer for the backward pass.

    A layer's arrays begin at offsets[layer] * rows. C holds one layer's curvatures.
    """
    layers, parts, rows = len(acts), inputs.shape[0], inputs.shape[2]
    jets, start = inputs, 0
    for layer in range(layers):
        units, at, below = sizes[layer + 1], offsets[layer] * rows, jets
        jets = block(A[parts * at :], parts, units, rows)
        slopes, curvatures = block(S[at:], 1, units, rows)[0], block(C, 1, units, rows)[0]
        bent = block(B[(parts - 1) * at :], parts - 1, units, rows)
        pull_kept(theta, start, acts[layer], below, jets, slopes, curvatures, bent)
        start += (sizes[layer] + 1) * units
    return jets


@kernel
def pull_tangent(theta, start, act, direction, out, S, C, B):
    """One layer's tangent along `direction` (fan_in, rows), after `pull_kept` of the values."""
    W, _ = layer_weights(theta, start, direction.shape[0], out.shape[0])
    forward_product(W, direction, out)
    if act != 0:
        bend(S, C, out, B)


@kernel
def push(act, S, B, cotangents, values):
    """Turn cotangents (1 + m, units, rows) of a layer's outputs into those of its z and u, in place.

    Without `values`, the values' cotangents are already those of z, and only the tangents' terms are added.
    """
    if act == 0:
        return
    if values:
        multiply(cotangents[0], S)
    for part in range(1, cotangents.shape[0]):
        for j in range(S.shape[0]):
            s, bent, z, t = S[j], B[part - 1, j], cotangents[0, j], cotangents[part, j]
            for r in range(len(s)):
                z[r] += bent[r] * t[r]
                t[r] *= s[r]


@kernel
def add_row_sums(Z, total):
    """total (units,) += Z (units, rows) summed over rows."""
    for j in range(Z.shape[0]):
        found = total[j]
        for r in range(Z.shape[1]):
            found += Z[j, r]
        total[j] = found


@kernel
def add_weight_gradient(start, inputs, cotangents, product, gradient):
    """Add the gradient of a layer's W and b, from the cotangents of its z and u, to gradient (p,)."""
    fan_in, fan_out = inputs.shape[1], cotangents.shape[1]
    count = fan_in * fan_out
    term = product[:count].reshape(fan_in, fan_out)
    for part in range(inputs.shape[0]):
        outer_product(inputs[part], cotangents[part], term)
        for i in range(count):
            gradient[start + i] += product[i]
    add_row_sums(cotangents[0], gradient[start + count : start + count + fan_out])


@kernel
def push_products(theta, start, cotangents, out):
    """Write W times the cotangents of z and u (1 + m, fan_out, rows) to out (1 + m, fan_in, rows)."""
    W, _ = layer_weights(theta, start, out.shape[1], cotangents.shape[1])
    for part in range(cotangents.shape[0]):
        backward_product(W, cotangents[part], out[part])


@kernel
def pull_back(theta, sizes, acts, trend, table, output, S, offsets, memory, bars, rows):
    """Return the gradient (d, rows) of an output by the inputs, after a forward pass that stored S.

    bars is working memory like a part of the table of the trend's terms.
    """
    layers = len(acts)
    start = end_of_layers(theta, trend, sizes[layers])
    G = block(memory[0], 1, sizes[layers - 1], rows)[0]
    for index in range(layers):
        layer = layers - 1 - index
        fan_in, fan_out = sizes[layer], sizes[layer + 1]
        start -= (fan_in + 1) * fan_out
        W, _ = layer_weights(theta, start, fan_in, fan_out)
        slopes = block(S[offsets[layer] * rows :], 1, fan_out, rows)[0]
        if index == 0:
            for i in range(fan_in):
                w = W[i, output]
                for r in range(rows):
                    G[i, r] = w
                if acts[layer] != 0:
                    for r in range(rows):
                        G[i, r] *= slopes[output, r]
        else:
            if acts[layer] != 0:
                multiply(G, slopes)
            below = block(memory[index % 2], 1, fan_in, rows)[0]
            backward_product(W, G, below)
            G = below
    add_pulled_terms(theta, trend, table, sizes[layers], output, bars, G)
    return G
