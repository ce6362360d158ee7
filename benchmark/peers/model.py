"""What every peer gets, and how those with a model answer: with the scikit-learn pipeline, on a frame of one row."""

import os
from pathlib import Path
from typing import Final, Self

import joblib
import pandas as pd
from pydantic import BaseModel
from sklearn.pipeline import Pipeline

from plan_recommender.model.features import PLANS, CustomerUsage, matrix
from plan_recommender.model.threshold import Threshold
from plan_recommender.serving.schemas import Recommendation

VARIABLE: Final = "BENCHMARK_ASSIGNMENT"
"""Environment variable that holds an `Assignment` as JSON."""


class Assignment(BaseModel):
    """The registered model, and the answer of those peers that always give the same one."""

    tag: str
    pipeline: Path
    threshold: Threshold
    constant: Recommendation

    @classmethod
    def from_environment(cls) -> Self:
        """Read the assignment that the benchmark has put into the environment."""
        return cls.model_validate_json(os.environ[VARIABLE])


class PipelineModel:
    """The fitted pipeline of the registered model, with the model's threshold."""

    def __init__(self, assignment: Assignment) -> None:
        """Load the pipeline from its pickle."""
        self._assignment = assignment
        self._pipeline: Pipeline = joblib.load(assignment.pipeline)

    def recommend(self, usage: CustomerUsage) -> Recommendation:
        """Recommend a plan for one subscriber."""
        probabilities = self._pipeline.predict_proba(pd.DataFrame([usage.model_dump()]))[:, 1]
        (prediction,) = self._assignment.threshold.decide(matrix([usage]), probabilities).tolist()
        return {
            "prediction": prediction,
            "probability_is_ultra": float(probabilities[0]),
            "recommended_plan": PLANS[prediction],
            "model": self._assignment.tag,
        }
