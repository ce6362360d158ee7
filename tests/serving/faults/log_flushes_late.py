"""Lines of the prediction log wait for a minute before they are written."""

from plan_recommender.serving import prediction_log
from service import PlanRecommender

__all__ = ["PlanRecommender"]

prediction_log.FLUSH_SECONDS = 60  # type: ignore[misc]  # the fault: another constant
