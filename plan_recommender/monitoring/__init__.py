"""Counts of what was seen, beside those of the reference: distances, and the verdict of a service that is always on.

Nothing here needs more than NumPy and pydantic, because it runs in the workers of the service; drift/ judges files
with it, too.
"""
