"""Advice for the tests: with the expected bills that a test needs, and from the adviser itself."""

import numpy as np

from plan_recommender.billing.advice import Advice, AdvicePolicy, Adviser, Kind
from plan_recommender.billing.bill import Bill
from plan_recommender.billing.forecast import Month, Range, Saving
from plan_recommender.billing.habits import SCENARIOS, Habit, HabitErrors, HabitProfile
from plan_recommender.billing.tariffs import Tariffs

_NOTHING = Saving(0, 0, 0, 0.0)


def advice(held: int | None, bills: list[int], kind: Kind, advised: int) -> Advice:
    """Make an advice of expected bills (smallest units, of every plan)."""
    saving = _NOTHING
    if kind == "switch" and held is not None:
        saved = bills[held] - bills[advised]
        saving = Saving(saved, saved, saved, 1.0)
    return Advice(
        kind, held, advised, "saves enough", held or 0, saving, _NOTHING, [Range(bill, bill, bill) for bill in bills],
        [Bill(bill, 0, 0, 0, bill) for bill in bills], False, 3,
    )  # fmt: skip


def switch(saving: int) -> Advice:
    """Advise somebody on the second of two plans to switch to the first."""
    return advice(1, [1000, 1000 + saving], "switch", 0)


def keep() -> Advice:
    """Advise somebody on the first of two plans to keep it."""
    return advice(0, [1000, 1500], "keep", 0)


def advised_file(tariffs: Tariffs, subscribers: int, seed: int) -> list[tuple[str, Advice, float]]:
    """Let the adviser advise on made-up subscribers: who it is, the advice, and the mean data of the past months."""
    rng = np.random.default_rng(seed)
    errors = HabitErrors(**{name: _errors(rng) for name in ("minutes", "messages", "mb_used")})
    profile = HabitProfile(
        subscribers=100, targets=500, minutes=_habit(450), messages=_habit(40), mb_used=_habit(17_000),
        errors_after_one=errors, errors_after_more=errors,
    )  # fmt: skip
    adviser = Adviser(tariffs, profile, AdvicePolicy())
    rows = []
    for i in range(subscribers):
        heavy = float(rng.gamma(3, 1 / 3))
        usage = np.round(rng.gamma(4, heavy / 4, (int(rng.integers(1, 4)), 4)) * [60, 450, 40, 17_000], 2)
        months = [Month(float(int(calls)), *rest) for calls, *rest in usage.tolist()]
        held = None if rng.random() < 0.1 else int(rng.integers(len(tariffs.plans)))
        rows.append((str(1000 + i), adviser.advise(held, months), float(usage[:, 3].mean())))
    return rows


def _habit(usual: float) -> Habit:
    return Habit(usual=usual, prior_months=0.5, spread=usual / 10, spread_share=0.2)


def _errors(rng: np.random.Generator) -> list[int]:
    return [int(error) for error in np.round(100 * rng.normal(size=SCENARIOS))]
