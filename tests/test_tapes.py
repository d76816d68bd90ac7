"""Calls that are made again from a tape give what making them anew gives, to the last bit."""

from typing import Any

import numpy as np
import pytest

from swarmnet import Activation, MixedData, Network, Objective, tapes
from swarmnet.propagation import Layer
from swarmnet.tapes import TapedPropagation

KINDS = ("values", "single", "pairs", "full", "mixed")


def data_of(kind: str, rng: np.random.Generator, n: int = 400, d: int = 3, k: int = 2) -> MixedData:
    X, Y, J = rng.normal(size=(n, d)), rng.uniform(size=(n, k)), rng.normal(size=(n, k, d))
    if kind == "values":
        J[:] = np.nan
    elif kind == "single":
        Y[n // 2 :], J[: n // 2] = np.nan, np.nan
        J[:, 1] = np.nan
        J[:, 0][np.arange(n)[:, None] % d != np.arange(d)] = np.nan
    elif kind == "pairs":
        J[np.broadcast_to(np.arange(n)[:, None, None] % d == np.arange(d), J.shape)] = np.nan
    elif kind == "mixed":
        Y[rng.uniform(size=Y.shape) < 0.5], J[rng.uniform(size=J.shape) < 0.6] = np.nan, np.nan
    return MixedData(X, Y, J)


def same(found: Any, wanted: Any) -> None:
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus", "sine", "gelu", "relu"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threads", [1, 2])
def test_other_weights_find_no_traces_of_earlier_ones(
    activation: str, kind: str, threads: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarmnet.rows._TILE_ROWS", 60)  # several tiles of a kind
    net, data = Network([3, 7, 5, 2], activation), data_of(kind, rng)
    for dtype in ("float64", "float32"):
        options = {"dtype": dtype, "threads": threads, "l2": 1e-3}
        objective, swarm = Objective(net, data, **options), net.init(rng, 9)  # type: ignore[arg-type]
        for part in (swarm, swarm[::-1], swarm[:4], swarm):
            same([objective.loss(part)], [Objective(net, data, **options).loss(part)])
        for theta in swarm:
            same(objective.loss_and_gradient(theta), Objective(net, data, **options).loss_and_gradient(theta))


@pytest.mark.parametrize("kind", KINDS)
def test_minibatches_find_no_traces_of_earlier_ones(kind: str, rng: np.random.Generator) -> None:
    net, data = Network([3, 8, 2]), data_of(kind, rng)
    objective, theta = Objective(net, data), net.init(rng)
    for size in (50, 50, 7, 200, 50, 400, 7):
        rows = rng.permutation(data.n)[:size]
        same(objective.loss_and_gradient(theta, rows), Objective(net, data).loss_and_gradient(theta, rows))
    same(objective.loss_and_gradient(theta), Objective(net, data).loss_and_gradient(theta))


def test_cross_entropy_is_made_again(rng: np.random.Generator) -> None:
    net, data = Network([3, 6, 2], ["tanh", "sigmoid"]), data_of("mixed", rng)
    objective, swarm = Objective(net, data, loss="cross-entropy"), net.init(rng, 5)
    for part in (swarm, swarm[::-1]):
        fresh = Objective(net, data, loss="cross-entropy")
        same([objective.loss(part)], [fresh.loss(part)])
        same(objective.loss_and_gradient(part[0]), fresh.loss_and_gradient(part[0]))


def test_a_users_own_activation_is_made_again(rng: np.random.Generator) -> None:
    def value(z: Any, out: Any) -> None:
        out[...] = np.where(z > 0.0, z, 0.1 * z**2)  # arrays of its own, and a choice by the numbers

    def slope(z: Any, a: Any, out: Any) -> None:
        out[...] = np.where(z > 0.0, 1.0, 0.2 * z)

    def curvature(z: Any, a: Any, s: Any, out: Any) -> None:
        out[...] = np.where(z > 0.0, 0.0, 0.2)

    net = Network([3, 6, 6, 2], Activation("bent", value, slope, curvature))
    data = data_of("mixed", rng)
    objective = Objective(net, data)
    for theta in net.init(rng, 4):
        same(objective.loss_and_gradient(theta), Objective(net, data).loss_and_gradient(theta))
        same([objective.loss(theta)], [Objective(net, data).loss(theta)])


def test_buffers_that_move_take_their_tapes_along(rng: np.random.Generator) -> None:
    net, data = Network([3, 6, 2]), data_of("mixed", rng)
    objective, swarm = Objective(net, data, threads=1), net.init(rng, 40)
    hidden = swarm[:, : objective.hidden_size]

    def is_as_new(part: Any, theta: Any) -> None:
        same([objective.loss(part)], [Objective(net, data, threads=1).loss(part)])
        same(objective.loss_and_gradient(theta), Objective(net, data, threads=1).loss_and_gradient(theta))

    for _ in range(3):  # until nothing is recorded any more
        is_as_new(swarm[:2], swarm[0])
    objective.projected(hidden)  # not from a tape, and it needs more memory
    is_as_new(swarm[2:4], swarm[1])
    is_as_new(swarm, swarm[2])
    objective.normal_equations(swarm[3])
    is_as_new(swarm[4:6], swarm[4])


def test_calls_are_made_from_the_tape_the_second_time(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = 0
    plain = TapedPropagation._recorded

    def counted(self: Any, *args: Any) -> Any:
        nonlocal recorded
        recorded += 1
        return plain(self, *args)

    monkeypatch.setattr(TapedPropagation, "_recorded", counted)
    net, data = Network([3, 6, 2]), data_of("full", rng)
    objective, theta = Objective(net, data, threads=1), net.init(rng)
    objective.loss_and_gradient(theta)
    once = recorded
    for _ in range(3):
        objective.loss_and_gradient(theta)
    assert once > 0
    assert recorded == once


def test_only_so_many_tapes_are_kept(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tapes, "_MOST", 2)
    net, data = Network([3, 6, 2]), data_of("mixed", rng)
    objective, swarm = Objective(net, data, threads=1), net.init(rng, 7)
    for count in (7, 5, 3, 7, 5, 3):
        same([objective.loss(swarm[:count])], [Objective(net, data, threads=1).loss(swarm[:count])])
        (passes,) = objective._rows._passes  # type: ignore[attr-defined]
        assert 0 < len(passes._tapes) <= 2


def test_ctrl_c_between_two_tiles_leaves_no_half_a_tile(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarmnet.rows._FEW", 0)  # two tiles, not all rows in one
    net, data = Network([3, 6, 2]), data_of("single", rng)
    objective, theta = Objective(net, data, threads=1), net.init(rng)
    for _ in range(3):  # until nothing is recorded any more
        wanted = objective.loss_and_gradient(theta)
    plain, asked = TapedPropagation._buffers, 0

    def interrupted(self: Any, tile: Any) -> Any:
        nonlocal asked
        asked += 1
        buffers = plain(self, tile)
        if asked < 2:
            return buffers
        return (buffer if number == 0 else interrupt() for number, buffer in enumerate(buffers))

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TapedPropagation, "_buffers", interrupted)
    with pytest.raises(KeyboardInterrupt):
        objective.loss_and_gradient(theta)
    monkeypatch.setattr(TapedPropagation, "_buffers", plain)
    assert asked == 2
    same(objective.loss_and_gradient(theta), wanted)


def test_ctrl_c_while_weights_are_loaded_leaves_no_half_of_them(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, data = Network([3, 6, 2]), data_of("values", rng)
    objective, swarm = Objective(net, data, threads=1), net.init(rng, 4)
    objective.loss_and_gradient(swarm[3])

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Layer, "weights", interrupt)
        with pytest.raises(KeyboardInterrupt):
            objective.loss(swarm)
    for _ in range(2):
        same([objective.loss(swarm)], [Objective(net, data, threads=1).loss(swarm)])


def test_ctrl_c_while_a_buffer_grows_leaves_no_tape_of_the_old_one(rng: np.random.Generator) -> None:
    net, data = Network([3, 6, 2]), data_of("values", rng)
    objective, swarm = Objective(net, data, threads=1), net.init(rng, 40)
    for _ in range(3):  # until nothing is recorded any more
        objective.loss(swarm[:2])

    class Interrupted(dict[Any, Any]):
        def clear(self) -> None:
            super().clear()
            raise KeyboardInterrupt

    (passes,) = objective._rows._passes  # type: ignore[attr-defined]
    plain = passes._views["theta"]
    passes._views["theta"] = Interrupted(plain)
    with pytest.raises(KeyboardInterrupt):
        objective.loss(swarm)
    passes._views["theta"] = plain
    plain.clear()
    for part in (swarm[2:4], swarm, swarm[4:6]):
        same([objective.loss(part)], [Objective(net, data, threads=1).loss(part)])
