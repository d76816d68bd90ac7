"""Answers at many points, mostly by compiled kernels: those of the network's definition in NumPy."""

import numpy as np
import pytest

from swarmnet import Activation, Network
from swarmnet.model import point_queries as queries
from swarmnet.network.activations import TABLE

TANH = TABLE["tanh"]
OWN = Activation("own", TANH.value, TANH.slope, TANH.curvature)
NETS = {
    "tanh": Network((4, 50, 50, 2)),
    "one input": Network((1, 60, 60, 3), ["sine", "gelu", "linear"]),
    "curved outputs": Network((3, 60, 50, 2), ["softplus", "silu", "sigmoid"]),
    "kinks": Network((5, 80, 60, 1), "relu"),
    "of one's own": Network((2, 60, 50, 2), [OWN, "tanh", OWN]),
    "linear": Network((6, 20)),
}


@pytest.mark.parametrize("ask", [queries.outputs, queries.jacobian, queries.hessian])
@pytest.mark.parametrize("net", NETS)
def test_many_points_have_the_answers_of_the_definition(net, ask):
    rng = np.random.default_rng(0)
    net = NETS[net]
    theta, X = net.init(rng), rng.normal(size=(4_000, net.d))
    method = {queries.outputs: net.forward, queries.jacobian: net.jacobian, queries.hessian: net.hessian}[ask]
    expected = method(theta, X)
    size = np.abs(expected).max()
    np.testing.assert_allclose(ask(net, theta, X), expected, rtol=1e-11, atol=1e-13 * max(size, 1.0))


def test_threads_and_neighbours_change_no_answer(monkeypatch):
    net = NETS["tanh"]
    rng = np.random.default_rng(0)
    theta, X = net.init(rng), rng.normal(size=(20_000, net.d))
    expected = [ask(net, theta, X) for ask in (queries.outputs, queries.jacobian)]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for ask, answer in zip((queries.outputs, queries.jacobian), expected, strict=True):
        np.testing.assert_array_equal(ask(net, theta, X), answer)
        np.testing.assert_array_equal(ask(net, theta, X[:8192]), answer[:8192])


def test_an_activation_that_raises_is_heard():
    def broken(z, out):
        raise ValueError("mine")

    net = Network((2, 70, 70, 1), Activation("broken", broken, TANH.slope, TANH.curvature))
    with pytest.raises(ValueError, match="mine"):
        queries.outputs(net, np.zeros(net.size), np.zeros((4_000, 2)))
