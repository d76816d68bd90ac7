"""Objectives with constraints: derivatives of hinge residuals."""

from dataclasses import replace

import numpy as np
import pytest

from swarmnet import MixedData, Network, Objective
from swarmnet.data.constraints import constraints_of
from swarmnet.objective.constrained import ConstrainedObjective

INPUTS, OUTPUTS = ("T", "p"), ("v", "h")
REQUIRE = ("dh/dT >= 0.1", "d2h/dTdp <= v", "exp(v)*dv/dp > 1")
RNG = np.random.default_rng(0)
DATA = MixedData(RNG.normal(size=(9, 2)), RNG.normal(size=(9, 2)), inputs=INPUTS, outputs=OUTPUTS)


@pytest.fixture
def constrained():
    data = Objective(Network((2, 3, 2)), DATA, derivative_weight=0.7, l2=0.01)
    quantities = [found.quantity for found in constraints_of(REQUIRE, {}, INPUTS, OUTPUTS)]
    objective = ConstrainedObjective(data, quantities)
    for number, hinge in enumerate(objective.hinges):
        points, margin = RNG.normal(size=(7, 2)), RNG.uniform(0.0, 0.5, 7)
        objective.hinges[number] = replace(hinge, X=points, margin=margin, weight=RNG.uniform(1.0, 3.0, 7))
    return objective


THETA = np.random.default_rng(1).normal(size=Network((2, 3, 2)).size)


def hinged(objective, theta):
    """The sum of squares of the hinges, from the network's own derivatives."""
    net, total = objective.data.net, 0.0
    for quantity, hinge in zip((h.quantity for h in objective.hinges), objective.hinges, strict=True):
        answers = net.forward(theta, hinge.X), net.jacobian(theta, hinge.X), net.hessian(theta, hinge.X)
        arguments = [answers[len(along)][(slice(None), o, *along)] for o, along in quantity.arguments]
        g = quantity.evaluate(hinge.X, np.array(arguments))[0]
        total += hinge.weight @ np.minimum(g - hinge.margin, 0.0) ** 2
    return total


def test_the_loss_has_the_squares_of_violations_alone(constrained):
    loss = constrained.loss_and_gradient(THETA)[0]
    assert loss == pytest.approx(float(constrained.data.loss(THETA)) + hinged(constrained, THETA), rel=1e-12)
    assert constrained.group_squares(THETA)[-1] == pytest.approx(hinged(constrained, THETA), rel=1e-12)
    for number, hinge in enumerate(constrained.hinges):
        constrained.hinges[number] = replace(hinge, margin=hinge.margin - 1e3)
    assert constrained.loss_and_gradient(THETA)[0] == pytest.approx(float(constrained.data.loss(THETA)))


def test_the_gradient_is_that_of_the_loss(constrained):
    step = 1e-6 * np.eye(len(THETA))
    losses = [[constrained.loss_and_gradient(THETA + sign * e)[0] for e in step] for sign in (1, -1)]
    differences = np.subtract(*losses) / 2e-6
    np.testing.assert_allclose(constrained.loss_and_gradient(THETA)[1], differences, rtol=1e-6, atol=1e-7)


def test_gauss_newton_is_that_of_all_residuals(constrained):
    precision = np.linspace(0.5, 2.0, len(constrained.groups.count))
    squares, Jr, JJ = constrained.gauss_newton(THETA, precision)
    r, J, group = constrained.residual_jacobian(THETA, precision)
    np.testing.assert_allclose(JJ, J.T @ J, atol=1e-10)
    np.testing.assert_allclose(Jr, J.T @ r, atol=1e-10)
    np.testing.assert_allclose(squares * precision, np.bincount(group, r * r, len(precision)))
    assert (group == len(precision) - 1).sum() > 0
