from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import SwarmnetError
from swarmnet.network.activations import TABLE, Activation
from swarmnet.network.network import Network
from swarmnet.objective.objective import Objective
from swarmnet.testing import check_activation, check_gradient, check_hessian, check_jacobian

TANH = TABLE["tanh"]


def scaled(function: Any, factor: float) -> Any:
    """The same activation function, but with its result times `factor`."""

    def wrong(*arguments: Any) -> None:
        function(*arguments)
        arguments[-1][...] *= factor

    return wrong


class BentJacobian(Network):
    """A network of which one entry of the Jacobian is off."""

    off = 1.0

    def jacobian(self, theta: Any, X: Any) -> Any:
        J = super().jacobian(theta, X)
        J[3, 1, 0] *= self.off
        return J


class BentHessian(Network):
    """A network of which one entry of the Hessian is off."""

    off = 1.0

    def hessian(self, theta: Any, X: Any) -> Any:
        H = super().hessian(theta, X)
        H[2, 0, 1, 0] *= self.off
        return H


class Wrong:
    """An objective of which the gradient is changed by `change`."""

    def __init__(self, objective: Objective, change: Any) -> None:
        self.objective, self.change = objective, change

    def loss(self, swarm: Any) -> Any:
        return self.objective.loss(swarm)

    def loss_and_gradient(self, theta: Any, rows: Any = None) -> Any:
        return self.change(*self.objective.loss_and_gradient(theta, rows))


@pytest.fixture
def objective(rng: np.random.Generator) -> Objective:
    J = np.where(rng.random((12, 1, 2)) < 0.5, rng.normal(size=(12, 1, 2)), np.nan)
    data = MixedData(rng.normal(size=(12, 2)), rng.normal(size=(12, 1)), J)
    return Objective(Network((2, 4, 1)), data, derivative_weight=0.7, l2=0.01)


def test_correct_derivatives_pass(rng: np.random.Generator, objective: Objective) -> None:
    net = Network((2, 4, 3, 2), "silu")
    theta, X = net.init(rng), rng.normal(size=(5, 2))
    assert 0 < check_jacobian(net, theta, X) < 1e-8
    assert 0 < check_hessian(net, theta, X) < 1e-8
    theta = objective.initial(rng)
    assert 0 < check_gradient(objective, theta) < 1e-8
    assert 0 < check_gradient(objective, theta, np.array([3, 1, 7])) < 1e-8


def test_a_swarm_and_large_inputs_pass(rng: np.random.Generator) -> None:
    net = Network((2, 4, 1))
    swarm = net.init(rng, 3)
    net.layers[0].weights(swarm)[:, 0] *= 1e-6
    X = rng.normal(size=(5, 2)) * [1e6, 1.0]
    assert check_jacobian(net, swarm, X) < 1e-8
    assert check_hessian(net, swarm, X) < 1e-8


def test_no_rows_have_no_error() -> None:
    net = Network((2, 4, 1))
    assert check_jacobian(net, np.ones(net.size), np.empty((0, 2))) == 0.0


@pytest.mark.parametrize(("name", "function"), [("f'", "slope"), ("f''", "curvature"), ("f'''", "third")])
@pytest.mark.parametrize("factor", [-1.0, 1.0 + 1e-5, 0.0])
def test_wrong_derivative_of_an_activation_is_named(name: str, function: str, factor: float) -> None:
    record = replace(TANH, name="own", **{function: scaled(getattr(TANH, function), factor)})
    message = rf"own: {name} at z\[-?[\d.e-]+\]: analytic .*, numeric .*, relative error"
    with pytest.raises(AssertionError, match=message):
        check_activation(record)


def test_a_record_without_a_third_derivative_passes() -> None:
    assert 0 < check_activation(replace(TANH, name="own", third=None)) < 1e-8


def test_a_kink_is_found_unless_the_record_owns_up_to_it() -> None:
    relu = TABLE["relu"]
    assert check_activation(relu) < 1e-8
    with pytest.raises(AssertionError, match=r"f' at z\[0\]"):
        check_activation(replace(relu, smooth=True))
    moved = Activation(
        "moved",
        value=lambda z, out: np.maximum(z - 1.0, 0.0, out=out),
        slope=lambda z, a, out: np.greater(a, 0.0, out=out, casting="unsafe"),
        curvature=lambda z, a, s, out: out.fill(0.0),
        smooth=False,
    )
    assert check_activation(moved, kinks=(1.0,)) < 1e-8
    with pytest.raises(AssertionError, match=r"f' at z\[1\]"):
        check_activation(moved)


