"""The answers of one loaded model, typed: what every route of the service comes down to."""

import json
from collections.abc import Callable, Sequence
from typing import Any, cast

from pydantic_core import to_json

from plan_recommender.billing.given_minutes import billed_bounds
from plan_recommender.billing.registered import adviser_of
from plan_recommender.billing.tariffs import Tariffs
from plan_recommender.billing.wording import Sentences as AdviceSentences
from plan_recommender.model.features import FEATURE_NAMES, PLANS, CustomerUsage
from plan_recommender.model.languages import LANGUAGES, Language
from plan_recommender.model.reasons import Reasons, effect_points
from plan_recommender.model.scorer import Note, Scorer
from plan_recommender.model.sentences import Sentences, change_sentence
from plan_recommender.model.source import Origin
from plan_recommender.model.store import RegisteredModel
from plan_recommender.serving.batches import Decisions, features_of
from plan_recommender.serving.error_responses import impossible_minutes, unknown_plan
from plan_recommender.serving.inference_metadata import ModelMetadata
from plan_recommender.serving.inference_protocol import (
    EXPLANATION,
    InferenceRequest,
    InferenceResponse,
    OutputName,
    model_metadata,
)
from plan_recommender.serving.kept import Kept
from plan_recommender.serving.schemas import (
    AdviceAnswer,
    AdviceRequest,
    BatchRecommendation,
    Contribution,
    Explanation,
    Health,
    ModelDescription,
    ModelHabits,
    PlanOutlook,
    Recommendation,
    TariffsInForce,
    UsageBatch,
    UsageMonth,
)
from plan_recommender.serving.shadow import Shadow

_PROBE = CustomerUsage(calls=60, minutes=420, messages=30, mb_used=17000)

RowNote = Callable[[tuple[int, int, int, int], float], object]
"""Is told the bins of one row, from 0, and its probability of Ultra."""


