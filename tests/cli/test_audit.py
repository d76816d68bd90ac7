"""What commands show of the audit: verdicts after training, and the numbers in the inspection of a model."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from swarmnet.cli import commands


def test_train_names_rows_as_the_file_counts_them_and_inspect_shows_the_audit(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["swarmnet", *arguments])
        with pytest.raises(SystemExit) as ended:
            commands.main()
        return ended.value.code or 0, *capsys.readouterr()

    x = np.linspace(-1, 1, 40)
    y = x**2 + 0.02 * np.random.default_rng(0).normal(size=40)
    y[33] += 50.0
    pd.DataFrame({"x": x, "y": y}).to_csv("odd.csv", index=False)
    options = (
        "--hidden",
        "none",
        "--degree",
        "2",
        "--trainer",
        "lm",
        "--test-fraction",
        "0.2",
        "--seed",
        "1",
    )
    code, _, err = run("train", "odd.csv", "-o", "m.json", *options)
    assert code == 0
    told = [line for line in err.splitlines() if "sticks out" in line]
    assert len(told) == 1 and told[0].startswith("warning: y: 1 row sticks out by more than ")
    assert told[0].endswith(": 33 (by 50)")
    out = run("inspect", "m.json")[1]
    assert "audit of y" in out and "33 (by 50)" in out and "noise 0.0" in out
    record = json.loads(run("inspect", "m.json", "--json")[1])["training"]["audit"]
    assert [row["column"] for row in record] == ["y"] and record[0]["row"] == 33
