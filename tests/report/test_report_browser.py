"""The report in a browser: headless Chromium, without a network. Skipped where there is none."""

import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmnet.model.fitted_model import FittedModel
from swarmnet.network.activations import TABLE
from swarmnet.network.trend import Trend
from swarmnet.scaling import Scaling
from tests.report_cases import HOSTILE, comparison_of, data_of, model_of

_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    _BROWSER is None or _DRIVER is None,
    reason="needs Chromium and chromedriver (apt install chromium-driver)",
)

_SETTLE = """
const done = arguments[0], profiler = document.getElementById("profiler");
const look = () => (profiler.getAttribute("aria-busy") === "false" ? done() : setTimeout(look, 5));
requestAnimationFrame(() => requestAnimationFrame(look));
"""


class Page:
    """A report, as a person has it before them."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path) -> None:
        self.driver.get_log("browser")
        self.driver.get(path.as_uri())
        self.settle()

    def settle(self) -> None:
        """Wait until all is computed and drawn."""
        self.driver.execute_async_script(_SETTLE)

    def script(self, text: str, *arguments: Any) -> Any:
        return self.driver.execute_script(text, *arguments)

    def find(self, css: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", css))

    def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def type(self, x: Any) -> None:
        """Enter a number for each input."""
        for box, value in zip(self.find(".card input[type=number]"), x, strict=True):
            self.script(
                "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))",
                box,
                repr(float(value)),
            )
        self.settle()

    def choose(self, which: int, text: str) -> None:
        """An option of the model's list (0), or of the list of models beside it (1)."""
        self.script(
            "const list = document.querySelectorAll('.models select')[arguments[0]];"
            "list.value = [...list.options].find((option) => option.text === arguments[1]).value;"
            "list.dispatchEvent(new Event('change'))",
            which,
            text,
        )
        self.settle()

    def numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """The table at the current point: values and two standard deviations, all digits."""
        read = "return [...document.querySelectorAll(arguments[0])].map((cell) => cell.value)"
        value, sigma = (self.script(read, f".numbers .{name}") for name in ("value", "sigma"))
        return np.array(value, float), np.array([s or "nan" for s in sigma], float)

    def curves(self) -> list[list[Any]]:
        """What each panel draws: x, lower and upper edge of the band, curve, curve beside, tangent, point."""
        charts = "[...document.querySelectorAll('.panel .chart')]"
        return list(self.script(f"return {charts}.map((holder) => holder.chart.data.map((row) => [...row]))"))

    def pictures(self) -> list[str]:
        canvases = "[...document.querySelectorAll('.panel canvas')]"
        return list(self.script(f"return {canvases}.map((canvas) => canvas.toDataURL())"))

    def complaints(self) -> list[Any]:
        return list(self.driver.get_log("browser"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    selenium = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install selenium")
    os.environ["SE_OFFLINE"] = "true"  # Selenium must not look for a browser of its own
    options = selenium.ChromeOptions()
    options.binary_location = _BROWSER
    for switch in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--window-size=1280,900",
    ):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(executable_path=_DRIVER))
    driver.set_script_timeout(20)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: Any) -> Page:
    page = Page(browser)
    page.resize(1280, 900)
    return page


def _answers(model: FittedModel, X: Any) -> tuple[np.ndarray, np.ndarray]:
    """(n, quantities) in the page's order, an output's value and then its partials, and their deviations."""
    Y, Y_std = model.predict(X, return_std=True)
    J, J_std = model.jacobian(X, return_std=True)
    pairs = [(Y, J), (Y_std, J_std)]
    both = [np.concatenate([a[:, :, None], b], axis=2).reshape(len(Y), -1) for a, b in pairs]
    return both[0], both[1]


def test_numbers_of_every_activation_are_those_of_the_model(page: Page, tmp_path: Path) -> None:
    models = {name: model_of(name, seed=n) for n, name in enumerate(TABLE)}
    models["sigmoid output"] = model_of("tanh", seed=20, last="sigmoid")
    comparison_of(models, data_of(models["tanh"])).report(tmp_path / "report.html")
    page.open(tmp_path / "report.html")
    for name, model in models.items():
        page.choose(0, name)
        for x in ([1.3, -250.0], [25.0, 90.0]):
            page.type(x)
            value, band = page.numbers()
            expected, std = _answers(model, [x])
            np.testing.assert_allclose(value, expected[0], rtol=1e-9, err_msg=name)
            np.testing.assert_allclose(
                band, 2 * std[0], rtol=1e-4, err_msg=name
            )  # the model's are in single precision
    assert page.complaints() == []


