"""Columns that look like derivatives: never left out in silence, and no false alarms."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import swarmnet
from swarmnet.data.column_roles import TargetError, long_roles_of, roles_of
from swarmnet.data.look_alikes import LookAlikes
from swarmnet.errors import SwarmnetError

ALIKE = LookAlikes(inputs=["p", "T", "x1", "t"], outputs=["h", "E", "g_1"])
DATASETS = sorted((Path(__file__).parents[2] / "datasets").glob("*.csv"))


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("dh_dT", "dh/dT"),
        ("dhdT", "dh/dT"),
        ("d_h_d_T", "dh/dT"),
        ("h_T", "dh/dT"),
        ("-h_T", "-dh/dT"),
        ("dH/dT", "dh/dT"),
        ("DH_DP", "dh/dp"),
        ("dh_dt", "dh/dt"),
        ("-dE/dx1", "-dE/dx1"),
        ("- dE / dx1", "-dE/dx1"),
        ("\u2212dE/dx1", "-dE/dx1"),
        ("\u2202h/\u2202T", "dh/dT"),
        ("\U0001d715h/\U0001d715T", "dh/dT"),
        ("d(h)/d(T)", "dh/dT"),
        ("diff(h,T)", "dh/dT"),
        ("diff(h, t)", "dh/dt"),
        ("-diff(E, x1)", "-dE/dx1"),
        ("dg1dT", "dg_1/dT"),
        ("g_1_p", "dg_1/dp"),
        ("dh_dT [K]", "dh/dT"),
        ("-dE/dx1 (eV)", "-dE/dx1"),
        ("-dE/dx1 [eV/(nm s)]", "-dE/dx1"),
        ("-dE/dx1 (eV/(nm s))", "-dE/dx1"),
        ("h_T [J/K]", "dh/dT"),
        ("d(h)/d(T) [J]", "dh/dT"),
        ("-d2h/dT2", "-d2h/dT2"),
        ("d2h/dTdp (J)", "d2h/dTdp"),
    ],
)
def test_look_alikes(name: str, formula: str) -> None:
    assert ALIKE.formula(name) == formula


@pytest.mark.parametrize(
    "name",
    [
        "h",
        "T",
        "hT",
        "H_T",
        "H_p",
        "density",
        "depth",
        "d",
        "dT",
        "dh",
        "dh_dq",
        "dq_dT",
        "dpdh",
        "T_h",
        "diff(h)",
        "diff(T,h)",
        "time",
        "-h",
        "h_T_mean",
        "d2hdT2",
        "_",
        "-",
        "h [K]",
        "T (K)",
        "[K]",
        "h_T [x] mean",
        "-d2f/dT2",
    ],
)
def test_other_names_look_like_nothing(name: str) -> None:
    assert ALIKE.formula(name) is None


@pytest.mark.parametrize(
    ("columns", "formula"),
    [
        (["T", "h", "dh/dT [J/kg/K]"], "dh/dT"),
        (["T", "h", "d2h/dT2 (J)"], "d2h/dT2"),
        (["T [K]", "h [J]", "dh/dT [J/K]"], "`dh [J]/dT [K]`"),
        (["T [K]", "h [J]", "h_T [J/K]"], "`dh [J]/dT [K]`"),
    ],
)
def test_a_derivative_with_a_unit_is_an_error_with_its_formula(columns: list[str], formula: str) -> None:
    for target in (False, True):
        with pytest.raises(SwarmnetError, match="looks like a derivative") as caught:
            if target:
                long_roles_of([columns[0], "target", "value"], columns[1:], columns[:1], columns[1:2])
            else:
                roles_of(columns, columns[:1], columns[1:2])
        assert f"{columns[2]} = {formula}" in str(caught.value)
    roles = roles_of(columns, columns[:1], columns[1:2], {columns[2]: formula})
    assert columns[2] in roles.entries


def test_the_message_is_one_line() -> None:
    with pytest.raises(SwarmnetError) as caught:
        roles_of(["T", "h", "dh\n_dT"], ["T"], ["h"])
    assert str(caught.value).isprintable()


def test_names_that_need_back_quotes_get_them() -> None:
    alike = LookAlikes(["p (bar)"], ["E tot", "%"])
    assert alike.formula("-dEtot_dpbar") == "-`dE tot/dp (bar)`"
    assert alike.formula("d_dp (bar)") is None


@pytest.mark.parametrize(
    ("columns", "inputs", "outputs", "options"),
    [
        (
            ["T", "p", "h", "dh_dT"],
            ["p", "T"],
            ["h"],
            "--define \"dh_dT = dh/dT\" (define={'dh_dT': 'dh/dT'}",
        ),
        (
            ["T", "p", "h", "dhdp", "h_T"],
            ["p", "T"],
            "h",
            '--define "dhdp = dh/dp" --define "h_T = dh/dT" (define=',
        ),
        (["x1", "y", "-dy/dx1"], None, None, '--define "-dy/dx1 = -dy/dx1"'),
        (["T", "p", "h", "dh/dp", "dh_dT"], ["p", "T"], None, '--define "dh_dT = dh/dT"'),
        (["T", "p", "h", "dh/dp", "dH/dT"], ["p", "T"], ["h"], '--define "dH/dT = dh/dT"'),
        (["T", "h", "sigma(dh_dT)", "dh_dT"], ["T"], ["h"], '--define "dh_dT = dh/dT"'),
        (["T", "h", "dh_d$(T)"], ["T"], ["h"], "--define 'dh_d$(T) = dh/dT'"),
        (["T", "h", "dh;dT"], ["T"], ["h"], "--define 'dh;dT = dh/dT'"),
    ],
)
def test_a_look_alike_is_an_error_with_the_option_that_reads_it(
    columns: list[str], inputs: Any, outputs: Any, options: str
) -> None:
    with pytest.raises(SwarmnetError, match=re.escape(options)) as caught:
        roles_of(columns, inputs, outputs)
    define = dict(re.findall(r"--define [\"'](.+?) = (.+?)[\"']", str(caught.value)))
    assert define.keys() <= roles_of(columns, inputs, outputs, define).entries.keys()


@pytest.mark.parametrize(
    ("columns", "outputs", "words"),
    [
        (["T", "h", "dH/dT"], ["h", "H"], "'dH/dT' would make a second output 'H' beside 'h'"),
        (["T", "p", "h", "dh/dp", "dH/dT"], ["h", "H"], "'dH/dT' would make a second output 'H' beside 'h'"),
        (["x", "y", "dY/dx"], ["y", "Y"], "'dY/dx' would make a second output 'Y' beside 'y'"),
        (["x", "z", "dE/dx", "de/dz"], ["E", "e"], "'de/dz' would make a second output 'e' beside 'E'"),
    ],
)
def test_no_second_output_is_made_in_silence(columns: list[str], outputs: list[str], words: str) -> None:
    with pytest.raises(SwarmnetError, match=re.escape(words)) as caught:
        roles_of(columns)
    (name, formula), *_ = re.findall(r'--define "(.+?) = (.+?)"', str(caught.value))
    assert len(roles_of(columns, define={name: formula}).outputs) == 1
    inputs = [name for name in columns if len(name) == 1 and name not in outputs]
    assert roles_of(columns, inputs, outputs).outputs == tuple(outputs)


@pytest.mark.parametrize(
    ("targets", "outputs", "words"),
    [
        (["y", "dy_dx"], None, 'looks like a derivative: read it with --define "dy_dx = dy/dx"'),
        (["h", "dh/dx", "dH/dx"], None, "would make a second output 'H' beside 'h'"),
        (["h", "dH/dx"], ["h"], '--define "dH/dx = dh/dx"'),
    ],
)
def test_look_alikes_among_targets(targets: list[str], outputs: Any, words: str) -> None:
    with pytest.raises(TargetError, match=re.escape(words)) as caught:
        long_roles_of(["x", "target", "value"], targets, None, outputs)
    assert caught.value.target == targets[-1]


@pytest.mark.parametrize(
    ("columns", "inputs", "outputs"),
    [
        (["T", "h", "dh_dT"], ["T"], ["h", "dh_dT"]),
        (["T", "dh_dT", "h"], ["T", "dh_dT"], ["h"]),
        (["T", "h", "dh/dT", "dh_dT"], ["T"], ["h"]),
        (["T", "t", "h", "dh/dT"], ["t"], ["h"]),
        (["T", "h", "H", "dH/dT"], ["T"], ["h", "H"]),
        (["v", "dV/dv"], None, None),
        (["a+", "a-", "x", "da+/dx", "da-/dx"], None, None),
        (["T", "h", "density", "depth", "h_mean", "T_in"], ["T"], ["h"]),
    ],
)
def test_no_false_alarms(columns: list[str], inputs: Any, outputs: Any) -> None:
    assert roles_of(columns, inputs, outputs).outputs


@pytest.mark.parametrize("path", DATASETS, ids=lambda path: path.name)
def test_no_dataset_raises_an_alarm(path: Path) -> None:
    roles = {}
    if path.name.startswith("water_properties"):  # formulas of one function, which its names do not tell
        roles = {"inputs": ["T", "p"], "outputs": ["w", "cp", "mu", "rho", "h", "s"]}
    data = swarmnet.read_csv(path, **roles)
    assert swarmnet.read_csv(path, data.inputs, data.outputs).n == data.n


@pytest.mark.parametrize("names", [("dh_dT", "dh_dp"), ("dhdT", "dhdp"), ("h_T", "h_p"), ("dH/dT", "dH/dp")])
def test_water_with_other_names_of_its_slopes(names: tuple[str, str], tmp_path: Path) -> None:
    path = next(path for path in DATASETS if path.name == "water_enthalpy.csv")
    renamed = pd.read_csv(path).rename(columns={"dh/dT": names[0], "dh/dp": names[1]})
    renamed.to_csv(tmp_path / "water.csv", index=False)
    with pytest.raises(SwarmnetError) as caught:
        swarmnet.read_csv(tmp_path / "water.csv", ["T", "p"], ["h"])
    assert f'--define "{names[0]} = dh/dT"' in str(caught.value)
    define = dict(zip(names, ("dh/dT", "dh/dp"), strict=True))
    found = swarmnet.read_csv(tmp_path / "water.csv", define=define)
    assert repr(found) == repr(swarmnet.read_csv(path))
