"""The report page: one HTML file that contains its style, scripts and uPlot, and loads nothing else.

The template escapes every text. The page's content security policy lists the hashes of its style and its
script, so that the browser runs no other script, even if a text was not escaped.
"""

import base64
import hashlib
from importlib.resources import files
from typing import Any

from swarmnet.errors import SwarmnetError, install_hint
from swarmnet.network.activations import TABLE
from swarmnet.version import __version__

_TEMPLATES = files("swarmnet.report") / "templates"
_EVALUATOR = ("network.js", "formula.js", "model.js")
_PAGE = ("charts.js", "profiler.js", "cards.js", "errors.js", "main.js")
# uPlot draws at the screen's resolution; at least twice that is also sharp when printed.
_RESOLUTION = "const devicePixelRatio = Math.max(2, window.devicePixelRatio);\n"


def require_extra() -> None:
    """Raise SwarmnetError, with the name of the extra, if a package is missing."""
    try:
        import jinja2  # noqa: F401, PLC0415
        import matplotlib  # noqa: F401, PLC0415
    except ImportError:
        raise SwarmnetError(f"a report needs jinja2 and matplotlib: {install_hint('report')}") from None


def rendered(**context: Any) -> str:
    """Return the page as HTML; `context` holds the variables of the template."""
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415
    from markupsafe import Markup  # noqa: PLC0415

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}
    style, script = _text("uplot/uPlot.min.css") + "\n" + _text("style.css"), _script()
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    template = environment.from_string(_text("page.html"))
    parts = {"style": Markup(style), "script": Markup(script), "policy": Markup(policy)}  # not a user's text
    return template.render(version=__version__, **parts, **context)


def _script() -> str:
    licence = f"/* uPlot\n{_text('uplot/LICENSE')}*/\n"
    ours = [evaluator(), *map(_text, _PAGE)]
    return licence + _RESOLUTION + _text("uplot/uPlot.iife.min.js") + "\n" + "\n".join(ours)


def evaluator() -> str:
    """Return the script that evaluates models, which defines Model."""
    return "\n".join([activations(), *map(_text, _EVALUATOR)])


def activations() -> str:
    """Of each activation f(z), f'(z, a) and f''(z, a, s): its formulas are JavaScript as they are."""
    rows = (
        "  {}: [(z) => {}, (z, a) => {}, (z, a, s) => {}],\n".format(name, *record.formulas)
        for name, record in TABLE.items()
    )
    return f"const ACTIVATIONS = {{\n{''.join(rows)}}};\n"


def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
