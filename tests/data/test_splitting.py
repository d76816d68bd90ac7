"""Splitting: what may be held out, how much of each kind, and what must stay."""

import numpy as np
import pandas as pd
import pytest

from swarmnet import MixedData, SwarmnetError
from swarmnet.data.readers import open_files
from swarmnet.data.splitting import split, usual_fraction

NAN = np.nan


def mixed(values, slopes):
    """Points 0, 1, 2...: first those with a value, then those with a slope."""
    n = values + slopes
    Y, J = np.zeros(n), np.zeros((n, 1))
    Y[values:], J[:values] = NAN, NAN
    return MixedData(np.arange(n)[:, None], Y, J)


def held(data, fraction, seed=0):
    return set(split(data, fraction, seed)[1].X[:, 0])


def test_every_row_is_on_one_side_with_its_entries():
    rng = np.random.default_rng(0)
    data = MixedData(rng.random((50, 2)), rng.random(50), Y_sigma=np.full(50, 0.1))
    train, test = split(data, 0.3, 0)
    assert (train.n, test.n) == (35, 15)
    both = np.concatenate([np.hstack([part.X, part.Y]) for part in (train, test)])
    whole = np.hstack([data.X, data.Y])
    assert np.array_equal(both[np.lexsort(both.T)], whole[np.lexsort(whole.T)])
    assert (test.Y_sigma == 0.1).all()


def test_rows_at_one_point_stay_together():
    x = np.repeat(np.arange(20.0), 3)
    train, test = split(MixedData(x[:, None], Y=np.arange(60.0)), 0.25, 0)
    assert test.n == 15
    assert not set(train.X[:, 0]) & set(test.X[:, 0])


@pytest.mark.parametrize("seed", [*range(4), 2**40])
def test_each_kind_is_held_out_in_proportion(seed):
    test = split(mixed(20, 100), 0.25, seed)[1]
    assert (test.n_values, test.n_derivatives) == (5, 25)
    test = split(mixed(7, 50), 0.2, seed)[1]
    assert test.n_values in (1, 2)
    assert test.n_values + test.n_derivatives == 11


def test_a_point_is_of_the_kind_of_all_its_rows():
    """One row an entry: the ten points with a value and a slope come in proportion too."""
    points = np.repeat(np.arange(40.0), 2)[:, None]
    Y, J = np.full((40, 2), NAN), np.full((40, 2), NAN)
    Y[:, 0] = 0.0
    J[:10, 1] = 1.0
    Y[10:, 1] = 0.0
    test = split(MixedData(points, Y.ravel(), J.ravel()[:, None]), 0.2, 0)[1]
    assert (test.n, test.n_derivatives) == (16, 2)


def test_the_same_seed_gives_the_same_split():
    data = mixed(30, 30)
    assert held(data, 0.2, seed=1) == held(data, 0.2, seed=1) != held(data, 0.2, seed=2)


def test_every_point_has_the_same_chance():
    data = mixed(8, 12)
    count = np.bincount([int(x) for seed in range(400) for x in held(data, 0.25, seed)], minlength=20)
    assert ((count > 70) & (count < 130)).all()


@pytest.mark.parametrize("seed", range(10))
def test_the_only_value_is_not_held_out(seed):
    test = split(mixed(1, 9), 0.5, seed)[1]
    assert (test.n_values, test.n_derivatives) == (0, 5)


@pytest.mark.parametrize("seed", range(5))
def test_the_only_quantity_of_its_name_is_not_held_out(seed):
    frame = pd.DataFrame({"x": np.arange(20.0), "bend": 1.0})
    frame.loc[7, ["bend", "energy"]] = NAN, 2.0
    define = {"bend": "d2y/dx2", "energy": "y + x*dy/dx"}
    train, test = split(MixedData.from_frame(frame, ["x"], ["y"], define=define), 0.4, seed)
    assert 7.0 in train.X and test.n == 8


def test_kinds_with_one_point_each_can_still_be_split():
    data = MixedData([[0.0], [1.0]], Y=[1.0, NAN], J=[[NAN], [1.0]])
    train, test = split(data, 0.5, 0)
    assert (train.n, test.n) == (1, 1)


def test_more_kinds_than_rows_to_hold_out():
    assert split(mixed(2, 2), 0.25, 0)[1].n == 1


@pytest.mark.parametrize(("n", "fraction"), [(10, 0.0), (1, 0.2), (2, 0.2), (100, 0.004)])
def test_less_than_one_point_is_none(n, fraction):
    data = mixed(n, 0)
    train, test = split(data, fraction, 0)
    assert test is None
    assert train.n == n


@pytest.mark.parametrize(("points", "held_out"), [(1, 0), (4, 0), (22, 0), (23, 5), (50, 10)])
def test_usually_a_fifth_is_held_out_if_that_is_five_points(points, held_out):
    x = np.repeat(np.arange(points), 3)[:, None]  # rows at one point tell no more than one of them
    absent = MixedData(
        np.concatenate([x, [[-1.0], [-2.0]]]),
        np.r_[0.0 * x[:, 0], 1.0, NAN],
        weights=np.r_[np.ones(len(x)), 0.0, 1.0],
    )
    for data in (MixedData(x, x[:, 0]), absent):
        fraction = usual_fraction(data)
        assert fraction in (0.0, 0.2)
        test = split(MixedData(x, x[:, 0]), fraction, 0)[1]
        assert (0 if test is None else len(np.unique(test.X))) == held_out


def test_usually_few_rows_in_files_are_not_held_out(tmp_path):
    path = tmp_path / "few.csv"
    for rows, fraction in ((22, 0.0), (400, 0.2)):
        path.write_text("x,y\n" + "".join(f"{row},{row}\n" for row in range(rows)))
        assert usual_fraction(open_files(path)) == fraction


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5, NAN])
def test_fractions_out_of_range_are_refused(fraction):
    with pytest.raises(SwarmnetError, match="test fraction must be"):
        split(mixed(5, 5), fraction, 0)


def test_something_must_be_left_to_train_on():
    with pytest.raises(SwarmnetError, match="too few points"):
        split(mixed(3, 0), 0.9, 0)
    assert split(mixed(3, 0), 0.7, 0)[0].n == 1
