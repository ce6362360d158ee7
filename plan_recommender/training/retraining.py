"""The decisions of a retraining before it trains: was this done before, and is there a reason to train at all?

There is a reason if usage has drifted from that of the champion's training part, or if the champion answers fresh rows
worse than those of its own table, because the relation between usage and plan may change while usage stays as it was.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from plan_recommender.config.settings import DriftSettings, Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.drift.verdict import Sample, compare
from plan_recommender.model.profile import ReferenceProfile
from plan_recommender.model.record import HABITS_FILE
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.store import RegisteredModel
from plan_recommender.training.fresh_rows import FALSE_ALARMS, Ageing
from plan_recommender.training.habits import LearnedHabits
from plan_recommender.training.history import Retraining
from plan_recommender.training.publish import habits_document, library_versions, policy, portable

_MONTHS_A_YEAR: Final = 12


@dataclass(frozen=True)
class Reasons:
    """What speaks for a new model."""

    verdict: str
    """Of the comparison of usage: drift or no drift."""
    drifted: list[str]
    """The features, pairs of them and predictions that have drifted."""
    ageing: Ageing | None
    """None: there are too few fresh rows to ask whether the champion is as good as it was."""

    @property
    def found(self) -> bool:
        """Whether there is one."""
        return self.verdict == "drift" or (self.ageing is not None and self.ageing.worse)

    def sentence(self) -> str:
        """Say what was found, without a full stop."""
        usage = f"drift in {', '.join(self.drifted)}" if self.drifted else "no drift"
        if self.ageing is None:
            return f"{usage}, and too few fresh rows to ask whether the champion is as good as it was"
        it = self.ageing
        how = (
            f"worse than its own {it.before:.4f}, by at least {it.low:+.4f} with a confidence of {1 - FALSE_ALARMS:.0%}"
            if it.worse
            else f"no worse than its own {it.before:.4f}"
        )
        return f"{usage}, and the champion's Brier score on {it.rows:,} fresh rows is {it.brier:.4f}, {how}"


def reasons_for(champion: RegisteredModel, table: LabelledTable, settings: Settings) -> Reasons:
    """Compare a table with the one that the champion was trained on.

    Raises:
        TableError: there are too few rows for a verdict.
        ModelError: a file of the champion is missing or was altered.
    """
    verdict, parts = drifted(
        champion.profile(), champion.scorer(), Sample(table.features, table.subscribers), settings.drift
    )
    return Reasons(verdict, parts, Ageing.measure(champion, table, settings))


def drifted(
    reference: ReferenceProfile, scorer: Scorer, current: Sample, settings: DriftSettings
) -> tuple[str, list[str]]:
    """Compare usage with the profile of a champion's training part; gives the verdict, and what has drifted.

    Chance may start a retraining in `alpha` of the years, and not of the months, because a new model costs more than a
    look at a report.

    Raises:
        TableError: there are too few rows for a verdict.
    """
    careful = settings.model_copy(update={"alpha": settings.alpha / _MONTHS_A_YEAR})
    report = compare(reference, current, careful, scorer)
    return report.verdict, report.drifted


def described(
    new: Retraining, table: LabelledTable, habits: LearnedHabits, champion: RegisteredModel | None, settings: Settings
) -> Retraining:
    """Add to a run what it works on: the table, a digest of all that decides its result, and the champion."""
    decides = {
        "table": table.sha256,
        "settings": _that_decide(portable(settings)),
        "versions": library_versions(),
        "habits": habits.profile.model_dump(mode="json"),
    }
    return new.model_copy(
        update={
            "sha256": table.sha256,
            "rows": len(table.target),
            "subscribers": None if table.subscribers is None else len(np.unique(table.subscribers)),
            "run": hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16],
            "champion": None if champion is None else champion.tag,
        }
    )


def made_from_the_same(
    champion: RegisteredModel, table: LabelledTable, habits: LearnedHabits, settings: Settings
) -> bool:
    """Whether a model was made from the same table and habits, with the same settings, seed and libraries."""
    record = champion.record
    return (
        record.data.sha256 == table.sha256
        and record.months.sha256 == habits.sha256
        and record.digests[HABITS_FILE] == hashlib.sha256(habits_document(habits)).hexdigest()
        and record.advice == policy(settings.advice).model_dump()
        and record.versions == library_versions()
        and _that_decide(record.settings) == _that_decide(portable(settings))
    )


def _that_decide(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave the name of the table's file out of settings, because its content is what counts.

    They come as JSON has them, because those of a record have been JSON.
    """
    data = {name: value for name, value in settings["data"].items() if name != "path"}
    deciding: dict[str, Any] = json.loads(json.dumps(settings | {"data": data}))
    return deciding
