"""Pages for people: the report of a training run, the model card and the data card."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from plan_recommender.config.settings import Candidate, Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.data.subscribers import groups_option
from plan_recommender.evaluation.comparison import COMPARED
from plan_recommender.evaluation.metrics import Metrics
from plan_recommender.model.record import DOCUMENT_FILE, ModelRecord
from plan_recommender.model.tables import ModelDocument
from plan_recommender.model.threshold import SEGMENTS, Threshold
from plan_recommender.report.page_parts import embedded_picture, environment, number
from plan_recommender.training.findings import Findings
from plan_recommender.training.history import Retraining
from plan_recommender.training.threshold_choice import fold_threshold

REPORT = "report.html"
CARDS = ("model_card.md", "data_card.md")
CURVES = "model_curves.png"
MAPS = "model_maps.png"

_MEASURED = tuple(name for name in Metrics.model_fields if name != "confusion_matrix")
_NAMES = {
    "accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1", "roc_auc": "ROC AUC",
    "brier": "Brier score", "log_loss": "log loss",
}  # fmt: skip
_DESCRIBED = {
    "majority_rule": "the majority plan for everybody.",
    "logistic_regression": "a logistic regression on the four standardised features.",
    "binned_logistic": "a penalised logistic regression on smooth functions of the features' bin numbers and on their "
    "pairwise products.",
    "boosted_trees": "histogram gradient boosting: a sum of small decision trees, no branch of which uses more than "
    "two features.",
    "average": "the mean log-odds of the boosted trees and the binned logistic regression.",
}
_MAX_RETRAININGS = 24  # rows of the report's table; the history has them all


def render_report(
    tag: str,
    record: ModelRecord,
    document: ModelDocument,
    findings: Findings,
    fit_seconds: Mapping[Candidate, float],
    pictures: Path,
    looks: str,
    retrainings: Sequence[Retraining] = (),
) -> str:
    """Write the report of a training run as one self-contained HTML page.

    Args:
        tag: of the model.
        record: of the model.
        document: the model's tables.
        findings: the results of the run.
        fit_seconds: median fit time of each candidate (s).
        pictures: folder that holds the PNGs of the run.
        looks: a sentence about earlier looks at the test part, without its full stop.
        retrainings: runs of retrain.py, the latest last.
    """

    def picture(name: str, alt: str) -> Markup:
        return embedded_picture((pictures / name).read_bytes(), alt)

    page = environment().get_template("report.html.j2")
    return page.render(
        **_context(record, document, findings),
        tag=tag,
        fit_seconds=fit_seconds,
        looks=looks,
        retrainings=[run for run in retrainings if run.outcome != "same data"][-_MAX_RETRAININGS:],
        picture=picture,
        settings_yaml=yaml.safe_dump(record.settings, sort_keys=False),
    )


def render_cards(
    record: ModelRecord, document: ModelDocument, findings: Findings, table: LabelledTable
) -> dict[str, str]:
    """Write the model card and the data card as Markdown, by file name; equal runs give equal cards."""
    templates = environment()
    path = provenance_path(table)
    context = _context(record, document, findings) | {
        "provenance": _provenance(path, table),
        "provenance_file": path.name,
    }
    return {name: templates.get_template(f"{name}.j2").render(context) for name in CARDS}


def provenance_path(table: LabelledTable) -> Path:
    """Give the path of the file that says where a table comes from: `x.provenance.md` beside `x.csv`.

    Its first line is `SHA-256:` and the digest of the table, and the rest is Markdown.
    """
    return table.path.with_suffix(".provenance.md")


def _provenance(path: Path, table: LabelledTable) -> str | None:
    """Read where a table comes from; None if there is no such file, or it is about a table with another SHA-256."""
    if not path.is_file():
        return None
    first, _, text = path.read_text(encoding="utf-8").partition("\n")
    return text.strip() if first.strip() == f"SHA-256: {table.sha256}" else None


def _context(record: ModelRecord, document: ModelDocument, findings: Findings) -> dict[str, Any]:
    return {
        "document": document,
        "document_file": DOCUMENT_FILE,
        "cuts": sum(len(feature.cuts) for feature in document.features),
        "curves": CURVES,
        "maps": MAPS,
        "record": record,
        "settings": record.settings,
        "f": findings,
        "calibrations": [
            ("out of fold", findings.calibration),
            *([] if findings.test is None else [("test part", findings.test.calibration)]),
        ],
        "d": findings.data,
        "option": None if findings.data.better_groups is None else groups_option(findings.data.better_groups),
        "compared": COMPARED,
        "measured": _MEASURED,
        "names": _NAMES,
        "described": _DESCRIBED,
        "number": number,
        "threshold": _threshold(findings.threshold),
        "compared_rows": min(record.data.training_rows, record.settings["selection"]["max_rows"]),
        "cv_threshold": fold_threshold(Settings.model_validate(record.settings, strict=False)),
    }


def _threshold(threshold: Threshold) -> str:
    if threshold.segments is None:
        return str(threshold)
    limits = [f"{value:,.6g}" for value in threshold.segments.bounds]
    names = (f"below {limits[0]}", f"below {limits[1]}", f"from {limits[1]}")
    by_segment = ", ".join(
        f"{value:g} ({segment}, {name})"
        for value, segment, name in zip(threshold.segments.thresholds, SEGMENTS, names, strict=True)
    )
    return f"{by_segment}, by {threshold.segments.feature},"