def test_broken_promises_of_an_activation_are_named() -> None:
    def overwrites(z: Any, a: Any, out: Any) -> None:
        np.multiply(a, a, out=a)
        np.subtract(1.0, a, out=out)

    with pytest.raises(AssertionError, match="slope changes an argument other than out"):
        check_activation(replace(TANH, slope=overwrites))
    with pytest.raises(AssertionError, match="third changes an argument other than out"):
        check_activation(replace(TANH, third=lambda z, a, s, c, out: np.copyto(out, np.multiply(s, 0.5, s))))
    with pytest.raises(AssertionError, match="in_place is set, but third needs z"):
        check_activation(replace(TANH, third=lambda z, a, s, c, out: np.multiply(z, s, out=out)))
    with pytest.raises(AssertionError, match="in_place is set, but slope needs z"):
        check_activation(replace(TABLE["sine"], in_place=True))

    def writes_first(z: Any, out: Any) -> None:
        np.exp(z, out=out)
        np.divide(out - np.exp(-z), out + np.exp(-z), out=out)

    with pytest.raises(AssertionError, match="in_place is set, but value needs z"):
        check_activation(replace(TANH, value=writes_first))


def test_overflow_of_an_activation_is_named() -> None:
    naive = replace(
        TANH,
        in_place=False,
        value=lambda z, out: np.divide(np.exp(2 * z) - 1, np.exp(2 * z) + 1, out=out),
    )
    with pytest.raises(AssertionError, match=r"overflow .* at z = -700 or 700"):
        check_activation(naive)
    holed = replace(TANH, value=lambda z, out: np.copyto(out, np.where(np.abs(z) > 99, np.nan, np.tanh(z))))
    with pytest.raises(AssertionError, match="f is not finite at z = -700 or 700"):
        check_activation(holed)


def test_unknown_activation() -> None:
    with pytest.raises(SwarmnetError, match="did you mean 'tanh'"):
        check_activation("tanhh")


@pytest.mark.parametrize("off", [0.0, 1.0 + 1e-5, np.nan, np.inf])
def test_wrong_entry_of_a_derivative_is_named(rng: np.random.Generator, off: float) -> None:
    X = rng.normal(size=(5, 2))
    net = BentJacobian((2, 4, 2))
    theta = net.init(rng)
    check_jacobian(net, theta, X)
    net.off = off
    with pytest.raises(AssertionError, match=r"jacobian\[3, 1, 0\]: analytic"):
        check_jacobian(net, theta, X)
    bent = BentHessian((2, 4, 2))
    check_hessian(bent, theta, X)
    bent.off = off
    with pytest.raises(AssertionError, match=r"hessian\[2, 0, 1, 0\]: analytic"):
        check_hessian(bent, theta, X)
    with pytest.raises(AssertionError, match=r"hessian\[3, 1, 0, \d\]: analytic"):
        net.off = -1.0
        check_hessian(net, theta, X)


def test_wrong_shape_is_named(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Network((2, 4, 2))
    monkeypatch.setattr(net, "jacobian", lambda theta, X: np.zeros((len(X), 2)))
    with pytest.raises(AssertionError, match=r"jacobian: the shape is \(5, 2\), not \(5, 2, 2\)"):
        check_jacobian(net, net.init(rng), rng.normal(size=(5, 2)))


def test_wrong_gradient_is_named(rng: np.random.Generator, objective: Objective) -> None:
    theta = objective.initial(rng)

    def one_entry(loss: float, gradient: Any) -> Any:
        return loss, np.where(np.arange(len(gradient)) == 5, 2 * gradient, gradient)

    for rows in (None, np.array([1, 2])):
        with pytest.raises(AssertionError, match=r"gradient\[5\]: analytic"):
            check_gradient(Wrong(objective, one_entry), theta, rows)
    with pytest.raises(AssertionError, match=r"gradient\[\d+\]: analytic"):
        check_gradient(Wrong(objective, lambda loss, g: (loss, g * (1 + 1e-5))), theta)
    with pytest.raises(AssertionError, match="loss of swarm"):
        check_gradient(Wrong(objective, lambda loss, g: (loss * 1.001, g)), theta)
    with pytest.raises(AssertionError, match=r"the gradient is \(3,\), theta \(17,\)"):
        check_gradient(Wrong(objective, lambda loss, g: (loss, g[:3])), theta)


def test_many_weights_are_checked_along_random_directions(rng: np.random.Generator) -> None:
    data = MixedData(rng.normal(size=(4, 2)), rng.normal(size=(4, 1)))
    objective = Objective(Network((2, 60, 1)), data)
    theta = objective.initial(rng)
    assert len(theta) > 200
    assert check_gradient(objective, theta) == check_gradient(objective, theta) < 1e-8
    assert check_gradient(objective, theta, rng=rng) < 1e-8

    def one_entry(loss: float, gradient: Any) -> Any:
        return loss, gradient + 0.01 * np.eye(len(gradient))[7]

    with pytest.raises(AssertionError, match=r"gradient along random direction\[\d+\]"):
        check_gradient(Wrong(objective, one_entry), theta)
