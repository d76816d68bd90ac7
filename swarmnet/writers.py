"""Registers the formats in which models and comparisons can be written; each is imported on first use."""

from typing import Any

from swarmnet.model.forms import FORMS


def _onnx(*arguments: Any) -> Any:
    from swarmnet.export.onnx_graph import onnx_model  # noqa: PLC0415

    return onnx_model(*arguments)


def _python(*arguments: Any) -> Any:
    from swarmnet.export.python_source import python_module  # noqa: PLC0415

    return python_module(*arguments)


def _report(*arguments: Any) -> None:
    from swarmnet.report.writer import write_model_report  # noqa: PLC0415

    write_model_report(*arguments)


def _comparison_report(*arguments: Any) -> None:
    from swarmnet.report.writer import write_comparison_report  # noqa: PLC0415

    write_comparison_report(*arguments)


FORMS |= {"onnx": _onnx, "python": _python, "report": _report, "comparison report": _comparison_report}
