"""Whoever predicts waits for the disk of the prediction log, which hangs."""

from tests.serving.faults import log_hangs, log_in_the_way

__all__ = ["PlanRecommender"]

assert log_hangs.PlanRecommender is log_in_the_way.PlanRecommender
PlanRecommender = log_in_the_way.PlanRecommender
