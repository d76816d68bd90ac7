"""Fitting: from data and options to a fitted model."""
