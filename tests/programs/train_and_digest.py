"""Trains on a part of the shipped table, and prints digests of all that was found: SETTINGS, as JSON."""

import hashlib
import json
import sys

import numpy as np
from threadpoolctl import threadpool_info

from plan_recommender.config.settings import Settings
from plan_recommender.model.tables import write_document
from plan_recommender.training.run import look, train
from tests.training.candidates import shipped


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


table, settings = shipped().take(np.arange(1500)), Settings.model_validate(json.loads(sys.argv[1]))
trained = train(table, settings)
found = {
    "threads": sorted({pool["num_threads"] for pool in threadpool_info()}),
    "document": digest(write_document(trained.document)),
    "champion": trained.champion,
    "threshold": trained.scorer.threshold.model_dump(mode="json"),
    "out of fold": [digest(result.probabilities.tobytes()) for result in trained.results],
    "candidates": digest("".join(summary.model_dump_json() for summary in trained.candidates).encode()),
    "held_out": digest(look(trained, table, settings).results.model_dump_json().encode()),
}
print(json.dumps(found))
