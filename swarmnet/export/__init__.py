"""A trained network in the forms that other tools take: an ONNX graph, or a Python module of its own."""

from swarmnet.export.onnx_graph import onnx_model as onnx_model
from swarmnet.export.python_source import python_module as python_module
