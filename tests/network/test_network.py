import copy
import math
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from swarmnet.errors import SwarmnetError
from swarmnet.network.activations import LINEAR, TABLE, Activation
from swarmnet.network.network import Network
from swarmnet.testing import check_hessian, check_jacobian

NAMES = list(TABLE)
DEPTHS, OUTPUTS, INPUTS, WIDTH = (1, 2, 3, 4), (1, 2, 3), (1, 2, 3, 4, 5), 4


def ones_network(sizes: Sequence[int], output: str, bias: float) -> tuple[Network, np.ndarray]:
    """Sigmoid hidden layers; every weight 1, every hidden bias 1."""
    names = ["sigmoid"] * (len(sizes) - 2) + [output]
    net = Network(sizes, names)
    theta = np.ones(net.size)
    net.unflatten(theta)[-1][1][:] = bias
    return net, theta


def assert_close(actual: np.ndarray, expected: Any) -> None:
    """To 1e-10 of each entry, and to rounding of the largest where an entry is what is left of many."""
    expected = np.asarray(expected)
    floor = 1e-13 * np.abs(expected).max(initial=0.0)
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=floor)


def sigmoid(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z))


# Hand-checked cases. With s = sigmoid, the first is y = 2 s(x1 + x2 + 1).


def test_one_hidden_layer_by_hand() -> None:
    net, theta = ones_network((2, 2, 1), "linear", 0.0)
    a = sigmoid(3.0)
    np.testing.assert_allclose(net.forward(theta, [[1, 1]]), [[2 * a]], rtol=1e-15)
    J = net.jacobian(theta, [[1.0, 1.0]])
    np.testing.assert_allclose(J, [[[0.09035332, 0.09035332]]], atol=5e-9)
    np.testing.assert_allclose(J, np.full((1, 1, 2), 2 * a * (1 - a)), rtol=1e-14)
    H = net.hessian(theta, [[1.0, 1.0]])
    np.testing.assert_allclose(H, np.full((1, 1, 2, 2), 2 * a * (1 - a) * (1 - 2 * a)), rtol=1e-13)


def test_two_hidden_layers_by_hand() -> None:
    net, theta = ones_network((2, 2, 2, 1), "linear", 0.0)
    a = sigmoid(3.0)
    z = 2 * a + 1
    assert z == pytest.approx(2.90514825, abs=5e-9)
    y = net.forward(theta, [[1, 1]])
    np.testing.assert_allclose(y, [[1.896200694978303]], rtol=1e-15)
    J = net.jacobian(theta, [[1, 1]])
    np.testing.assert_allclose(J, [[[0.00889187, 0.00889187]]], atol=5e-9)
    b = sigmoid(z)
    np.testing.assert_allclose(J, np.full((1, 1, 2), 4 * b * (1 - b) * a * (1 - a)), rtol=1e-13)


def test_two_hidden_layers_and_a_sigmoid_output_by_hand() -> None:
    net, theta = ones_network((2, 2, 2, 1), "sigmoid", 1.0)
    y = net.forward(theta, [[1, 1]])
    np.testing.assert_allclose(y, [[0.947658303831751]], rtol=1e-15)
    J = net.jacobian(theta, [[1, 1]])
    np.testing.assert_allclose(J, [[[0.00044105, 0.00044105]]], atol=5e-9)


def test_each_weight_is_where_the_layout_says() -> None:
    # y1 = 1 x1 + 3 x2 + 5, y2 = 2 x1 + 4 x2 + 6: W row-major (fan_in, fan_out), then b.
    net = Network((2, 2), ["linear"])
    theta = np.arange(1.0, 7.0)
    assert net.forward(theta, [[10.0, 100.0]]).tolist() == [[315.0, 426.0]]
    assert net.jacobian(theta, [[0.0, 0.0]]).tolist() == [[[1.0, 3.0], [2.0, 4.0]]]


# Every activation, 1 to 4 layers, 1 to 3 outputs, 1 to 5 inputs, against automatic differentiation.


