"""The prediction log does not look how much of a block was written."""

import os
from pathlib import Path

from plan_recommender.serving.log_files import LogFiles
from service import PlanRecommender

__all__ = ["PlanRecommender"]


def append_what_fits(self: LogFiles, path: Path, block: bytearray, flags: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | flags, 0o600)
    os.write(descriptor, block)
    os.close(descriptor)


LogFiles._append = append_what_fits
