"""Measure a registered model on a labelled file, beside the majority rule."""

import argparse
import json
from pathlib import Path

from plan_recommender import cli, registry
from plan_recommender.errors import ModelError
from plan_recommender.evaluation import comparison, measure, measure_majority_rule
from plan_recommender.files import staged_directory, writing
from plan_recommender.report import plot_confusion_matrix, plot_roc_curve
from plan_recommender.selection import split_table
from plan_recommender.table import LabelledTable, check_measurable, read_labelled


def main(arguments: list[str] | None = None) -> int:
    """Measure one model on one table; returns the exit code."""
    options = _parser().parse_args(arguments)
    model = registry.find(options.model)
    scorer = model.scorer()
    table, what = _test_part(model) if options.data is None else _whole_file(model, options.data)
    check_measurable(table)
    probabilities = scorer.probabilities(table.features)
    metrics = measure(table.target, probabilities, scorer.decide(probabilities))
    majority_rule = measure_majority_rule(table.target, model.record.data.training_ultra_share)
    with staged_directory(options.artifacts) as artifacts, writing(options.artifacts):
        document = {
            **metrics.model_dump(),
            "majority_rule": majority_rule.model_dump(),
            "model": model.tag,
            "threshold": scorer.threshold,
            "rows": len(table.target),
            "data_sha256": table.sha256,
        }
        (artifacts.path / "evaluation.json").write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")
        plot_roc_curve(artifacts.path / "evaluation_roc_curve.png", table.target, probabilities, metrics.roc_auc)
        plot_confusion_matrix(artifacts.path / "evaluation_confusion_matrix.png", metrics)
        artifacts.publish()
    cli.say(f"{model.tag} on {what}, {table.target.mean():.1%} Ultra, threshold {scorer.threshold:g}")
    cli.say(comparison(metrics, majority_rule))
    cli.say(f"artifacts: {options.artifacts}")
    return cli.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="evaluate.py", description="Measure a registered model on a labelled file.")
    parser.add_argument(
        "--data", type=Path, metavar="CSV",
        help="labelled table (default: the part of the training table that the model was never trained on)",
    )  # fmt: skip
    parser.add_argument(
        "--model", default=registry.LATEST, metavar="TAG", help="registered model (default: %(default)s)"
    )
    parser.add_argument(
        "--artifacts", type=Path, default=Path("artifacts"), metavar="DIR", help="results folder (default: %(default)s)"
    )
    return parser


def _test_part(model: registry.RegisteredModel) -> tuple[LabelledTable, str]:
    """Read the table that the model was trained on, and keep the rows that training did not see."""
    settings, data = model.record.settings, model.record.data
    path = Path(settings["data"]["path"])
    if not path.is_file():
        raise ModelError(
            f"expected {path}, the table that {model.tag} was trained on, found no such file; run this in the "
            "folder where it was trained, or pass --data"
        )
    table = read_labelled(path)
    if table.sha256 != data.sha256:
        raise ModelError(
            f"{path}: expected the table that {model.tag} was trained on (SHA-256 {data.sha256}), found another "
            f"({table.sha256}), of which no test part is known; pass --data to measure on all of its rows"
        )
    test = split_table(table, settings["split"]["test_share"], model.record.seed).test
    part = LabelledTable(path, table.sha256, table.features[test], table.target[test])
    return part, f"the {len(test):,} rows of {path} that it was never trained on"


def _whole_file(model: registry.RegisteredModel, path: Path) -> tuple[LabelledTable, str]:
    table = read_labelled(path)
    what = f"all {len(table.target):,} rows of {path}"
    if table.sha256 == model.record.data.sha256:
        what += (
            f" (of which it was trained on {model.record.data.training_rows:,}: leave --data out for an honest figure)"
        )
    return table, what


if __name__ == "__main__":
    cli.run(main)