@pytest.mark.parametrize(("hidden", "degree"), [((), 4), ((3,), 3), ((4, 3), 3)], ids=str)
def test_numbers_with_a_trend_are_those_of_the_model(
    page: Page, tmp_path: Path, hidden: tuple[int, ...], degree: int
) -> None:
    trend = Trend.of_degree(degree, [-1.0, -2.0, -1.5], [3.0, 3.0, 2.5], 1 if hidden else 2)
    model = model_of(inputs=("T", "p", "a"), outputs=("v", "h"), hidden=hidden, trend=trend)
    comparison_of({"": model}, data_of(model)).report(tmp_path / "report.html")
    page.open(tmp_path / "report.html")
    for x in ([1.3, -50.0, 2000.0], [25.0, 90.0, -300.0]):
        page.type(x)
        value, band = page.numbers()
        expected, std = _answers(model, [x])
        np.testing.assert_allclose(value, expected[0], rtol=1e-9)
        np.testing.assert_allclose(band, 2 * std[0], rtol=1e-4)
    assert page.complaints() == []


@pytest.mark.parametrize(("hidden", "degree"), [((5, 4), 0), ((), 4), ((5, 4), 3)], ids=str)
def test_curves_bands_and_tangents_are_the_models(
    page: Page, tmp_path: Path, hidden: tuple[int, ...], degree: int
) -> None:
    trend = Trend.of_degree(degree, [-1.0, -2.0], [3.0, 3.0]) if degree else None
    model, other = model_of("tanh", seed=3, hidden=hidden, trend=trend), model_of("sine", seed=4)
    comparison_of({"one": model, "other": other}, data_of(model)).report(tmp_path / "report.html")
    page.open(tmp_path / "report.html")
    page.choose(0, "one")
    page.choose(1, "other")
    here = np.array([2.5, -21.0])
    page.type(here)
    slopes = np.concatenate([model.jacobian([here])[0][:, None], model.hessian([here])[0]], axis=1).reshape(
        6, 2
    )
    panels = page.curves()
    assert len(panels) == 2 * 6
    for j in range(2):
        points = np.tile(here, (len(panels[6 * j][0]), 1))
        points[:, j] = panels[6 * j][0]
        expected, std = _answers(model, points)
        dashed = _answers(other, points)[0]
        at = int(np.flatnonzero(points[:, j] == here[j])[0])
        grid = np.delete(np.arange(len(points)), at)[::2]  # bands are computed there and at the point itself
        for q in range(6):
            _, low, high, curve, beside, tangent, point = (np.array(row, float) for row in panels[6 * j + q])
            np.testing.assert_allclose(curve, expected[:, q], rtol=1e-9)
            np.testing.assert_allclose(beside, dashed[:, q], rtol=1e-9)
            np.testing.assert_allclose((high - low)[grid] / 4, std[grid, q], rtol=1e-4)
            np.testing.assert_allclose((high + low) / 2, curve, rtol=1e-9)
            assert np.flatnonzero(np.isfinite(point)).tolist() == [at] and point[at] == curve[at]
            drawn = np.flatnonzero(np.isfinite(tangent))
            assert drawn[0] < at < drawn[-1]
            rise = (tangent[drawn[-1]] - tangent[drawn[0]]) / np.ptp(points[drawn, j])
            np.testing.assert_allclose(rise, slopes[q, j], rtol=1e-6)
    assert page.complaints() == []


