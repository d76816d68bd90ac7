"""A forward pass and a gradient step of one row, number by number."""
