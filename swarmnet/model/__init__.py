"""The fitted model: answers, error bars, metrics, and its training record."""
