"""Fits and compiles three candidates on the shipped table, and prints the digests of their documents."""

import hashlib

from plan_recommender.model.tables import write_document
from tests.training.candidates import on_shipped

for candidate in ("binned_logistic", "boosted_trees", "average"):
    print(hashlib.sha256(write_document(on_shipped(candidate).document)).hexdigest())
