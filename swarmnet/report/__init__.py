"""Reports of models and comparisons as one HTML file: pip install ".[report]"."""