@pytest.fixture(scope="module")
def compiled(reference: Any) -> Callable[[tuple[str, ...]], Any]:
    cache: dict[tuple[str, ...], Any] = {}

    def derivatives(names: tuple[str, ...]) -> Any:
        if names not in cache:
            cache[names] = reference.derivatives(names)
        return cache[names]

    return derivatives


def padded(layers: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The same network with more inputs and outputs, of weight 0, so that one compiled size serves all."""
    wide = [(W, b) for W, b in layers]
    W, b = wide[0]
    wide[0] = np.pad(W, ((0, max(INPUTS) - W.shape[0]), (0, 0))), b
    W, b = wide[-1]
    more = max(OUTPUTS) - W.shape[1]
    wide[-1] = np.pad(W, ((0, 0), (0, more))), np.pad(b, (0, more))
    return wide


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("name", NAMES)
def test_derivatives_agree_with_automatic_differentiation(compiled: Any, name: str, depth: int) -> None:
    output = name if depth % 2 else "linear"
    names = (*[name] * (depth - 1), output)
    differentiate = compiled(names)
    for k in OUTPUTS:
        for d in INPUTS:
            rng = np.random.default_rng([depth, k, d])
            net = Network((d, *[WIDTH] * (depth - 1), k), names)
            theta, X = net.init(rng), rng.normal(size=(5, d))
            wide = np.pad(X, ((0, 0), (0, max(INPUTS) - d)))
            Y, J, H = map(np.asarray, differentiate(padded(net.unflatten(theta)), wide))
            assert Y.dtype == np.float64
            assert_close(net.forward(theta, X), Y[:, :k])
            assert_close(net.jacobian(theta, X), J[:, :k, :d])
            assert_close(net.hessian(theta, X), H[:, :k, :d, :d])


@pytest.mark.parametrize("sizes", [(1, 1), (3, 7, 2), (2, 1, 5, 3, 4), (5, 9, 1)])
def test_mixed_activations_and_widths(compiled: Any, rng: np.random.Generator, sizes: Any) -> None:
    names = ("sine", "linear", "tanh", "sigmoid")[-(len(sizes) - 1) :]
    net = Network(sizes, names)
    theta, X = rng.normal(size=net.size), rng.normal(size=(6, net.d))
    Y, J, H = compiled(names)(net.unflatten(theta), X)
    assert_close(net.forward(theta, X), Y)
    assert_close(net.jacobian(theta, X), J)
    assert_close(net.hessian(theta, X), H)


@pytest.mark.parametrize("name", NAMES)
def test_shipped_checks_pass(rng: np.random.Generator, name: str) -> None:
    net = Network((3, 6, 5, 2), [name, name, name])
    theta, X = net.init(rng), rng.normal(size=(8, 3))
    assert check_jacobian(net, theta, X) < 1e-8
    assert check_hessian(net, theta, X) < 1e-8


# Swarms and rows


@pytest.mark.parametrize("sizes", [(3, 6, 5, 2), (2, 4, 3), (1, 1), (3, 4)])
@pytest.mark.parametrize("name", NAMES)
def test_a_swarm_gives_what_each_particle_gives(rng: np.random.Generator, name: str, sizes: Any) -> None:
    net = Network(sizes, [name] * (len(sizes) - 1))
    swarm, X, V = net.init(rng, 4), rng.normal(size=(7, net.d)), rng.normal(size=(7, net.k))
    for ask in (net.forward, net.jacobian, net.hessian, lambda t, X: net.pullback(t, X, V)):
        together = ask(swarm, X)
        assert together.shape[:2] == (4, 7)
        for particle, alone in zip(swarm, together, strict=True):
            np.testing.assert_array_equal(ask(particle, X), alone)


@pytest.mark.parametrize("name", NAMES)
def test_many_rows_give_what_a_few_give(rng: np.random.Generator, name: str) -> None:
    close = {"rtol": 1e-13, "atol": 1e-15}
    net = Network((2, 3, 2), name)
    theta, X = net.init(rng), rng.normal(size=(5000, 2))
    for ask in (net.forward, net.jacobian, net.hessian):
        all_rows = ask(theta, X)
        for part in (slice(0, 3), slice(2040, 2060), slice(4990, 5000)):
            np.testing.assert_allclose(all_rows[part], ask(theta, X[part]), **close)
    swarm = np.stack([theta, 2.0 * theta])
    for ask in (net.forward, net.jacobian, net.hessian):
        np.testing.assert_allclose(ask(swarm, X)[0], ask(theta, X), **close)


def test_no_rows() -> None:
    net = Network((2, 3, 1))
    theta, X = np.ones((4, net.size)), np.empty((0, 2))
    assert net.forward(theta, X).shape == (4, 0, 1)
    assert net.jacobian(theta, X).shape == (4, 0, 1, 2)
    assert net.hessian(theta, X).shape == (4, 0, 1, 2, 2)


def test_inputs_are_left_alone(rng: np.random.Generator) -> None:
    net = Network((2, 3, 2), "sigmoid")
    theta, X, V = net.init(rng), rng.normal(size=(4, 2)), rng.normal(size=(4, 2))
    before = theta.copy(), X.copy(), V.copy()
    for array in (theta, X, V):
        array.setflags(write=False)
    first = net.forward(theta, X)
    net.jacobian(theta, X)
    net.hessian(theta, X)
    net.pullback(theta, X, V)
    for array, copied in zip((theta, X, V), before, strict=True):
        np.testing.assert_array_equal(array, copied)
    np.testing.assert_array_equal(first, net.forward(theta, X))


@pytest.mark.parametrize("sizes", [(3, 6, 5, 2), (2, 5), (4, 3, 1)])
@pytest.mark.parametrize("name", NAMES)
def test_pullback_is_the_transposed_jacobian(rng: np.random.Generator, name: str, sizes: Any) -> None:
    net = Network(sizes, [name] * (len(sizes) - 1))
    theta, X, V = net.init(rng), rng.normal(size=(9, net.d)), rng.normal(size=(9, net.k))
    expected = np.einsum("no,noj->nj", V, net.jacobian(theta, X))
    np.testing.assert_allclose(net.pullback(theta, X, V), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_hessian_is_symmetric(rng: np.random.Generator, name: str) -> None:
    net = Network((4, 5, 2), name)
    H = net.hessian(net.init(rng), rng.normal(size=(6, 4)))
    np.testing.assert_array_equal(H, H.swapaxes(-1, -2))


# Saturated units


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("loud")
def test_saturated_units_give_finite_numbers(name: str) -> None:
    net = Network((1, 3, 1), [name, "linear"])
    layers = [(np.array([[700.0, -700.0, 1.0]]), np.zeros(3)), (np.ones((3, 1)), np.zeros(1))]
    theta, X = net.flatten(layers), np.array([[-1.0], [-0.1], [0.0], [0.05], [1.0]])
    for result in (net.forward(theta, X), net.jacobian(theta, X), net.hessian(theta, X)):
        assert np.isfinite(result).all()


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_a_saturated_unit_is_flat(name: str) -> None:
    net = Network((1, 1), [name])
    theta = np.array([700.0, 0.0])
    top, bottom = net.forward(theta, [[1.0], [-1.0]]).ravel()
    assert top == 1.0
    assert bottom == pytest.approx(-1.0 if name == "tanh" else 0.0, abs=1e-300)
    assert np.abs(net.jacobian(theta, [[1.0], [-1.0]])).max() < 1e-300
    assert np.abs(net.hessian(theta, [[1.0], [-1.0]])).max() < 1e-290


# theta's layout


@pytest.mark.parametrize("sizes", [(1, 1), (2, 3, 1), (4, 3, 2, 5)])
def test_flatten_and_unflatten_are_inverse(rng: np.random.Generator, sizes: Any) -> None:
    net = Network(sizes)
    theta = net.init(rng)
    layers = net.unflatten(theta)
    for (W, b), fan_in, fan_out in zip(layers, sizes[:-1], sizes[1:], strict=True):
        assert (W.shape, b.shape) == ((fan_in, fan_out), (fan_out,))
    np.testing.assert_array_equal(net.flatten(layers), theta)
    assert net.size == len(theta) == sum((a + 1) * b for a, b in zip(sizes[:-1], sizes[1:], strict=True))


def test_unflatten_gives_views_and_takes_a_swarm(rng: np.random.Generator) -> None:
    net = Network((2, 3, 1))
    swarm = net.init(rng, 5)
    W, b = net.unflatten(swarm)[1]
    assert (W.shape, b.shape) == ((5, 3, 1), (5, 1))
    b[:] = 7.0
    assert (swarm[:, -1] == 7.0).all()


def test_from_layers(rng: np.random.Generator) -> None:
    first = Network((3, 4, 2), ["sine", "sigmoid"])
    theta = first.init(rng)
    layers = [(W.tolist(), b.tolist()) for W, b in first.unflatten(theta)]
    net, same = Network.from_layers(layers, ["sine", "sigmoid"])
    assert (net.sizes, net.activations) == (first.sizes, first.activations)
    np.testing.assert_array_equal(same, theta)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "at least one layer"),
        ([(np.ones((2, 3)), np.ones(2))], r"layer 1 needs W \(2, 3\) and b \(3,\)"),
        (
            [(np.ones((2, 3)), np.ones(3)), (np.ones((2, 1)), np.ones(1))],
            r"layer 2 needs W \(3, 1\) and b \(1,\), not \(2, 1\)",
        ),
    ],
)
def test_layers_that_do_not_fit(layers: Any, message: str) -> None:
    with pytest.raises(SwarmnetError, match=message):
        Network.from_layers(layers)


def test_too_few_layers() -> None:
    with pytest.raises(SwarmnetError, match="1 layers of weights for 2 layers"):
        Network((2, 3, 1)).flatten([(np.ones((2, 3)), np.ones(3))])


# Initial weights


@pytest.mark.parametrize("name", NAMES)
def test_initial_variance_suits_the_activation(rng: np.random.Generator, name: str) -> None:
    net = Network((30, 50, 20), [name, name])
    swarm = net.init(rng, 40)
    assert swarm.shape == (40, net.size)
    for (W, b), (fan_in, fan_out), last in zip(
        net.unflatten(swarm), [(30, 50), (50, 20)], [False, True], strict=True
    ):
        variance = {
            "glorot": 2 / (fan_in + fan_out),
            "he": 2 / fan_in,
            "lecun": 1 / fan_in,
        }[TABLE[name].init]
        # 40 000 draws or more: their variance is within 5 % (7 standard errors) of the true one.
        assert W.var() == pytest.approx(variance, rel=0.05)
        assert abs(W.mean()) < 6 * np.sqrt(variance / W.size)
        assert b.var() == pytest.approx(0.0 if last else 0.25, rel=0.2)
        assert abs(b.mean()) <= (0.0 if last else 6 * np.sqrt(0.25 / b.size))


def test_initial_weights_repeat_with_the_seed() -> None:
    net = Network((2, 5, 1))
    first, again, other = (net.init(np.random.default_rng(seed), 3) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first[:, :10] != other[:, :10]).all()
    assert (first[0, :10] != first[1, :10]).all()
    assert net.init(np.random.default_rng(1)).shape == (net.size,)


# Pickling, text and errors


@pytest.mark.parametrize("name", NAMES)
def test_a_network_pickles(rng: np.random.Generator, name: str) -> None:
    net = Network((2, 4, 1), name)
    theta, X = net.init(rng), rng.normal(size=(3, 2))
    for copied in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert (copied.sizes, copied.activations, copied.layers) == (net.sizes, net.activations, net.layers)
        assert copied.activations[-1] is LINEAR
        np.testing.assert_array_equal(copied.hessian(theta, X), net.hessian(theta, X))


def test_repr_says_what_it_is() -> None:
    assert repr(Network((2, 3, 1), "sine")) == "Network(2-3-1, sine, linear, 13 weights)"


def test_one_name_is_for_the_hidden_layers() -> None:
    net = Network(np.array([2, 3, 4, 1]), "Sigmoid")
    assert [a.name for a in net.activations] == ["sigmoid", "sigmoid", "linear"]
    assert net.sizes == (2, 3, 4, 1)
    assert all(type(size) is int for size in net.sizes)


def test_a_record_of_ones_own_is_taken(rng: np.random.Generator) -> None:
    cube = Activation(
        "cube",
        value=lambda z, out: np.power(z, 3, out=out),
        slope=lambda z, a, out: np.multiply(3 * z, z, out=out),
        curvature=lambda z, a, s, out: np.multiply(z, 6.0, out=out),
    )
    net = Network((2, 1, 1), cube)
    theta = np.array([2.0, 0.0, 1.0, 1.0, 0.0])
    x = rng.normal(size=(4, 2))
    z = 2 * x[:, 0] + 1
    np.testing.assert_allclose(net.forward(theta, x)[:, 0], z**3, rtol=1e-13)
    np.testing.assert_allclose(net.jacobian(theta, x)[:, 0, 0], 6 * z**2, rtol=1e-13)
    np.testing.assert_allclose(net.hessian(theta, x)[:, 0, 0, 0], 24 * z, rtol=1e-13)


BAD_SIZES = [(), (3,), (2, 0, 1), (2, -1), (2, 1.5, 1), (2, math.nan, 1), (2, math.inf, 1)]
BAD_TYPES = [("2", "1"), "21", 5, None, (2, None, 1), (2, (3,), 1)]


@pytest.mark.parametrize("sizes", [*BAD_SIZES, *BAD_TYPES])
def test_bad_sizes(sizes: Any) -> None:
    with pytest.raises(SwarmnetError, match="layer sizes must be two or more positive whole"):
        Network(sizes)


@pytest.mark.parametrize("names", [["tanh"], ["tanh"] * 3, []])
def test_wrong_number_of_activations(names: list[str]) -> None:
    with pytest.raises(SwarmnetError, match=f"{len(names)} activations for 2 layers"):
        Network((2, 3, 1), names)


def test_unknown_activation_suggests_the_nearest() -> None:
    with pytest.raises(SwarmnetError, match="unknown activation 'sigmoyd': did you mean 'sigmoid'"):
        Network((2, 3, 1), "sigmoyd")
    with pytest.raises(SwarmnetError, match="did you mean 'relu'"):
        Network((2, 3, 1), ["rellu", "linear"])


@pytest.mark.parametrize("method", ["forward", "jacobian", "hessian"])
@pytest.mark.parametrize("shape", [(), (12,), (14,), (3, 12), (1, 2, 13), (13, 1)])
def test_wrong_theta(method: str, shape: tuple[int, ...]) -> None:
    net = Network((2, 3, 1))
    with pytest.raises(SwarmnetError, match=r"theta must be \(13,\) or \(particles, 13\)"):
        getattr(net, method)(np.zeros(shape), np.zeros((4, 2)))
    with pytest.raises(SwarmnetError, match="theta must be"):
        net.unflatten(np.zeros(shape))


@pytest.mark.parametrize("method", ["forward", "jacobian", "hessian"])
@pytest.mark.parametrize("shape", [(), (2,), (4, 1), (4, 3), (4, 2, 1)])
def test_wrong_X(method: str, shape: tuple[int, ...]) -> None:
    net = Network((2, 3, 1))
    with pytest.raises(SwarmnetError, match=r"X must be \(rows, 2\)"):
        getattr(net, method)(np.zeros(net.size), np.zeros(shape))


def test_wrong_V() -> None:
    net = Network((2, 3, 1))
    with pytest.raises(SwarmnetError, match=r"V must be \(4, 1\), not \(4, 2\)"):
        net.pullback(np.zeros(net.size), np.zeros((4, 2)), np.zeros((4, 2)))


def test_a_swarm_can_be_unflattened_and_flattened(rng: np.random.Generator) -> None:
    net = Network((3, 4, 2))
    swarm = net.init(rng, 5)
    np.testing.assert_array_equal(net.flatten(net.unflatten(swarm)), swarm)
    layers = net.unflatten(swarm)
    with pytest.raises(SwarmnetError, match="particles"):
        net.flatten([layers[0], *net.unflatten(swarm[0])[1:]])