def test_observations_are_drawn_as_far_from_the_curve_as_their_residuals(page: Page, tmp_path: Path) -> None:
    """At the observation's own input, in the slice: what the model answers there, and the residual."""
    model = model_of()
    data = data_of(model)
    data = replace(data, weights=np.where(np.arange(data.n) == 4, 0.0, 1.0))
    model.report(tmp_path / "report.html", data)
    page.open(tmp_path / "report.html")
    x = data.X[3] + [0.3, 5.0]
    page.type(x)
    drawn = page.script(
        "return [...document.querySelectorAll('.panel .chart')].map((holder) =>"
        "holder.observed.map((dot) => [dot.x, dot.y, dot.opacity]))"
    )
    assert any(drawn)
    low, high = np.array([model.training["input_ranges"][name] for name in model.inputs]).T
    quantities = [(name, o, j) for o in range(2) for name, j in [("", None), ("T", 0), ("p", 1)]]
    panels = [(along, q) for along in range(2) for q in quantities]
    assert len(panels) == len(drawn)
    for (along, (_, o, j)), dots in zip(panels, drawn, strict=True):
        observed = data.Y[:, o] if j is None else data.J[:, o, j]
        far = (data.X[:, 1 - along] - x[1 - along]) / (0.05 * (high - low)[1 - along])
        near = np.flatnonzero(np.isfinite(observed) & (far**2 <= 6) & (data.row_weights > 0))
        in_slice = np.tile(x, (len(near), 1))
        in_slice[:, along] = data.X[near, along]

        def answers(X: np.ndarray, o: int = o, j: int | None = j) -> np.ndarray:
            return model.predict(X)[:, o] if j is None else model.jacobian(X)[:, o, j]

        y = observed[near] + answers(in_slice) - answers(data.X[near]) if len(near) else []
        expected = np.column_stack([data.X[near, along], y, np.exp(-(far[near] ** 2) / 2)])
        np.testing.assert_allclose(np.reshape(dots, (-1, 3)), expected, rtol=1e-9)


def test_numbers_that_differ_in_late_digits_are_told_apart(page: Page, tmp_path: Path) -> None:
    model = model_of()
    units = model.scaling
    scaling = Scaling(
        np.array([1.7e9, 0.0]), units.x_scale, np.array([-291230.0, 0.0]), np.array([1e-2, 1.0])
    )
    ranges = {"T": [1.7e9 - 20, 1.7e9 + 20], "p": [-100, 100]}
    model = replace(model, scaling=scaling, training=model.training | {"input_ranges": ranges})
    model.report(tmp_path / "report.html")
    page.open(tmp_path / "report.html")
    assert page.find(".card .range")[0].text == "1699999980 to 1700000020"
    shown = page.find(".numbers .value")[0].text
    values, _ = page.numbers()
    assert abs(float(shown) - values[0]) < 1e-4


_LABELS = """
return [...document.querySelectorAll(".panel .chart")].map(({chart, clientWidth}) => {
  const axis = chart.axes[0];
  const left = chart.over.getBoundingClientRect().left - chart.root.getBoundingClientRect().left;
  chart.ctx.font = "12px system-ui, sans-serif";
  return axis._splits.map((at, n) => {
    const middle = left + chart.valToPos(at, "x"), half = chart.ctx.measureText(axis._values[n]).width / 2;
    return [axis._values[n], at, middle - half, clientWidth - middle - half, middle + half];
  });
});
"""


def test_narrow_charts_have_two_numbers_along_them_that_neither_meet_nor_are_cut(
    page: Page, tmp_path: Path
) -> None:
    model = model_of(inputs=("T", "t", "mass fraction"), outputs=("h",))
    ranges = {"T": [299.012, 300.992], "t": [1.7e9 - 20, 1.7e9 + 20], "mass fraction": [0.00901, 0.01098]}
    for name, (low, high) in ranges.items():
        model.training["input_ranges"][name] = [low, high]
    model.report(tmp_path / "report.html")
    page.open(tmp_path / "report.html")
    panels = page.script(_LABELS)
    assert len(panels) == 3 * 4
    for labels in panels:
        assert len(labels) >= 2
        assert [float(text) for text, *_ in labels] == pytest.approx([at for _, at, *_ in labels], rel=1e-12)
        assert min(room for *_, room, _ in labels) > 0
        assert all(one[-1] < other[2] for one, other in zip(labels, labels[1:], strict=False))


def test_a_page_with_a_diagram_fetches_nothing(page: Page, tmp_path: Path) -> None:
    model = model_of()
    model.report(tmp_path / "report.html", data_of(model))
    page.open(tmp_path / "report.html")
    names = page.script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [name for name in names if not name.startswith("data:")] == []
    assert page.script("return document.querySelector('.diagram img').naturalWidth") > 0
    assert page.complaints() == []


