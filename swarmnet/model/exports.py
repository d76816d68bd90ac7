"""What writes a fitted model in other forms; `forms` holds the writers."""

from __future__ import annotations

import os

from swarmnet.atomic_write import write_atomically
from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import SwarmnetError
from swarmnet.model.forms import FORMS
from swarmnet.network.network import Network


class Exports:
    """The exports of `FittedModel`, which derives from it."""

    net: Network

    def to_onnx(self, path: str | os.PathLike[str], dtype: str = "float64") -> None:
        """Write the model as an ONNX graph, for onnxruntime and other tools, completely or not at all.

        The graph takes `X` (n, d), for any n, and gives `values` (n, k) and `jacobian` (n, k, d), all in the
        data's units and in `dtype`, "float64" or "float32". `quantities` (n, q) are the formulas that were
        defined for training, without those of second derivatives. Its metadata name the columns. It has no
        error bars and no second derivatives. In float32, numbers are rounded to 6e-8 of their size; a warning
        names the inputs and outputs whose rounding error exceeds 1/50,000 of their spread.

        Raises:
            SwarmnetError: onnx is not installed (`pip install ".[onnx]"`), the path cannot be written, the
                dtype is another one, a number is too large for float32, or an activation is not swarmnet's
                own.
        """
        self._refuse_own_activations("exported")
        write_atomically(path, FORMS["onnx"](self, dtype))

    def to_python(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the source of a Python module without dependencies that computes the model; `path` saves it.

        Its predict(x) takes one point of d numbers and returns k numbers. Its jacobian(x) returns k lists of
        d partial derivatives. Its quantities(x) returns the formulas that were defined for training, without
        those of second derivatives. All are in the data's units.

        Raises:
            SwarmnetError: the path cannot be written, or an activation is not one of swarmnet's own.
        """
        self._refuse_own_activations("exported")
        source: str = FORMS["python"](self)
        if path is not None:
            write_atomically(path, source)
        return source

    def to_c(self, path: str | os.PathLike[str], dtype: str = "float64", std: bool = False) -> None:
        """Write the model as one C99 file that needs only math.h, completely or not at all.

        The functions of water.c are `water_predict(x, y)` and `water_jacobian(x, J)`, for one point x of d
        numbers: y has k, and J[o][j] is dy_o/dx_j. `water_quantities(x, q)` gives the formulas that were
        defined for training, without those of second derivatives. All are in the data's units. The file's
        first comment names inputs and outputs. The functions allocate nothing and are reentrant.

        Args:
            path: the file; the characters of its name that C does not take become "_".
            dtype: "float64" or "float32", as in `to_onnx`.
            std: add `water_predict_std(x, y, std)` and `water_jacobian_std(x, J, std)`, with the standard
                deviations of `predict` and `jacobian`. The file then holds p (p + 1) / 2 numbers for p
                weights, and the networks of the other fits.

        Raises:
            SwarmnetError: the path cannot be written, the dtype is another one, a number is too large for it,
                or an activation is not swarmnet's own. With `std`: the model has no error bars or more than
                600 weights, or the dtype is float32.
        """
        self._refuse_own_activations("exported")
        write_atomically(path, FORMS["c"](self, path, dtype, std))

    def to_javascript(self, path: str | os.PathLike[str]) -> None:
        """Write the model as a JavaScript module without dependencies, completely or not at all.

        The ES module, for browsers and Node, exports `inputs`, `outputs`, `units`, and for one point x of d
        numbers `predict(x)`, `jacobian(x)` and `quantities(x)`: k numbers, k arrays of d partial derivatives,
        and the formulas that were defined for training, by name. All are in the data's units. The evaluator
        is that of `report`.

        Raises:
            SwarmnetError: the path cannot be written, or an activation is not one of swarmnet's own.
        """
        self._refuse_own_activations("exported")
        write_atomically(path, FORMS["javascript"](self))

    def report(self, path: str | os.PathLike[str], data: MixedData | None = None) -> None:
        """Write a report of the model with figures and interactive profiles as one HTML file.

        Args:
            path: the file to write, such as "report.html".
            data: data on which errors are measured, and which are drawn with the curves.

        Raises:
            SwarmnetError: jinja2 or matplotlib is missing, the data have other columns, or the path cannot be
                written.
        """
        FORMS["report"](self, path, data)

    def _refuse_own_activations(self, done: str) -> None:
        for act in self.net.activations:
            if not act.built_in:
                raise SwarmnetError(f"a model with your own activation {act.name!r} cannot be {done}")
