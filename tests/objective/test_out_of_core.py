"""Sums over rows that stay in files are those over rows in memory, and all trainers run on them."""

import numpy as np
import pytest

import swarmnet
from swarmnet import Network, Objective, SwarmnetError
from swarmnet.data.readers import read
from swarmnet.objective.out_of_core import StreamedSource
from swarmnet.scaling import Preparation, Scaling
from swarmnet.trainers import TRAINERS, Hybrid
from swarmnet.trainers.stages import Stages
from tests.sharded import assert_same_sums, close, in_small_pieces, table, written

KINDS = ["parquet", "wide", "long"]


def pair(tmp_path, kind="parquet", sigmas=False, outputs=2, net=None, threads=2, **settings):
    """The same objective over rows in memory and over files."""
    path = written(tmp_path, table(sigmas=sigmas, outputs=outputs), kind)
    held, filed = read(path), in_small_pieces(path)
    net = net or Network((2, 5, 4, outputs))
    scaling = Scaling.of(held)
    memory = Objective(
        net, Preparation(scaling, held.statistics).of(held), measured=held, threads=threads, **settings
    )
    source = StreamedSource(filed, Preparation(Scaling.of(filed.statistics), filed.statistics))
    return memory, Objective(net, source, threads=threads, **settings)


@pytest.mark.parametrize("sigmas", [False, True], ids=["no sigmas", "sigmas"])
@pytest.mark.parametrize("kind", KINDS)
def test_sums_are_those_in_memory(tmp_path, kind, sigmas):
    if kind == "long" and sigmas:
        pytest.skip("a long table here has none")
    memory, files = pair(tmp_path, kind, sigmas, l2=0.01, derivative_weight=0.3)
    assert len(files._rows._extents) > 5
    assert_same_sums(memory, files)


def test_sums_are_those_in_memory_for_one_output(tmp_path):
    assert_same_sums(*pair(tmp_path, outputs=1))


def test_float32_shrinks_the_file_and_keeps_seven_digits(tmp_path):
    memory, files = pair(tmp_path)
    single = pair(tmp_path, dtype="float32")[1]
    theta = memory.initial(np.random.default_rng(0))
    np.testing.assert_allclose(single.loss(theta), memory.loss(theta), rtol=1e-5)
    assert single._rows._file._end < 0.8 * files._rows._file._end


def test_a_file_of_tiles_that_was_cut_off_is_an_error(tmp_path):
    files = pair(tmp_path)[1]
    theta = files.initial(np.random.default_rng(0))
    files._rows._file._file.truncate(100)
    with pytest.raises(SwarmnetError, match="cut off"):
        files.loss(theta)


def test_threads_change_nothing_to_the_last_bit(tmp_path):
    one, three = (pair(tmp_path, threads=threads)[1] for threads in (1, 3))
    theta = one.initial(np.random.default_rng(0))
    for name in ("loss_and_gradient", "normal_equations"):
        for found, expected in zip(getattr(three, name)(theta), getattr(one, name)(theta), strict=True):
            assert np.array_equal(found, expected)


@pytest.mark.parametrize("size", [1, 7, 50, 333, 10_000])
def test_minibatches_take_every_row_once_in_a_random_order(tmp_path, size):
    files = pair(tmp_path)[1]
    batches = list(files.batches(size, np.random.default_rng(0)))
    assert {len(batch) for batch in batches[:-1]} <= {size} and 0 < len(batches[-1]) <= size
    rows = np.concatenate(batches)
    assert not np.array_equal(rows, np.sort(rows))
    assert np.array_equal(np.sort(rows), np.arange(files.n_rows))


def test_the_gradients_of_minibatches_add_up_to_that_of_all_rows(tmp_path):
    memory, files = pair(tmp_path)
    theta = memory.initial(np.random.default_rng(0))
    batches = list(files.batches(120, np.random.default_rng(0)))
    total = sum(files.loss_and_gradient(theta, batch)[1] * len(batch) for batch in batches) / files.n_rows
    close(total, memory.loss_and_gradient(theta)[1])


