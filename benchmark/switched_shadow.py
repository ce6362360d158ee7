"""The service, whose shadow SIGUSR1 switches off and on again, for benchmark/shadow.py."""

import signal
from typing import Any, cast

from plan_recommender.serving.recommender import Recommender
from service import PlanRecommender

__all__ = ["PlanRecommender"]

_make = Recommender.__init__


def _make_switched(self: Recommender, *arguments: Any) -> None:
    _make(self, *arguments)
    shadow = self.shadow
    assert shadow is not None

    def switch(*_: object) -> None:
        if self.shadow is None:
            self.shadow = shadow
        else:
            self.shadow = None
            shadow.score()  # what came meanwhile is its cost, too

    signal.signal(signal.SIGUSR1, switch)


cast(Any, Recommender).__init__ = _make_switched
