"""Compiles a registered pipeline again, and prints the digest of its document: PIPELINE DOCUMENT."""

import hashlib
import sys
from pathlib import Path

import joblib

from plan_recommender.data.csv_table import read_labelled
from plan_recommender.model.tables import read_document, write_document
from plan_recommender.training.compiler import compile_pipeline
from plan_recommender.training.split import split_table
from tools.server import ROOT

pipeline, document = map(Path, sys.argv[1:])
table = read_labelled(ROOT / "users_behavior.csv")
training = table.take(split_table(table, 0.2, 42).training)
threshold = read_document(document.read_bytes()).threshold
compiled = compile_pipeline(joblib.load(pipeline), threshold, training.features, training.target)
print(hashlib.sha256(write_document(compiled)).hexdigest())
