"""The service, whose access log and request ids SIGUSR2 turns off and SIGUSR1 on again.

With both in one process, what is compared differs in nothing else: two processes of the same program differ by a few
percent, by how the memory of each happens to be laid out.
"""

import signal
from collections.abc import Mapping
from typing import Any, cast

from plan_recommender.serving import messages
from plan_recommender.serving.access_log import AccessLog
from plan_recommender.serving.error_responses import Header
from plan_recommender.serving.request_ids import IdLines, id_lines
from service import PlanRecommender

__all__ = ["PlanRecommender"]

wants = AccessLog.wants


def want_nothing(self: AccessLog, status: int) -> bool:
    """Take no note."""
    return False


def no_ids(headers: list[Header], fields: Mapping[bytes, bytes]) -> IdLines:
    """Give none."""
    return b""


def switch(number: int, frame: object) -> None:
    """Turn both on or off."""
    on = number == signal.SIGUSR1
    cast(Any, AccessLog).wants = wants if on else want_nothing
    cast(Any, messages).id_lines = id_lines if on else no_ids


for number in (signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, switch)
