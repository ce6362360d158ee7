"""Imports what tracks runs, and prints whether MLflow's telemetry is off and who would send it."""

import plan_recommender.training.tracking  # isort: skip  # before mlflow, which it configures

import mlflow.telemetry.client as client
import mlflow.telemetry.utils as utils

assert plan_recommender.training.tracking
print(utils.is_telemetry_disabled(), client.get_telemetry_client())
