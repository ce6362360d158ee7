"""The control of `with_a_hook`: the same hook, and BentoML answers for itself on its own routes."""

from tests.serving.faults import bentoml_answers, with_a_hook

__all__ = ["PlanRecommender"]

assert bentoml_answers.PlanRecommender is with_a_hook.PlanRecommender
PlanRecommender = with_a_hook.PlanRecommender