def test_each_slider_moves_the_point_and_the_curves(page: Page, tmp_path: Path) -> None:
    model = model_of(inputs=("T", "p", "x3"), outputs=("h",))
    model.report(tmp_path / "report.html", data_of(model))
    page.open(tmp_path / "report.html")
    sliders = page.find("input[type=range]")
    assert len(sliders) == 3
    for j, slider in enumerate(sliders):
        before, data, numbers = page.pictures(), page.curves(), page.numbers()[0]
        slider.send_keys("\ue014" * 30)  # the right arrow, as somebody without a mouse does
        page.settle()
        x = [float(box.get_attribute("value")) for box in page.find(".card input[type=number]")]
        low, high = model.training["input_ranges"][model.inputs[j]]
        assert x[j] == pytest.approx(low + 0.53 * (high - low))
        np.testing.assert_allclose(page.numbers()[0], _answers(model, [x])[0][0], rtol=1e-9)
        assert not np.array_equal(page.numbers()[0], numbers)
        assert all(now != then for now, then in zip(page.pictures(), before, strict=True))
        for panel, (now, then) in enumerate(zip(page.curves(), data, strict=True)):
            if panel // 4 != j:  # along another input the curve itself has changed
                assert now[3] != then[3]
    assert page.complaints() == []


def test_the_mouse_sets_the_point_on_a_curve_and_the_button_takes_it_back(page: Page, tmp_path: Path) -> None:
    model = model_of()
    model.report(tmp_path / "report.html")
    page.open(tmp_path / "report.html")
    start = page.numbers()[0]
    page.script("document.querySelector('.panel').scrollIntoView({block: 'center'})")
    page.find(".panel .u-over")[0].click()  # in the middle of the axis
    page.find(".panel .u-over")[6].click()
    page.settle()
    low, high = np.array([model.training["input_ranges"][name] for name in model.inputs]).T
    x = [float(box.get_attribute("value")) for box in page.find(".card input[type=number]")]
    np.testing.assert_allclose((x - low) / (high - low), 0.5, atol=0.02)
    page.type([0.5, -3.0])
    assert not np.allclose(page.numbers()[0], start)
    page.find(".reset")[0].click()
    page.settle()
    np.testing.assert_array_equal(page.numbers()[0], start)


def test_a_number_outside_the_data_is_computed_and_said_to_be_outside(page: Page, tmp_path: Path) -> None:
    model = model_of()
    model.report(tmp_path / "report.html")
    page.open(tmp_path / "report.html")
    assert not any(note.is_displayed() for note in page.find(".outside"))
    page.type([1000.0, 0.0])
    np.testing.assert_allclose(page.numbers()[0], _answers(model, [[1000.0, 0.0]])[0][0], rtol=1e-9)
    assert [note.is_displayed() for note in page.find(".outside")] == [True, False]
    assert page.curves()[0][0][-1] == 1000.0
    shaded = page.script(
        "return [...document.querySelectorAll('.panel .chart')].map((chart) => chart.outside)"
    )
    high = model.training["input_ranges"]["T"][1]
    half = len(shaded) // 2
    assert shaded == [[[high, 1000.0]]] * half + [[]] * half


def test_choosing_quantities(page: Page, tmp_path: Path) -> None:
    model_of().report(tmp_path / "report.html")
    page.open(tmp_path / "report.html")
    boxes = page.find(".quantities input")
    assert len(boxes) == 6 and len(page.find(".panel")) == 12
    for box in boxes[1:]:
        box.click()
    page.settle()
    assert [panel.text.split()[0] for panel in page.find(".panel figcaption")] == ["h", "h"]
    boxes[4].click()
    page.settle()
    assert [panel.text.split()[0] for panel in page.find(".panel figcaption")] == ["h", "dv/dT"] * 2
    assert page.complaints() == []


