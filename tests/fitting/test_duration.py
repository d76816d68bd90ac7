"""The estimate of how long training takes."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from swarmnet import MixedData
from swarmnet.cli.commands import main
from swarmnet.fitting.duration import usual_seconds
from swarmnet.fitting.options import FitOptions
from swarmnet.trainers import Hybrid


def data(rows: int) -> MixedData:
    X = np.random.default_rng(0).uniform(-1.0, 1.0, (rows, 3))
    return MixedData(X, np.sin(3.0 * X[:, :1]) * X[:, 1:], inputs=["T", "p", "a"], outputs=["u", "h"])


def test_more_rows_take_longer() -> None:
    few, many = (usual_seconds(data(rows), FitOptions()) for rows in (50, 5000))
    assert few is not None and many is not None and 0.1 < few < many < 600.0


def test_train_announces_long_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    X = np.random.default_rng(0).uniform(-1, 1, (4000, 2))
    frame = pd.DataFrame(X, columns=["T", "p"]).assign(u=X[:, 0] ** 2 + X[:, 1], h=X[:, 0] * X[:, 1])
    monkeypatch.chdir(tmp_path)
    command = "swarmnet train data.csv --inputs T,p --outputs u,h"
    for rows, announced in ((4000, True), (40, False)):
        frame.iloc[:rows].to_csv("data.csv", index=False)
        monkeypatch.setattr(sys, "argv", command.split())
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        assert ("training may take about" in capsys.readouterr().err) == announced


@pytest.mark.parametrize(
    "options",
    [
        {"seconds": 5.0},
        {"iterations": 9},
        {"hidden": (8,)},
        {"hidden": ()},
        {"trainer": Hybrid(evaluations=99)},
    ],
)
def test_limited_fits_and_given_networks_have_no_estimate(options: dict[str, object]) -> None:
    assert usual_seconds(data(50), FitOptions(**options)) is None  # type: ignore[arg-type]
