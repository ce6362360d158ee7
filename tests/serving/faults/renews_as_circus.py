"""On SIGHUP the supervisor does what circus does by itself: it starts new workers, and stops the old ones at once."""

from plan_recommender.serving.patches import supervisor
from service import PlanRecommender

__all__ = ["PlanRecommender"]


def leave_it_to_circus() -> None:
    """Patch nothing."""


supervisor._renew_on_hangup = leave_it_to_circus
