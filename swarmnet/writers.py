"""Registers the formats in which models and comparisons can be written."""

from swarmnet.export.c_source import c_source
from swarmnet.export.javascript_source import javascript_module
from swarmnet.export.onnx_graph import onnx_model
from swarmnet.export.python_source import python_module
from swarmnet.model.forms import FORMS
from swarmnet.report.writer import write_comparison_report, write_model_report

FORMS |= {
    "c": c_source,
    "javascript": javascript_module,
    "onnx": onnx_model,
    "python": python_module,
    "report": write_model_report,
    "comparison report": write_comparison_report,
}