class Recommender:
    """A registered model, loaded and ready."""

    def __init__(
        self, model: RegisteredModel, tariffs: Tariffs, origin: Origin | None = None, shadow: Shadow | None = None
    ) -> None:
        """Load the model, and let it answer.

        Args:
            model: is verified when it is loaded.
            tariffs: those in force.
            origin: what the service is made of, which `about` tells.
            shadow: is told of every decision, and changes none.

        Raises:
            ModelError: it is damaged.
        """
        self.tariffs = tariffs
        self._origin = origin or Origin()
        self._places = {name: place for place, name in enumerate(tariffs.names)}
        self._rounds_calls = tariffs.rounds_calls
        self._adviser = adviser_of(model, tariffs)
        self.model = model
        self.tag = model.tag
        document = model.document()
        self.cuts = [feature.cuts for feature in document.features]
        self._threshold = document.threshold
        self._base_value = document.constant
        self._scorer = Scorer(document)
        self._reasons = Reasons(document, self._scorer)
        self._sentences = {language: Sentences(document, language) for language in LANGUAGES}
        policy = self._adviser.policy
        self._advice_sentences = {language: AdviceSentences(tariffs, policy, language) for language in LANGUAGES}
        self._units = 10**tariffs.decimals
        self.document = Kept.of(model.document_bytes())
        habits = ModelHabits(model=self.tag, habits=json.loads(model.habits()), advice=policy.model_dump())
        self.habits = Kept.of(to_json(habits))
        in_force = TariffsInForce.model_validate({"sha256": tariffs.digest} | tariffs.numbers())
        self.tariffs_in_force = Kept.of(to_json(in_force))
        self.shadow = shadow
        self._count_row: RowNote = _count_nothing
        self._count_block: Note | None = None
        self.is_stopping: Callable[[], bool] = lambda: False
        self._probed = self._probe()

    def count(self, row: RowNote, block: Note) -> None:
        """From now on, tell `row` or `block` of everybody who is answered for, but not of the model's own checks."""
        self._count_row, self._count_block = row, block

    def recommend(self, usage: CustomerUsage) -> Recommendation:
        """Answer for one subscriber."""
        calls, minutes, messages, mb_used = usage.calls, usage.minutes, usage.messages, usage.mb_used
        bins = self._scorer.bins(calls, minutes, messages, mb_used)
        log_odds = self._scorer.log_odds_of(bins)
        prediction, probability = self._scorer.decide_row(log_odds, calls, minutes, messages, mb_used)
        self._count_row(bins, probability)
        if self.shadow is not None:
            self.shadow.row(calls, minutes, messages, mb_used, prediction, probability)
        return {
            "prediction": prediction,
            "probability_is_ultra": probability,
            "recommended_plan": PLANS[prediction],
            "model": self.tag,
        }

    def recommend_batch(self, batch: UsageBatch) -> BatchRecommendation:
        """Answer for many subscribers, in the order given."""
        return self._recommend_batch(batch, self._count_block, self.shadow)

    def infer(self, request: InferenceRequest) -> InferenceResponse:
        """Answer for many subscribers in the words of the Open Inference Protocol."""
        explained: dict[OutputName, list[float]] = {}
        if not set(EXPLANATION).isdisjoint(request.wanted):
            features = features_of(request.batch)
            explained = {
                "log_odds": self._scorer.log_odds(features).tolist(),
                "base_value": [self._base_value] * len(features),
                "contributions": self._reasons.contributions_of_many(self._scorer.bins_of_many(features))
                .ravel()
                .tolist(),
            }
        return InferenceResponse.of(request, self.recommend_batch(request.batch), explained)

    def _recommend_batch(self, batch: UsageBatch, note: Note | None, shadow: Shadow | None) -> BatchRecommendation:
        features = features_of(batch)
        probabilities = self._scorer.probabilities(features, note)
        decided = self._scorer.decide(features, probabilities)
        if shadow is not None:
            shadow.batch(features, decided, probabilities)
        return {"predictions": cast(Any, Decisions(decided, probabilities)), "model": self.tag}

    def advise(self, request: AdviceRequest, language: Language = "en") -> AdviceAnswer:
        """Bill the last month on every plan, forecast the next one, and advise.

        Raises:
            Refusal: the tariffs have no plan of that name, or billed minutes cannot be true beside the calls.
        """
        held = None
        if request.plan is not None:
            held = self._places.get(request.plan)
            if held is None:
                raise unknown_plan(self.tariffs.names)
        if self._rounds_calls:
            _require_possible_minutes(request.months)
        months = [
            (
                m.calls, m.minutes, m.messages, m.mb_used, m.billed_minutes,
                1.0 if m.active_share is None else m.active_share,
            )
            for m in request.months
        ]  # fmt: skip
        advice = self._adviser.advise(held, months)
        units, names = self._units, self.tariffs.names
        plans: list[PlanOutlook] = [
            {
                "plan": name,
                "last_bill": {
                    "fee": bill.fee / units,
                    "minutes": bill.minutes / units,
                    "messages": bill.messages / units,
                    "data": bill.data / units,
                    "total": bill.total / units,
                    "estimated": advice.estimated,
                },
                "expected": outlook.expected / units,
                "low": outlook.low / units,
                "high": outlook.high / units,
            }
            for name, bill, outlook in zip(names, advice.last_bills, advice.plans, strict=True)
        ]
        return {
            "advice": advice.kind,
            "plan": request.plan,
            "advised_plan": names[advice.advised],
            "expected_saving": advice.saving.expected / units,
            "saving_low": advice.saving.low / units,
            "saving_high": advice.saving.high / units,
            "p_saves": advice.saving.p_saves,
            "plans": plans,
            "sentence": self._advice_sentences[language].one(advice),
            "currency": self.tariffs.currency,
            "model": self.tag,
            "tariffs": self.tariffs.digest,
        }

    def explain(self, usage: CustomerUsage, language: Language = "en") -> Explanation:
        """Answer for one subscriber, and say how much each feature contributed and where the plan would change."""
        explanation = self._explain(usage, language, self._count_row)
        if self.shadow is not None:
            decided, probability = explanation["prediction"], explanation["probability_is_ultra"]
            self.shadow.row(usage.calls, usage.minutes, usage.messages, usage.mb_used, decided, probability)
        return explanation

    def _explain(self, usage: CustomerUsage, language: Language, note: RowNote) -> Explanation:
        values = (usage.calls, usage.minutes, usage.messages, usage.mb_used)
        explained = self._reasons.explain(values)
        bins, prediction, probability, log_odds, base_value, added, changes = explained
        other_plan = PLANS[1 - prediction]
        contributions: list[Contribution] = []
        for name, words, value, b, contribution, change in zip(
            FEATURE_NAMES, self._sentences[language].features, values, bins, added, changes, strict=True
        ):
            points = effect_points(probability, log_odds, contribution)
            sentence, few = words.words(value, b, contribution, points)
            contributions.append(
                {
                    "feature": name,
                    "value": value,
                    "contribution": contribution,
                    "effect_points": points,
                    "sentence": sentence,
                    "few_training_rows": few,
                    "plan_changes_at": change,
                    "change": change_sentence(name, change, other_plan, language),
                }
            )
        contributions.sort(key=_size, reverse=True)
        note(bins, probability)
        return {
            "prediction": prediction,
            "probability_is_ultra": probability,
            "recommended_plan": PLANS[prediction],
            "log_odds": log_odds,
            "base_value": base_value,
            "contributions": contributions,
            "model": self.tag,
        }

    def health(self) -> Health:
        """Ask the model, and tell whether it answers as it did when it was loaded, and whether to ask it more."""
        if self.is_stopping():
            detail = "the service was told to stop; it answers for a moment, send requests elsewhere"
            return Health(status="unavailable", model=self.tag, detail=detail)
        try:
            found = "another answer" if self._probe() != self._probed else ""
        except Exception as error:  # whatever damaged tables make of a look-up
            found = type(error).__name__
        if found:
            detail = f"expected the answer that the model gave when it was loaded, found {found}; restart the service"
            return Health(status="unavailable", model=self.tag, detail=detail)
        return Health(status="ok", model=self.tag, detail="the model answers")

    def model_metadata(self) -> ModelMetadata:
        """Tell what the model takes and gives, in the words of the Open Inference Protocol."""
        return model_metadata(self.tag)

    def about(self) -> ModelDescription:
        """Tell what was stored with the model when it was registered, and what the service is made of."""
        record = self.model.record
        return ModelDescription(
            model=self.tag,
            bento=self._origin.bento,
            source_commit=self._origin.commit,
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
            tariffs={"sha256": self.tariffs.digest} | self.tariffs.numbers(),
            advice=self._adviser.policy.model_dump() | {"months": record.months.model_dump()},
        )

    def _probe(self) -> tuple[Explanation, BatchRecommendation]:
        """Answer for a made-up subscriber by every way there is."""
        batch = self._recommend_batch(UsageBatch(rows=[_PROBE]), None, None)
        return self._explain(_PROBE, "en", _count_nothing), batch


def _size(contribution: Contribution) -> float:
    return abs(contribution["contribution"])


def _count_nothing(bins: tuple[int, int, int, int], probability: float) -> None:
    """Take no notice of a row."""


def _require_possible_minutes(months: Sequence[UsageMonth]) -> None:
    """Refuse billed minutes that contradict the calls and the minutes, which the bill would take as exact."""
    impossible = [
        (place, bounds)
        for place, month in enumerate(months)
        if month.billed_minutes is not None
        and not (bounds := billed_bounds(month.calls, month.minutes)).hold(month.billed_minutes)
    ]
    if impossible:
        raise impossible_minutes(impossible)
