"""The plan recommender: each package is one room of the project, and docs/architecture.md is the map."""

import os

# BentoML posts usage statistics to its makers unless this is set before it is imported.
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")

__version__ = "0.1.0"
"""Of the project; pyproject.toml says the same."""
