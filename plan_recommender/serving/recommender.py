"""The answers of one loaded model, typed: what every route of the service comes down to."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from pydantic_core import to_json

from plan_recommender.model.features import FEATURE_NAMES, PLANS, CustomerUsage, matrix
from plan_recommender.model.reasons import Reasons
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.store import RegisteredModel
from plan_recommender.serving.schemas import (
    BatchRecommendation,
    Contribution,
    Decision,
    Explanation,
    Health,
    ModelDescription,
    Recommendation,
    UsageBatch,
)
from plan_recommender.serving.sentences import change_sentence, sentence

_DECISIONS: Final = tuple(
    b'{"prediction":%d,"probability_is_ultra":%%b,"recommended_plan":"%b"' % (prediction, plan.encode())
    for prediction, plan in enumerate(PLANS)
)
"""A decision as JSON for each prediction, but for its closing brace; the probability is put in with %."""

_PROBE = CustomerUsage(calls=60, minutes=420, messages=30, mb_used=17000)


class Answered(NamedTuple):
    """An answer as the JSON that goes over the wire, and what it predicts, for the metrics."""

    body: bytes
    predictions: Sequence[int] = ()
    probabilities: Sequence[float] = ()


class Recommender:
    """A registered model, loaded and ready.

    `recommend`, `recommend_batch` and `explain` give typed answers. Those that end in `_json` give the same bytes as
    `model_dump_json` of these and take less time: the names and the order of the fields are written once, and what
    differs is put between them.
    """

    def __init__(self, model: RegisteredModel) -> None:
        """Load the model, and let it answer.

        Raises:
            ModelError: it is damaged.
        """
        self._model = model
        document = model.document()
        self._threshold = document.threshold
        self._typical = [feature.median for feature in document.features]
        self._scorer = Scorer(document)
        self._reasons = Reasons(document, self._scorer)
        self._model_and_end = b',"model":' + to_json(self.tag) + b"}"
        self._probed = self._probe()

    @property
    def tag(self) -> str:
        """The model's tag in the BentoML model store."""
        return self._model.tag

    def recommend(self, usage: CustomerUsage) -> Recommendation:
        """Answer for one subscriber."""
        prediction, probability = self._scorer.recommend(usage.calls, usage.minutes, usage.messages, usage.mb_used)
        # Constructed and not validated, here and below: the values are our own, and checking them again would take as
        # long as the prediction.
        return Recommendation.model_construct(
            prediction=prediction,
            probability_is_ultra=probability,
            recommended_plan=PLANS[prediction],
            model=self._model.tag,
        )

    def recommend_batch(self, batch: UsageBatch) -> BatchRecommendation:
        """Answer for many subscribers, in the order given."""
        features = matrix(batch.rows)
        probabilities = self._scorer.probabilities(features)
        predictions: list[Literal[0, 1]] = self._scorer.decide(features, probabilities).tolist()
        decisions = [
            Decision.model_construct(
                prediction=prediction, probability_is_ultra=probability, recommended_plan=PLANS[prediction]
            )
            for prediction, probability in zip(predictions, probabilities.tolist(), strict=True)
        ]
        return BatchRecommendation.model_construct(predictions=decisions, model=self._model.tag)

    def recommend_json(self, usage: CustomerUsage) -> Answered:
        """Answer for one subscriber, as JSON of a `Recommendation`."""
        prediction, probability = self._scorer.recommend(usage.calls, usage.minutes, usage.messages, usage.mb_used)
        body = _DECISIONS[prediction] % to_json(probability) + self._model_and_end
        return Answered(body, (prediction,), (probability,))

    def recommend_batch_json(self, batch: UsageBatch) -> Answered:
        """Answer for many subscribers, as JSON of a `BatchRecommendation`."""
        features = matrix(batch.rows)
        scored = self._scorer.probabilities(features)
        predictions: list[Literal[0, 1]] = self._scorer.decide(features, scored).tolist()
        probabilities = scored.tolist()
        numbers = to_json(probabilities)[1:-1].split(b",")
        decisions = [_DECISIONS[prediction] % number for prediction, number in zip(predictions, numbers, strict=True)]
        body = b'{"predictions":[' + b"},".join(decisions) + b"}]" + self._model_and_end
        return Answered(body, predictions, probabilities)

    def explain_json(self, usage: CustomerUsage) -> Answered:
        """Answer for one subscriber and say why, as JSON of an `Explanation`."""
        return Answered(self.explain(usage).model_dump_json().encode())

    def explain(self, usage: CustomerUsage) -> Explanation:
        """Answer for one subscriber, and say how much each feature contributed and where the plan would change."""
        values = (usage.calls, usage.minutes, usage.messages, usage.mb_used)
        prediction, probability = self._scorer.recommend(*values)
        explained = self._reasons.explain(values)
        other_plan = PLANS[1 - prediction]
        contributions = [
            Contribution.model_construct(
                feature=name,
                value=value,
                contribution=contribution,
                sentence=sentence(name, value, typical, contribution),
                plan_changes_at=change,
                change=change_sentence(name, change, other_plan),
            )
            for name, value, typical, contribution, change in zip(
                FEATURE_NAMES, values, self._typical, explained.contributions, explained.changes, strict=True
            )
        ]
        return Explanation.model_construct(
            prediction=prediction,
            probability_is_ultra=probability,
            recommended_plan=PLANS[prediction],
            log_odds=explained.log_odds,
            base_value=explained.base_value,
            contributions=sorted(contributions, key=lambda c: abs(c.contribution), reverse=True),
            model=self._model.tag,
        )

    def health(self) -> Health:
        """Ask the model, and tell whether it answers as it did when it was loaded."""
        try:
            found = "another answer" if self._probe() != self._probed else ""
        except Exception as error:  # whatever damaged tables make of a look-up
            found = type(error).__name__
        if found:
            detail = f"expected the answer that the model gave when it was loaded, found {found}; restart the service"
            return Health(status="unavailable", model=self._model.tag, detail=detail)
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
            threshold=self._threshold.value,
            threshold_objective=self._threshold.objective,
            segment_thresholds=[] if self._threshold.segments is None else [self._threshold.segments],
            metrics=record.metrics,
            data=record.data.model_dump(),
            versions=record.versions,
        )

    def _probe(self) -> tuple[Explanation, BatchRecommendation]:
        """Answer for a made-up subscriber by every way there is."""
        return self.explain(_PROBE), self.recommend_batch(UsageBatch(rows=[_PROBE]))
