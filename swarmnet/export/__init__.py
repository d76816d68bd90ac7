"""A trained network in the forms that other tools take: an ONNX graph, or a Python module of its own."""
