"""The BentoML service: `bentoml serve service:PlanRecommender`."""

from typing import Any, cast

import bentoml
from bentoml.exceptions import BentoMLException
from bentoml.models import BentoModel

from plan_recommender import registry
from plan_recommender.errors import ModelError
from plan_recommender.http import HttpContract
from plan_recommender.recommender import Recommender
from plan_recommender.usage import BatchRecommendation, CustomerUsage, Recommendation, UsageBatch


MODEL = BentoModel(registry.LATEST)


@bentoml.service(name="plan_recommender")
class PlanRecommender:
    """Recommends a mobile plan, Ultra or Smart, from one month of a subscriber's usage."""

    model = MODEL  # an attribute of the class, or the Bento would not carry it

    def __init__(self) -> None:
        self.recommender = Recommender(registry.verify(self.model))

    @bentoml.on_deployment
    @staticmethod
    def refuse_a_damaged_model() -> None:
        """Load the model once before any worker starts, so that a bad one stops the start with one sentence."""
        try:
            Recommender(registry.verify(MODEL.resolve()))
        except ModelError as error:
            raise BentoMLException(str(error)) from error

    @bentoml.api(route="/predict")
    def predict(self, usage: CustomerUsage, /) -> Recommendation:
        """Recommend a plan for one subscriber."""
        return self.recommender.recommend(usage)

    @bentoml.api(route="/predict_batch")
    def predict_batch(self, batch: UsageBatch, /) -> BatchRecommendation:
        """Recommend a plan for up to 10,000 subscribers, in the order sent."""
        return self.recommender.recommend_batch(batch)

    def __is_ready__(self) -> bool:
        """Tell BentoML's /readyz whether the model can answer."""
        return self.recommender.health().status == "ok"


# The decorator makes the class a Service, which its types do not say.
cast(Any, PlanRecommender).add_asgi_middleware(HttpContract)
