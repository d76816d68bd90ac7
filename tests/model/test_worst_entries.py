"""The entries with the largest residuals: by hand, of values, partials and quantities together."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import swarmnet
from swarmnet import MixedData, SwarmnetError, worst_entries
from tests.model.test_metrics import data, plane

NAN = np.nan
X = [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]  # h = 2 T - 3 p + 1 is 1, 3, 5, 7


def test_by_hand():
    """Residuals of h are 0, 1, -2 and 1 sigma of 0.1; those of dh/dp are 0.5 and 0."""
    J = np.full((4, 1, 2), NAN)
    J[1:3, 0, 1] = -3.5, -3.0
    known = data(X, [1.0, 2.0, 7.0, 6.9], J, Y_sigma=[NAN, NAN, NAN, 0.1])
    found = worst_entries(replace(plane(), training={"noise": {"h": 0.5}}), known, 4)
    assert found["row"].tolist() == [2, 1, 1, 3]
    assert found["column"].tolist() == ["h", "h", "dh/dp", "h"]
    assert found["noise_from"].tolist() == ["estimated", "estimated", "rmse", "sigma"]
    assert found["residual"].tolist() == pytest.approx([-2.0, 1.0, 0.5, 0.1])
    assert found["ratio"].tolist() == pytest.approx([-4.0, 2.0, 0.5 / np.sqrt(0.125), 1.0])
    np.testing.assert_allclose(found["predicted"] - found["observed"], found["residual"])
    np.testing.assert_allclose(found["residual"] / found["noise"], found["ratio"])


def test_rows_of_weight_0_do_not_count_and_keep_their_numbers():
    found = worst_entries(plane(), data(X, [9.0, 3.0, 9.0, 7.0], weights=[0, 1, 1, 1]))
    assert found["row"].tolist() == [2, 1, 3]


def test_error_bars_and_quantities():
    T = np.linspace(1.0, 2.0, 8)
    frame = pd.DataFrame({"T": T, "h": T**2, "twice": 4 * T + np.sin(40 * T)})
    known = MixedData.from_frame(frame, ["T"], ["h"], define={"twice": "2*dh/dT + 0*h"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = swarmnet.fit(known, hidden=(3,), trainer="lm", iterations=60)
    found = worst_entries(model, known, 100)
    assert len(found) == 16 and set(found["column"]) == {"h", "twice"}
    assert (np.diff(found["ratio"].abs()) <= 0).all()
    for _, entry in found.iterrows():
        query = model.predict if entry["column"] == "h" else lambda X, s: model.quantity("twice", X, s)
        best, std = (np.ravel(answer)[0] for answer in query([[T[entry["row"]]]], True))
        assert (entry["predicted"], entry["error_bar"]) == pytest.approx((best, std))


def test_exact_answers_and_extremes():
    assert worst_entries(plane(), data(X, [1.0, 3.0, 5.0, 7.0]))["ratio"].tolist() == [0.0] * 4
    found = worst_entries(plane(), data(X, [1e300, 3.0, 5.0, 7.0]))
    assert found["ratio"].iloc[0] == pytest.approx(-2.0)


@pytest.mark.parametrize(("n", "words"), [(0, "n must be"), (1.5, "n must be")])
def test_what_is_refused(n, words):
    with pytest.raises(SwarmnetError, match=words):
        worst_entries(plane(), data(X, [1.0, 3.0, 5.0, 7.0]), n)
    with pytest.raises(SwarmnetError, match="must be MixedData"):
        worst_entries(plane(), "data.csv")
