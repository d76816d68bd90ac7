"""Models and comparisons as one HTML file: pip install ".[report]"."""
