"""No fault: the service with a hook of BentoML's that adds a comment to what /metrics says."""

from typing import Any, cast

from service import PlanRecommender

__all__ = ["PlanRecommender"]


def add_a_comment(self: object, text: str) -> str:
    return text + "# a hook's comment\n"


cast(Any, PlanRecommender).inner.__metrics__ = add_a_comment
