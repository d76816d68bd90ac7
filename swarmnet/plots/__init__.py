"""Figures of models, data and comparisons with matplotlib: pip install ".[plots]".

A function that draws in one Axes takes it as `ax` and returns it. Without `ax` it makes a new Figure outside
pyplot: show or save it as ``ax.figure``. A function that draws several panels takes a `figure` (Figure or
SubFigure), or makes one, and returns its Axes by name. A figure without a layout engine gets the constrained
one, so that nothing is cut off. Text sizes come from matplotlib's rcParams. Colours are Okabe and Ito's,
which people with colour blindness can distinguish, and lines also differ in style.

Columns have the names of data files, "h" or "dh/dT"; or they are a quantity of the data, a name defined for
training, or a formula, "h - T*dh/dT". Axes of inputs and values of which the model takes logarithms are
logarithmic. A base point `at` is a dict such as ``{"p": 2e6}``; missing inputs are at the middle of their
range (the geometric mean, if the model takes their logarithm); or all d inputs in order; or None for the
middle.
"""

from swarmnet.errors import SwarmnetError, install_hint

try:
    import matplotlib as _matplotlib  # noqa: F401
except ImportError:
    raise SwarmnetError(f"swarmnet.plots needs matplotlib: {install_hint('plots')}") from None

from swarmnet.plots.agreement import parity as parity
from swarmnet.plots.agreement import parity_panels as parity_panels
from swarmnet.plots.agreement import residual_panels as residual_panels
from swarmnet.plots.agreement import residuals as residuals
from swarmnet.plots.contours import contour as contour
from swarmnet.plots.contours import contour_panels as contour_panels
from swarmnet.plots.curves import losses as losses
from swarmnet.plots.diagrams import derivative_flow as derivative_flow
from swarmnet.plots.diagrams import network as network
from swarmnet.plots.profiles import profile as profile
from swarmnet.plots.profiles import profile_panels as profile_panels
