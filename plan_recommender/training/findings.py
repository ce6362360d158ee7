"""The results of a training run, as the report, the cards, metrics.json and findings.json show them."""

from pydantic import BaseModel, ConfigDict, Field

from plan_recommender.config.settings import Candidate, Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.data.facts import DataFacts
from plan_recommender.evaluation.calibration import Calibration
from plan_recommender.evaluation.held_out import HeldOutResults
from plan_recommender.model.threshold import Threshold
from plan_recommender.training.gate import GateReport
from plan_recommender.training.selection import CandidateSummary


class Findings(BaseModel):
    """The results of a training run; the same table, settings and registered model give the same results."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    champion: Candidate
    candidates: list[CandidateSummary]
    threshold: Threshold
    calibration: Calibration = Field(description="of the out-of-fold probabilities of the training part")
    gate: GateReport
    test: HeldOutResults | None = Field(description="None: the model was refused, and the test part not measured")
    data: DataFacts


def metrics_document(findings: Findings, table: LabelledTable, settings: Settings) -> dict[str, object]:
    """Write the content of metrics.json. It holds no time and no tag, so that equal runs give equal files."""
    champion = next(summary for summary in findings.candidates if summary.champion)
    test = findings.test
    measured: dict[str, object] = {}
    if test is not None:
        measured = {**test.model.model_dump(), "majority_rule": test.majority_rule.model_dump(), "test_rows": test.rows}
    return {
        **measured,
        "cross_validation": {name: found.model_dump() for name, found in champion.metrics.items()},
        "expected_calibration_error": findings.calibration.ece,
        "estimator": findings.champion,
        **findings.threshold.summary(),
        "seed": settings.seed,
        "data_sha256": table.sha256,
    }
