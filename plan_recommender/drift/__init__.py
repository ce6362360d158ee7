"""Drift: whether current subscribers use their phones differently from those of a reference sample."""
