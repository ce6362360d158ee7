"""What tests of advice share: months that are drawn, a profile of habits fitted to others, and who advises by it."""

from functools import cache
from pathlib import Path

import numpy as np

from plan_recommender.billing.advice import AdvicePolicy, Adviser
from plan_recommender.billing.habits import HabitProfile
from plan_recommender.billing.tariffs import Tariffs, load_tariffs
from plan_recommender.data.month_synthesis import HEADER, csv_lines, generate_months
from plan_recommender.training.habits import fit_habits
from tools.server import ROOT

COLUMNS = HEADER.strip()
POLICY = AdvicePolicy()


@cache
def tariffs() -> Tariffs:
    return load_tariffs(ROOT / "tariffs.yaml")


@cache
def habits() -> HabitProfile:
    """Fit the profile of 200 subscribers whom no test advises."""
    blocks = list(generate_months(200, 12, seed=7))
    column = {name: np.concatenate([getattr(block, name) for block in blocks]) for name in blocks[0]._fields}
    return fit_habits(
        column["subscriber"], column["month"], column["usage"], column["billed_minutes"].astype(float), column["share"]
    )


@cache
def adviser() -> Adviser:
    return Adviser(tariffs(), habits(), POLICY)


def lines_of_months(subscribers: int, months: int = 12, seed: int = 3) -> list[str]:
    """Draw months; each is a line of a CSV file with the header `COLUMNS`."""
    return [line for block in generate_months(subscribers, months, seed) for line in csv_lines(block).splitlines()]


def write_months(path: Path, lines: list[str], header: str = COLUMNS) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path