def test_a_sample_of_all_rows_gives_the_normal_equations(tmp_path):
    memory, files = pair(tmp_path)
    theta = memory.initial(np.random.default_rng(0))
    precision = memory.unit_precision
    found = files.gauss_newton(theta, precision, np.arange(files.n_rows))
    for one, two in zip(found, memory.gauss_newton(theta, precision), strict=True):
        close(one, two)


@pytest.mark.parametrize("trainer", [*TRAINERS, "adam in minibatches"])
def test_every_trainer_trains_on_files_as_in_memory(tmp_path, trainer):
    path = written(tmp_path, table(outputs=1), "parquet")
    if trainer == "adam in minibatches":
        trainer = swarmnet.trainers.Adam(batch_size=64)
    settings = {"hidden": (5,), "trainer": trainer, "iterations": 4}
    filed = swarmnet.fit(in_small_pieces(path), **settings)
    held = swarmnet.fit(read(path), **settings)
    assert filed.training["rows"] == held.training["rows"] == 700
    assert filed.training["input_ranges"] == held.training["input_ranges"]
    assert filed.inputs == held.inputs
    # In float64 four iterations do not blow rounding up; other rows in a minibatch are another path.
    rtol = 0.5 if isinstance(trainer, swarmnet.trainers.Adam) else 1e-7
    np.testing.assert_allclose(filed.training["loss"], held.training["loss"], rtol=rtol)


def test_hybrid_prefers_the_preconditioned_lbfgs_where_lm_is_slow(tmp_path):
    trainer = Hybrid(iterations=60, stages=Stages(dear=0.0))
    path = written(tmp_path, table(outputs=1), "parquet")
    model = swarmnet.fit(in_small_pieces(path), hidden=(6,), trainer=trainer)
    errors = swarmnet.evaluate(model, in_small_pieces(path))
    assert set(model.history["stage"]) == {"projected", "lbfgs"}
    assert (errors["r2"] > 0.99).all()


def test_a_checkpoint_goes_on_where_it_was_and_knows_its_data(tmp_path):
    wide = table(outputs=1)
    path, file = written(tmp_path, wide, "parquet"), tmp_path / "run.ckpt"
    settings = {
        "hidden": (4,),
        "trainer": "lbfgs",
        "iterations": 12,
        "checkpoint": file,
        "checkpoint_every": 0,
    }
    whole = swarmnet.fit(in_small_pieces(path), **settings | {"checkpoint": None})

    class Crash(Exception):
        pass

    def crash(now):
        if now.iteration == 6:
            raise Crash

    with pytest.raises(Crash):
        swarmnet.fit(in_small_pieces(path), callback=crash, **settings)
    resumed = swarmnet.fit(in_small_pieces(path), **settings)
    assert np.array_equal(resumed.theta, whole.theta)
    wide.loc[500, "x2"] += 1e-9
    written(tmp_path, wide, "parquet")
    with pytest.raises(SwarmnetError, match="another run, which differs in data"):
        swarmnet.fit(in_small_pieces(path), **settings)


def test_outputs_without_values_are_pinned(tmp_path):
    wide = table(outputs=1)
    wide["y"] = np.nan
    path = written(tmp_path, wide, "parquet")
    with pytest.warns(swarmnet.SwarmnetWarning, match="no value of y"):
        model = swarmnet.fit(in_small_pieces(path), hidden=(4,), trainer="lbfgs", iterations=5)
    held = read(path)
    centre = held.X[held.entries_per_row > 0].mean(0)
    assert abs(model.predict([centre])[0, 0]) < 1e-12
    assert list(model.training["zero_at"]["y"].values()) == pytest.approx(centre.tolist(), rel=1e-12)


def test_a_disk_without_room_says_where_to_look_for_some(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    with pytest.raises(SwarmnetError, match=r"nowhere: cannot write .* environment variable TMPDIR"):
        pair(tmp_path)
