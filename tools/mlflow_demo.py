"""`make mlflow-demo`: train with tracking by MLflow, and read back through its client what it keeps.

usage: python -m tools.mlflow_demo
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.mlflow_demo")

import argparse
import subprocess
import sys
from collections.abc import Sequence

from plan_recommender.config.load import load_settings
from plan_recommender.model import store
from tools.server import ROOT

TAGS = ("model", "champion", "gate", "data.sha256")
METRICS = ("test.model.roc_auc", "test.model.log_loss", "test.majority_rule.log_loss", "expected_calibration_error")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the demo; exits with 1 and one sentence if the run cannot be read back."""
    argparse.ArgumentParser(
        prog="python -m tools.mlflow_demo",
        description="Train and register a model with tracking by MLflow, and show what MLflow keeps of the run.",
    ).parse_args(arguments)
    from plan_recommender.training import tracking  # not above, so that --help works without MLflow

    print("== train and register a model, tracked", flush=True)
    subprocess.run([sys.executable, "train.py", "--mlflow", "--again"], cwd=ROOT, check=True)
    settings = load_settings(ROOT / "model_config.yaml")
    uri, name = settings.mlflow.tracking_uri, settings.mlflow.experiment
    client = tracking.connect(settings)
    experiment = client.get_experiment_by_name(name)
    tag = store.find().tag
    runs = client.search_runs([experiment.experiment_id], f"tags.model = '{tag}'") if experiment else []
    if not runs:
        sys.exit(f"error: expected the run that registered {tag} in {uri}, experiment {name}, found none")
    run = runs[0]
    run_id, champion = run.info.run_id, run.data.tags["champion"]
    print(f"\n== what MLflow keeps, read back from {uri}, experiment {name}")
    _show("run", f"{run_id}, {run.info.status}")
    for name in TAGS:
        _show(name, run.data.tags[name])
    for name in METRICS:
        _show(name, f"{run.data.metrics[name]:.4f}")
    folds = client.get_metric_history(run_id, f"{champion}.log_loss")
    _show("fold metrics", f"{champion}.log_loss on {len(folds)} folds, and so on for every candidate and metric")
    _show("settings", f"{len(run.data.params)}, such as selection.metric {run.data.params['selection.metric']}")
    _show("artifacts", ", ".join(file.path for file in client.list_artifacts(run_id)))
    models = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
    _show("model", ", ".join(f"models:/{model.model_id}" for model in models))
    print("\nnothing is left running; to look at it on http://127.0.0.1:5000, until Ctrl-C:")
    server = ".venv/bin/mlflow server --host 127.0.0.1 --port 5000 --backend-store-uri"
    print(f"  MLFLOW_DISABLE_TELEMETRY=true {server} {uri}")


def _show(name: str, value: str) -> None:
    print(f"{name:<28} {value}")
