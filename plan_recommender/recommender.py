"""The answers of one loaded model, typed: what every route of the service comes down to."""

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from plan_recommender.errors import ModelError
from plan_recommender.explainer import Explainer
from plan_recommender.registry import RegisteredModel
from plan_recommender.scorer import Scorer
from plan_recommender.threshold import SegmentThresholds
from plan_recommender.usage import (
    FEATURE_NAMES,
    PLANS,
    BatchRecommendation,
    Contribution,
    CustomerUsage,
    Decision,
    Explanation,
    FeatureMatrix,
    FeatureSpec,
    Recommendation,
    UsageBatch,
    matrix,
)
from plan_recommender.wording import sentence

_PROBE = CustomerUsage(calls=60, minutes=420, messages=30, mb_used=17000)


class Health(BaseModel):
    """Whether a model can answer; found out by asking it."""

    model_config = ConfigDict(frozen=True)

    status: Literal["ok", "unavailable"]
    model: str = Field(description="tag of the model that was asked")
    detail: str = Field(description="that it answered, or why it did not")


class ModelDescription(BaseModel):
    """What is known of the model that answers."""

    model_config = ConfigDict(frozen=True)

    model: str = Field(description="tag in the BentoML model store")
    trained_at: str = Field(description="UTC, ISO 8601")
    estimator: str
    features: list[FeatureSpec]
    target: str
    threshold: float = Field(description="probability of Ultra from which Ultra is recommended")
    threshold_objective: str = Field(description="what it was chosen for; none: it is a configured number")
    segment_thresholds: list[SegmentThresholds] = Field(
        description="thresholds that differ by usage of one feature; empty: one for everybody"
    )
    metrics: dict[str, Any] = Field(description="on the test part, beside the majority rule")
    data: dict[str, Any] = Field(description="the table it was trained on")
    versions: dict[str, str] = Field(description="of the libraries that trained it")


class Recommender:
    """A registered model, loaded and ready."""

    def __init__(self, model: RegisteredModel) -> None:
        """Load the scorer and the background of its explanations, and let both answer once.

        Raises:
            ModelError: one of them is damaged or cannot answer.
        """
        self._model = model
        self._scorer: Scorer = model.scorer()
        self._explainer = Explainer(self._scorer, model.background())
        self.explain(_PROBE)

    @property
    def tag(self) -> str:
        """The model's tag in the BentoML model store."""
        return self._model.tag

    def recommend(self, usage: CustomerUsage) -> Recommendation:
        """Answer for one subscriber.

        Raises:
            ModelError: the model cannot answer.
        """
        features = np.array([[usage.calls, usage.minutes, usage.messages, usage.mb_used]])
        (prediction,), (probability,) = self._decide(features)
        # Constructed and not validated, here and below: the values are our own, and checking them again would take as
        # long as the prediction.
        return Recommendation.model_construct(
            prediction=prediction,
            probability_is_ultra=probability,
            recommended_plan=PLANS[prediction],
            model=self._model.tag,
        )

    def recommend_batch(self, batch: UsageBatch) -> BatchRecommendation:
        """Answer for many subscribers, in the order given.

        Raises:
            ModelError: the model cannot answer.
        """
        decisions = [
            Decision.model_construct(
                prediction=prediction, probability_is_ultra=probability, recommended_plan=PLANS[prediction]
            )
            for prediction, probability in zip(*self._decide(matrix(batch.rows)), strict=True)
        ]
        return BatchRecommendation.model_construct(predictions=decisions, model=self._model.tag)

    def explain(self, usage: CustomerUsage) -> Explanation:
        """Answer for one subscriber, and say how much each feature contributed.

        Raises:
            ModelError: the model cannot answer.
        """
        features = matrix([usage])
        (prediction,), (probability,) = self._decide(features)
        attribution = self._explainer.explain(features)
        typical = self._explainer.background.typical
        contributions = [
            Contribution(
                feature=name,
                value=getattr(usage, name),
                contribution=contribution,
                sentence=sentence(name, getattr(usage, name), getattr(typical, name), contribution),
            )
            for name, contribution in zip(FEATURE_NAMES, attribution.contributions.tolist(), strict=True)
        ]
        return Explanation(
            prediction=prediction,
            probability_is_ultra=probability,
            recommended_plan=PLANS[prediction],
            log_odds=attribution.log_odds,
            base_value=attribution.base_value,
            contributions=sorted(contributions, key=lambda c: abs(c.contribution), reverse=True),
            model=self._model.tag,
        )

    def health(self) -> Health:
        """Ask the model for an answer, and tell whether one came."""
        try:
            self.recommend(_PROBE)
        except ModelError as error:
            return Health(status="unavailable", model=self._model.tag, detail=str(error))
        return Health(status="ok", model=self._model.tag, detail="the model answers")

    def about(self) -> ModelDescription:
        """Tell what was stored with the model when it was registered."""
        record = self._model.record
        return ModelDescription(
            model=self._model.tag,
            trained_at=record.trained_at,
            estimator=record.estimator,
            features=record.features,
            target=record.target,
            threshold=record.threshold.value,
            threshold_objective=record.threshold.objective,
            segment_thresholds=[] if record.threshold.segments is None else [record.threshold.segments],
            metrics=record.metrics,
            data=record.data.model_dump(),
            versions=record.versions,
        )

    def _decide(self, features: FeatureMatrix) -> tuple[list[Literal[0, 1]], list[float]]:
        """Predictions and probabilities of Ultra, one a row."""
        try:
            probabilities = self._scorer.probabilities(features)
        except Exception as error:  # ONNX Runtime raises a class of its own for each of its status codes
            raise ModelError(f"{self._model.tag} failed to answer: {error}") from error
        if not ((probabilities >= 0) & (probabilities <= 1)).all():
            raise ModelError(f"{self._model.tag} answered with a probability that is not between 0 and 1")
        return self._scorer.decide(features, probabilities).tolist(), probabilities.tolist()
