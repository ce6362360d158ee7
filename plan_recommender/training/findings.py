"""All that a training run found out, for the report, the cards and programs."""

from pydantic import BaseModel, ConfigDict, Field

from plan_recommender.config.settings import Candidate
from plan_recommender.data.facts import DataFacts
from plan_recommender.evaluation.calibration import Calibration
from plan_recommender.evaluation.held_out import Analysis
from plan_recommender.model.threshold import Threshold
from plan_recommender.training.gate import GateReport
from plan_recommender.training.selection import CandidateSummary


class Findings(BaseModel):
    """All that a training run found out; the same for the same data and seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    champion: Candidate
    candidates: list[CandidateSummary]
    threshold: Threshold
    calibration: Calibration = Field(description="of the out-of-fold probabilities of the training part")
    gate: GateReport
    test: Analysis
    data: DataFacts
