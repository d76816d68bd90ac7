"""The fitted model: predictions, error bars, metrics and training record."""
