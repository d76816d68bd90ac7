"""A forward pass and a gradient step for one row, with all numbers."""
