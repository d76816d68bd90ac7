"""The network's diagram as an image inside the page."""

import io
import re
import warnings
from base64 import b64encode

from swarmnet.errors import SwarmnetError
from swarmnet.model.fitted_model import FittedModel

_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def network_picture(model: FittedModel) -> str | None:
    """Return an SVG as a data URL; None if the network is too large for a diagram."""
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    from swarmnet.plots import network  # noqa: PLC0415

    try:
        figure = network(model).figure
    except SwarmnetError:
        return None
    assert isinstance(figure, Figure)
    svg = io.StringIO()
    # The salt makes the file reproducible. Text stays text, because browsers have glyphs that fonts lack.
    with mpl.rc_context({"svg.hashsalt": "swarmnet", "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    drawn = _NOT_XML.sub("\ufffd", svg.getvalue())
    return "data:image/svg+xml;base64," + b64encode(drawn.encode()).decode()
