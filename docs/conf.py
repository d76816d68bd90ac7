"""Sphinx: python -m sphinx -W --keep-going -n docs docs/_build."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

from swarmnet import __version__

HERE = Path(__file__).parent

project = "swarmnet"
author = "the swarmnet authors"
version = release = __version__
language = "en"

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
smartquotes_action = "D"  # dashes, and no curly quotes
html_static_path = ["_static"]
html_css_files = ["math.css", "tables.css"]
pygments_dark_style = "monokai"  # the usual one underlines modules like links
html_title = f"swarmnet {__version__}"
html_copy_source = False
html_show_copyright = False

# Docstrings are plain text with names in backticks, and give the shapes themselves.
default_role = "literal"
napoleon_numpy_docstring = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autoclass_content = "class"
# Their documentation lies elsewhere, and the build needs no network.
nitpick_ignore = [
    ("py:exc", "AssertionError"),
    ("py:exc", "KeyboardInterrupt"),
    ("py:exc", "NotFittedError"),
    ("py:class", "pandas.DataFrame"),
]

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

# Formulas become MathML when the pages are built: they need no network, and a bad one fails the build.
html_math_renderer = "mathml"


def _mathml(node: nodes.Element, as_block: bool) -> str:
    try:
        return str(tex2mathml(node.astext(), as_block=as_block))
    except MathError as error:
        logging.getLogger(__name__).warning(f"bad formula: {error}", location=node)
        return ""


def _inline_math(translator: Any, node: nodes.math) -> None:
    translator.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def _block_math(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{_mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def _write_commands(app: Any) -> None:
    """The command line's own help, as Typer writes it down."""
    folder = HERE / "_generated"
    folder.mkdir(exist_ok=True)
    made = folder / "commands.md"
    command = [sys.executable, "-m", "typer", "swarmnet.cli.commands", "utils", "docs", "--name", "swarmnet"]
    subprocess.run([*command, "--output", made], check=True, capture_output=True)


def setup(app: Any) -> None:
    app.add_html_math_renderer("mathml", (_inline_math, None), (_block_math, None))
    app.connect("builder-inited", _write_commands)
