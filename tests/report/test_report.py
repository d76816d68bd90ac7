"""Reports as files: what is in them, that nothing in them is taken for code, and what goes wrong."""

import base64
import hashlib
import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import swarmnet
from swarmnet.errors import SwarmnetError
from swarmnet.network.trend import Trend
from swarmnet.report import content, tables
from swarmnet.report.writer import write_model_report
from tests.report_cases import HOSTILE, comparison_of, data_of, model_of

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

_VOID = {"meta", "link", "input", "img", "br"}


class Parsed(HTMLParser):
    """The elements of a page, with what is wrong about their nesting."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[int, str] = {}
        self.open: list[tuple[str, int]] = []
        self.faults: list[str] = []
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self.open.append((tag, len(self.elements) - 1))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1][0] != tag:
            self.faults.append(f"</{tag}> at {self.getpos()} closes {self.open[-1:]}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        for _, index in self.open:
            self.texts[index] = self.texts.get(index, "") + data

    def text(self, tag: str, **attributes: str) -> list[str]:
        """The text of each such element."""
        return [
            " ".join(self.texts.get(n, "").split())
            for n, (name, known) in enumerate(self.elements)
            if name == tag and attributes.items() <= known.items()
        ]

    def whole(self, tag: str, **attributes: str) -> str:
        """The text of the only such element, letter by letter."""
        (index,) = (
            n for n, (t, a) in enumerate(self.elements) if t == tag and attributes.items() <= a.items()
        )
        return self.texts[index]

    @property
    def content(self) -> Any:
        return json.loads(self.whole("script", id="content"))

    @property
    def policy(self) -> dict[str, list[str]]:
        text = next(
            a["content"] for t, a in self.elements if a.get("http-equiv") == "Content-Security-Policy"
        )
        return {first: rest for first, *rest in (part.split() for part in text.split(";"))}


def _model_page(tmp_path: Path, model: Any = None, data: Any = None) -> Parsed:
    model = model_of() if model is None else model
    model.report(tmp_path / "report.html", data)
    return Parsed(tmp_path / "report.html")


def _comparison_page(tmp_path: Path, **names: Any) -> Parsed:
    models = {"hybrid": model_of(**names), "pso": model_of(seed=1, bars=False, **names)}
    comparison_of(models, data_of(models["hybrid"])).report(tmp_path / "report.html")
    return Parsed(tmp_path / "report.html")


def test_a_models_report_has_its_parts(tmp_path: Path) -> None:
    model = model_of()
    page = _model_page(tmp_path, model, data_of(model))
    assert page.faults == [] and page.open == []
    assert page.text("h1") == ["h, v from T, p"]
    assert page.text("h2") == ["Profiler", "Errors on 30 rows", "What the data hold", "Training"]
    assert page.text("title") == page.text("h1")
    assert "2-5-4-2, tanh and linear, 49 weights" in page.text("dd")
    assert [q["name"] for q in page.content["quantities"]] == ["h", "dh/dT", "dh/dp", "v", "dv/dT", "dv/dp"]
    assert page.content["ranges"] == [[-10.0, 30.0], [-100.0, 300.0]]


def test_a_page_holds_the_formulas_that_the_model_answers(tmp_path: Path) -> None:
    define = {"cp": "dh/dT/1000", "mu": "d2h/dTdp + T*cp", "lost": "dh/dq", "wrong": "2*("}
    model = model_of()
    shown = _model_page(tmp_path, replace(model, training=model.training | {"define": define})).content
    assert [q["name"] for q in shown["quantities"][6:]] == ["cp", "mu"]
    assert shown["quantities"][7] == {
        "name": "mu",
        "tree": ["+", ["a", 1], ["*", ["x", 0], ["/", ["a", 0], 1000.0]]],
        "arguments": [{"o": 0, "j": 0, "i": None}, {"o": 0, "j": 0, "i": 1}],
    }
    assert shown["shown"] == list(range(8))
    odd = replace(model, training=model.training | {"define": ["cp"]})
    assert len(_model_page(tmp_path, odd).content["quantities"]) == 6


def test_a_report_tells_of_a_trend(tmp_path: Path) -> None:
    trend = Trend.of_degree(3, [-1.0, -2.0], [3.0, 3.0], 2)
    page = _model_page(tmp_path, model_of(hidden=(), trend=trend))
    assert "2-2 + degree 3, linear, 20 weights" in page.text("dd")


def test_the_network_is_drawn_unless_it_is_too_large(tmp_path: Path) -> None:
    def pictures(page: Parsed) -> list[str]:
        return [attributes["src"] for tag, attributes in page.elements if tag == "img"]

    (picture,) = pictures(_model_page(tmp_path, model_of(inputs=HOSTILE["inputs"], outputs=("能量", "<!--"))))
    texts = [
        element.text for element in ElementTree.fromstring(base64.b64decode(picture.partition(",")[2])).iter()
    ]
    assert "能量" in texts
    assert pictures(_model_page(tmp_path, model_of(hidden=(50,)))) == []


def test_without_data_there_are_no_errors(tmp_path: Path) -> None:
    page = _model_page(tmp_path)
    assert page.text("h2") == ["Profiler", "Training"]
    assert page.content["errors"] == [] and page.content["observed"] is None


def test_a_model_that_knows_nothing_of_its_training_is_reported(tmp_path: Path) -> None:
    known = model_of(bars=False)
    model = swarmnet.FittedModel(known.net, known.theta, known.scaling, known.inputs, known.outputs)
    page = _model_page(tmp_path, model)
    low, high = np.array(page.content["ranges"]).T
    np.testing.assert_allclose((low + high) / 2, model.scaling.x_offset)
    np.testing.assert_allclose((high - low) / 4, model.scaling.x_scale)
    assert page.content["losses"] == []


def test_an_input_that_does_not_vary_has_a_range(tmp_path: Path) -> None:
    model = model_of()
    model.training["input_ranges"]["T"] = [5.0, 5.0]
    low, high = _model_page(tmp_path, model).content["ranges"][0]
    assert low < 5.0 < high


def test_a_comparisons_report_has_its_parts(tmp_path: Path) -> None:
    page = _comparison_page(tmp_path)
    assert page.faults == [] and page.open == []
    assert page.text("h2") == [
        "Results",
        "Profiler of hybrid",
        "Errors on 30 rows",
        "What the data hold",
        "Training",
    ]
    assert [model["name"] for model in page.content["models"]] == ["hybrid", "pso"]
    assert [len(column["predicted"]) for column in page.content["errors"]] == [2] * 6
    assert [curve["name"] for curve in page.content["losses"][0]["curves"]] == ["hybrid", "pso"]


def test_errors_are_drawn_at_what_was_observed_and_predicted(tmp_path: Path) -> None:
    model = model_of()
    data = data_of(model)
    column = _model_page(tmp_path, model, data).content["errors"][2]
    assert column["name"] == "dh/dp"
    rows = np.flatnonzero(np.isfinite(data.J[:, 0, 1]))
    assert column["rows"] == rows.tolist()
    np.testing.assert_allclose(column["actual"], data.J[rows, 0, 1], rtol=1e-8)
    np.testing.assert_allclose(column["predicted"][0], model.jacobian(data.X)[rows, 0, 1], rtol=1e-8)


def test_errors_are_drawn_against_each_input_of_the_first_columns(tmp_path: Path) -> None:
    model = model_of()
    data = data_of(model)
    columns = _model_page(tmp_path, model, data).content["errors"]
    for column in columns:
        np.testing.assert_allclose(column["X"], data.X[column["rows"]].T, rtol=1e-15)
    model = model_of(inputs=tuple(f"x{j}" for j in range(10)), outputs=("y",))
    columns = _model_page(tmp_path, model, data_of(model)).content["errors"]
    assert [len(column["X"]) for column in columns] == [10] * 4 + [0] * (len(columns) - 4)


def test_large_data_are_drawn_in_part(tmp_path: Path) -> None:
    model = model_of()
    data = data_of(model, n=5000)
    page = _model_page(tmp_path, model, data)
    column = page.content["errors"][0]
    assert len(column["actual"]) == content.MOST_POINTS == len(page.content["observed"]["X"])
    assert f"{content.MOST_POINTS} of {np.isfinite(data.Y[:, 0]).sum()} entries" in column["note"]
    np.testing.assert_allclose(column["actual"], data.Y[column["rows"], 0], rtol=1e-8)


def test_the_first_panels_are_few_enough_to_look_at(tmp_path: Path) -> None:
    names = {"inputs": tuple(f"x{j}" for j in range(10)), "outputs": tuple(f"y{o}" for o in range(3))}
    shown = _model_page(tmp_path, model_of(**names)).content
    assert [shown["quantities"][number]["name"] for number in shown["shown"]] == ["y0"]
    shown = _model_page(tmp_path, model_of(inputs=tuple("abcdefgh"), outputs=("y1", "y2", "y3"))).content
    assert [shown["quantities"][number]["name"] for number in shown["shown"]] == ["y1", "y2", "y3"]


def test_why_there_are_no_error_bars_is_said(tmp_path: Path) -> None:
    (record,) = _model_page(tmp_path, model_of(bars=False)).content["models"]
    assert record["spread"] is None and "only hybrid and lm" in record["no_bars"]
    large = model_of(hidden=(34, 34))
    assert large.net.size > content.MOST_WEIGHTS
    (record,) = _model_page(tmp_path, large).content["models"]
    assert record["spread"] is None and str(large.net.size) in record["no_bars"]
    (record,) = _model_page(tmp_path).content["models"]
    assert record["spread"] is not None and record["no_bars"] == ""


@pytest.mark.parametrize(
    "make", [_comparison_page, lambda path, **names: _model_page(path, model_of(**names))]
)
def test_hostile_names_are_text(tmp_path: Path, make: Any) -> None:
    page = make(tmp_path, **HOSTILE)
    assert page.faults == [] and page.open == []
    assert [tag for tag, _ in page.elements].count("script") == 2
    assert all(a["src"].startswith("data:image/svg+xml;") for tag, a in page.elements if tag == "img")
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.content["inputs"] == list(HOSTILE["inputs"])
    block = page.whole("script", id="content")
    assert not set("<>&'\u2028\u2029") & set(block)
    assert HOSTILE["outputs"][0] in page.text("h1")[0]


def test_hostile_trainers_and_settings_are_text(tmp_path: Path) -> None:
    model = model_of()
    model.training["message"] = "</td></table><script>alert(1)</script>"
    comparison_of({"<i>a</i>": model, '"><script>': model}, data_of(model)).report(tmp_path / "report.html")
    page = Parsed(tmp_path / "report.html")
    assert page.faults == [] and [tag for tag, _ in page.elements].count("script") == 2
    assert "<i>a</i>" in page.text("th") and model.training["message"] in page.text("td")


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    page = _comparison_page(tmp_path)
    addresses = [
        attributes[name]
        for _, attributes in page.elements
        for name in ("src", "href", "srcset", "action", "data", "poster")
        if name in attributes
    ]
    assert addresses and all(address.startswith(("#", "data:")) for address in addresses)
    assert not re.search(r"@import|url\(", page.whole("style"))
    assert page.policy["default-src"] == ["'none'"]


def test_the_policy_names_the_style_and_the_script_that_are_there(tmp_path: Path) -> None:
    page = _model_page(tmp_path)
    for kind, text in (
        ("style-src", page.whole("style")),
        ("script-src", page.whole("script", type="module")),
    ):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert page.policy[kind] == [f"'sha256-{digest}'"]
    assert not any("style" in attributes for _, attributes in page.elements)


def test_the_licence_of_what_is_inside_is_inside(tmp_path: Path) -> None:
    assert "Copyright (c) 2022 Leon Sorokin" in _model_page(tmp_path).source


def test_the_same_model_gives_the_same_file(tmp_path: Path) -> None:
    assert _model_page(tmp_path).source == _model_page(tmp_path).source


def test_a_fitted_comparison_is_reported(tmp_path: Path) -> None:
    X = np.linspace(-1, 1, 12)[:, None]
    data = swarmnet.MixedData(X, np.sin(X), np.cos(X)[:, :, None])
    comparison = swarmnet.compare(data, ("lbfgs", "lm"), repeats=2, evaluations=200, hidden=(3,), test=data)
    comparison.report(tmp_path / "report.html")
    page = Parsed(tmp_path / "report.html")
    assert [model["name"] for model in page.content["models"]] == ["lm", "lbfgs", "lbfgs (values only)"]
    losses = comparison.runs[comparison.runs["trainer"] == "lbfgs"].set_index("repeat")["loss"]
    kept = comparison.models["lbfgs", int(losses.idxmin())]  # of two the lower
    assert page.content["models"][1]["theta"] == base64.b64encode(kept.theta.tobytes()).decode()
    curves = page.content["losses"][0]["curves"]
    assert [curve["name"] for curve in curves] == ["lbfgs", "lm"]
    for curve in curves:
        assert np.all(np.array(curve["low"]) <= curve["median"]) and np.all(np.diff(curve["median"]) <= 0)
    best = comparison.table["rmse(y)"].min()
    assert any(text.startswith(tables.short(best, 3)) for text in page.text("td", **{"class": "number best"}))


def test_a_report_replaces_a_file_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(SwarmnetError, match="No space left"):
        model_of().report(path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_mistakes_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of()
    with pytest.raises(SwarmnetError, match="cannot write"):
        model.report(tmp_path / "missing" / "report.html")
    with pytest.raises(SwarmnetError, match="inputs"):
        model.report(tmp_path / "report.html", data_of(model_of(inputs=("a", "b"))))
    act = swarmnet.Activation("cube", lambda z, out: None, lambda z, a, out: None, lambda z, a, s, out: None)
    net = swarmnet.Network((2, 3, 2), act)
    own = swarmnet.FittedModel(net, np.ones(net.size), model.scaling, model.inputs, model.outputs)
    with pytest.raises(SwarmnetError, match="'cube'"):
        own.report(tmp_path / "report.html")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(SwarmnetError, match=r'pip install "\.\[report\]"'):
        write_model_report(model, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (1.5e7, "1.5e7"),
        (-2.345678e-5, "-2.346e-5"),
        (411764.3, "411764"),
        (3.14159, "3.142"),
        (12, "12"),
    ],
)
def test_short_numbers(number: float, text: str) -> None:
    assert tables.short(number) == text


def test_cells() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan], "none": [np.nan, np.nan], "text": ["x", "<y>"]})
    table = tables.frame_table(frame, "title")
    assert [head.text for head in table.columns] == ["a", "b", "text"]
    assert [[cell.text for cell in row] for row in table.rows] == [["1", "0.5", "x"], ["2", "", "<y>"]]
    assert [head.number for head in table.columns] == [True, True, False]