def test_defined_formulas_are_quantities_of_the_profiler(page: Page, tmp_path: Path) -> None:
    define = {
        "ratio": "-(dh/dp)/(dh/dT + T)",
        "bend": "d2h/dTdp*v - d2v/dp2",
        "both": "exp(h/1000) + 2*ratio**2 - tanh(bend)/3",
        "root": "sqrt(dv/dp) + h*0",
        "lost": "dh/dq",
    }
    model = model_of()
    model = replace(model, training=model.training | {"define": define})
    model.report(tmp_path / "report.html", data_of(model))
    page.open(tmp_path / "report.html")
    names = [box.text for box in page.find(".quantities label")]
    assert names[6:] == ["ratio", "bend", "both", "root"]
    for x in ([3.0, 20.0], [-7.0, -90.0]):
        page.type(x)
        (value, sigma), X = page.numbers(), np.array([x])
        for n, name in enumerate(names[6:9], 6):
            expected, std = model.quantity(name, X, return_std=True)
            np.testing.assert_allclose((value[n], sigma[n]), (expected[0], 2.0 * std[0]), rtol=1e-6)
        step = np.array([[1e-4, 0.0]])
        slope = (model.quantity("both", X + step) - model.quantity("both", X - step)) / 2e-4
        shown = [panel.text for panel in page.find(".panel figcaption") if panel.text.startswith("both")]
        np.testing.assert_allclose(float(shown[0].split()[-1]), slope[0], rtol=1e-3)
        (curve,) = (
            c
            for c, f in zip(page.curves(), page.find(".panel figcaption"), strict=True)
            if f.text == shown[0]
        )
        points = np.column_stack([curve[0], np.full(len(curve[0]), x[1])])
        np.testing.assert_allclose(curve[3], model.quantity("both", points), rtol=1e-9)
    assert page.complaints() == []


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_names_are_text_and_nothing_is_fetched(page: Page, tmp_path: Path, width: int) -> None:
    model = model_of(inputs=HOSTILE["inputs"], outputs=HOSTILE["outputs"])
    models = {
        "<b onclick=alert(3)>": model,
        "</title>": model_of(bars=False, inputs=model.inputs, outputs=model.outputs),
    }
    comparison_of(models, data_of(model)).report(tmp_path / "report.html")
    page.resize(width, 844)
    page.open(tmp_path / "report.html")
    assert [card.text for card in page.find("#profiler .card h3")] == list(model.inputs)
    assert (
        page.script("return document.querySelectorAll('.numbers th[scope=row]')[0].textContent")
        == model.outputs[0]
    )
    assert page.script("return document.title").startswith(model.outputs[0])
    assert page.find("main img, main b[onclick], main script") == []
    assert page.script("return performance.getEntriesByType('resource').length") == 0
    assert page.script("return document.documentElement.scrollWidth") <= width
    assert page.complaints() == []


def test_nothing_could_be_fetched_or_run(page: Page, tmp_path: Path) -> None:
    model_of().report(tmp_path / "report.html")
    page.open(tmp_path / "report.html")
    fetch = "const [address, done] = arguments; fetch(address).finally(() => done()).catch(() => null)"
    with socket.create_server(("127.0.0.1", 0)) as server:
        page.driver.execute_async_script(fetch, f"http://127.0.0.1:{server.getsockname()[1]}/")
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has called
            server.accept()
    page.script("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hit = 1\">')")
    page.script(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.hit = 2'}))"
    )
    assert page.script("return window.hit") is None
    refused = [entry["message"] for entry in page.complaints()]
    assert refused and all("Content Security Policy" in message for message in refused)


def test_light_and_dark(page: Page, tmp_path: Path) -> None:
    model_of().report(tmp_path / "report.html")
    preference = "prefers-color-scheme"
    page.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": preference, "value": "dark"}]}
    )
    page.open(tmp_path / "report.html")
    ground = "return getComputedStyle(document.body).backgroundColor"
    dark, drawn = page.script(ground), page.pictures()
    page.find("#theme")[0].click()
    page.settle()
    light = page.script(ground)
    assert light == "rgb(255, 255, 255)" != dark
    assert all(now != then for now, then in zip(page.pictures(), drawn, strict=True))
    page.find("#theme")[0].click()
    assert page.script(ground) == dark
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_everything_to_be_used_has_a_name(page: Page, tmp_path: Path) -> None:
    model = model_of()
    comparison_of({"one": model, "two": model}, data_of(model)).report(tmp_path / "report.html")
    page.open(tmp_path / "report.html")
    controls = page.find("button, select, input, [role=img], [role=region], nav")
    assert len(controls) > 30
    assert [control.get_attribute("outerHTML") for control in controls if not control.accessible_name] == []
