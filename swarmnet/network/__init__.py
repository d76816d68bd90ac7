"""Feed-forward networks and their activations, in plain NumPy."""
