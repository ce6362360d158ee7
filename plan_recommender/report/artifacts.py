"""The files that a training run writes into its artifacts folder, for people and for programs."""

import json
from collections.abc import Sequence
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from plan_recommender.config.settings import Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.evaluation.comparison import COMPARED
from plan_recommender.model.record import (
    DOCUMENT_FILE,
    ModelRecord,
)
from plan_recommender.model.tables import write_document
from plan_recommender.report import pages, plots
from plan_recommender.training.candidates import PREPROCESSOR
from plan_recommender.training.findings import Findings, metrics_document
from plan_recommender.training.history import Retraining
from plan_recommender.training.run import Tested, Trained
from plan_recommender.training.selection import CandidateSummary, CrossValidated

RUN_FILE = "run.json"
"""Name of the file with the model's tag, the path of the table and the model's record."""


def write_artifacts(
    folder: Path, trained: Trained, findings: Findings, tested: Tested | None, table: LabelledTable, settings: Settings
) -> None:
    """Write the files that need no tag: metrics, findings, candidates, money, the model's tables, plots, pipeline.

    Without `tested`, those of the test part are left out.
    """
    (folder / "metrics.json").write_text(_json(metrics_document(findings, table, settings)))
    (folder / "findings.json").write_text(findings.model_dump_json(indent=2) + "\n")
    (folder / "candidates.csv").write_text(candidates_csv(trained.results, trained.candidates))
    if tested is not None and tested.results.impact is not None:
        curve = pd.DataFrame([row.model_dump() for row in tested.results.impact.curve])
        (folder / "business_impact.csv").write_text(curve.to_csv(index=False))
    (folder / DOCUMENT_FILE).write_bytes(write_document(trained.document))
    plots.plot_curves(folder / pages.CURVES, trained.document)
    plots.plot_maps(folder / pages.MAPS, trained.document)
    calibrations = [("out of fold", findings.calibration)]
    if tested is not None:
        calibrations.append(("test part", tested.results.calibration))
        _draw_test_part(folder, tested)
    plots.plot_calibration(folder / "calibration.png", calibrations)
    joblib.dump(trained.pipeline, folder / "model.joblib")
    joblib.dump(trained.pipeline.named_steps[PREPROCESSOR], folder / "preprocessor.joblib")


def write_pages(
    folder: Path,
    tag: str,
    record: ModelRecord,
    trained: Trained,
    findings: Findings,
    table: LabelledTable,
    looks: str = "",
    retrainings: Sequence[Retraining] = (),
) -> None:
    """Write run.json, the report and, unless the model was refused, the cards, which need the model's tag or record.

    `looks` is a sentence about earlier looks at the test part; the report shows `retrainings`, the latest last.

    `write_artifacts` must have written the plots into the same folder, because the report contains them.
    """
    run = {"model": tag, "table": str(table.path.resolve()), **record.model_dump(mode="json")}
    (folder / RUN_FILE).write_text(_json(run))
    seconds = {result.candidate: float(np.median(result.fit_seconds)) for result in trained.results}
    report = pages.render_report(tag, record, trained.document, findings, seconds, folder, looks, retrainings)
    (folder / pages.REPORT).write_text(report)
    if findings.test is None:
        return
    for name, text in pages.render_cards(record, trained.document, findings, table).items():
        (folder / name).write_text(text)


def candidates_csv(results: Sequence[CrossValidated], summaries: Sequence[CandidateSummary]) -> str:
    """Write candidates.csv: every metric with its interval, and the fit time: median and the middle 95 % (s)."""
    ends = ("mean", "low", "high")
    metrics = [f"{name}_{end}" for name in COMPARED for end in ends]
    lines = [["candidate", "champion", *metrics, "fit_seconds_median", "fit_seconds_low", "fit_seconds_high"]]
    for result, summary in zip(results, summaries, strict=True):
        seconds = np.array(result.fit_seconds)
        fits = np.quantile(seconds, [0.5, 0.025, 0.975])
        numbers = [getattr(found, end) for found in summary.metrics.values() for end in ends]
        lines.append([summary.candidate, str(int(summary.champion)), *(repr(float(n)) for n in (*numbers, *fits))])
    return "".join(",".join(line) + "\n" for line in lines)


def _draw_test_part(folder: Path, tested: Tested) -> None:
    test = tested.results
    plots.plot_roc_curve(folder / "roc_curve.png", tested.target, tested.probabilities, test.model.roc_auc)
    plots.plot_precision_recall(folder / "precision_recall.png", tested.target, tested.probabilities)
    plots.plot_confusion_matrix(folder / "confusion_matrix.png", test.model)
    if test.impact is not None:
        plots.plot_profit(folder / "profit_curve.png", test.impact)
    plots.plot_importances(folder / "importances.png", test.importances)


def _json(document: object) -> str:
    return json.dumps(document, indent=2, allow_nan=False) + "\n"
