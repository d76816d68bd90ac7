"""Passes through a network on the jets of second derivatives.

Such a jet (4, units, rows) is a value with its derivatives along x_i, along x_j, and along both. For layer l
with weights W, b and activation f:

    forward    z = W' a + b,   u = W' s,   v = W' t,   w = W' c,
               a <- f(z),   s <- f'(z) u,   t <- f'(z) v,   c <- f''(z) u v + f'(z) w
    backward   with cotangents a', s', t', c' of the layer's outputs:
               w' = f' c',   v' = f' t' + f'' u c',   u' = f' s' + f'' v c',
               z' = f' a' + f'' u s' + f'' v t' + (f'' w + f''' u v) c',
               and products with W and gradients of W and b as in `jets`, of all four parts.
"""

from swarmnet.objective.kernels.compiling import kernel
from swarmnet.objective.kernels.jets import add_bias, block, forward_products, multiply
from swarmnet.objective.kernels.layer_activations import CURVATURE, THIRD, activate


@kernel
def pull_second(theta, start, act, inputs, out, S, C):
    """One layer forward; S and C (fan_out, rows) are overwritten."""
    b = forward_products(theta, start, inputs, out)
    if act == 0:
        add_bias(out[0], b)
        return
    activate(act, CURVATURE, out[0], b, S, C)
    for j in range(S.shape[0]):
        s, c, u, v, w = S[j], C[j], out[1, j], out[2, j], out[3, j]
        for r in range(len(s)):
            w[r] = c[r] * u[r] * v[r] + s[r] * w[r]
            u[r] *= s[r]
            v[r] *= s[r]


@kernel
def forward_second(theta, sizes, acts, inputs, memory):
    """Return the jets after all layers.

    memory (3, 4 x rows x units of the widest layer) holds two layers' jets, and one's slopes and curvatures.
    """
    rows, jets, start = inputs.shape[2], inputs, 0
    for layer in range(len(acts)):
        units, below = sizes[layer + 1], jets
        jets, bends = block(memory[layer % 2], 4, units, rows), block(memory[2], 2, units, rows)
        pull_second(theta, start, acts[layer], below, jets, bends[0], bends[1])
        start += (sizes[layer] + 1) * units
    return jets


@kernel
def pull_second_kept(theta, start, act, inputs, out, S, C, B):
    """One layer forward; store slopes S, and B = f'' u, f'' v and f'' w + f''' u v for the backward pass.

    S (fan_out, rows), B (3, fan_out, rows); C (2, fan_out, rows) is overwritten.
    """
    b = forward_products(theta, start, inputs, out)
    if act == 0:
        add_bias(out[0], b)
        return
    activate(act, THIRD, out[0], b, S, C)
    for j in range(S.shape[0]):
        s, c, third, u, v, w = S[j], C[0, j], C[1, j], out[1, j], out[2, j], out[3, j]
        by_u, by_v, by_w = B[0, j], B[1, j], B[2, j]
        for r in range(len(s)):
            by_u[r] = c[r] * u[r]
            by_v[r] = c[r] * v[r]
            by_w[r] = c[r] * w[r] + third[r] * u[r] * v[r]
            w[r] = by_u[r] * v[r] + s[r] * w[r]
            u[r] *= s[r]
            v[r] *= s[r]


@kernel
def forward_second_kept(theta, sizes, acts, inputs, offsets, A, S, C, B):
    """All layers forward; store jets A, slopes S and B of every layer as `forward_kept` does.

    C holds one layer's curvatures and third derivatives.
    """
    rows, jets, start = inputs.shape[2], inputs, 0
    for layer in range(len(acts)):
        units, at, below = sizes[layer + 1], offsets[layer] * rows, jets
        jets, slopes = block(A[4 * at :], 4, units, rows), block(S[at:], 1, units, rows)[0]
        bent = block(B[3 * at :], 3, units, rows)
        pull_second_kept(theta, start, acts[layer], below, jets, slopes, block(C, 2, units, rows), bent)
        start += (sizes[layer] + 1) * units
    return jets


@kernel
def push_second(act, S, B, cotangents):
    """Turn cotangents (4, units, rows) of a layer's outputs into those of its z, u, v and w, in place."""
    if act == 0:
        return
    multiply(cotangents[0], S)
    for j in range(S.shape[0]):
        s, by_u, by_v, by_w = S[j], B[0, j], B[1, j], B[2, j]
        z, u, v, w = cotangents[0, j], cotangents[1, j], cotangents[2, j], cotangents[3, j]
        for r in range(len(s)):
            z[r] += by_u[r] * u[r] + by_v[r] * v[r] + by_w[r] * w[r]
            u[r] = s[r] * u[r] + by_v[r] * w[r]
            v[r] = s[r] * v[r] + by_u[r] * w[r]
            w[r] *= s[r]
