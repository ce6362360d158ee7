"""A second model for tests: the trained one with all log-odds moved, registered under a version of its own."""

import json
import shutil
from pathlib import Path

import yaml

from plan_recommender.model.digests import sha256
from plan_recommender.model.record import DOCUMENT_FILE, MODEL_NAME

MOVED = 0.5
"""By how much its log-odds are above those of the first."""


def add_second_model(first: Path, version: str = "secondmodel") -> str:
    """Put it beside the first, whose folder in a store is given; returns its tag. `:latest` stays."""
    second = first.with_name(version)
    shutil.copytree(first, second)
    document = json.loads((second / DOCUMENT_FILE).read_text())
    document["constant"] += MOVED
    (second / DOCUMENT_FILE).write_text(json.dumps(document))
    record = yaml.safe_load((second / "model.yaml").read_text())
    record["version"] = version
    record["metadata"]["plan_recommender"]["digests"][DOCUMENT_FILE] = sha256(second / DOCUMENT_FILE)
    (second / "model.yaml").write_text(yaml.safe_dump(record))
    return f"{MODEL_NAME}:{version}"
