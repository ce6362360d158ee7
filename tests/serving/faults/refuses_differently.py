"""Under overload it refuses with another status, and does not say when to come back."""

from http import HTTPStatus

from plan_recommender.serving import error_responses
from service import PlanRecommender

__all__ = ["PlanRecommender"]

error_responses.overloaded = lambda: error_responses.Refusal(HTTPStatus.TOO_MANY_REQUESTS, "", [], reason="overload")
