"""The disk of the prediction log hangs: no write to it ever ends."""

import time

from plan_recommender.serving.log_files import LogFiles
from service import PlanRecommender

__all__ = ["PlanRecommender"]


def hang(self: LogFiles, block: bytearray) -> None:
    time.sleep(3600)


LogFiles.append = hang
