"""What a model is trained on: the table and the months, and whether both look like usage in known units."""

from collections.abc import Callable
from pathlib import Path

from plan_recommender.billing.tariffs import find_tariffs, load_tariffs
from plan_recommender.config.settings import DriftSettings, Settings
from plan_recommender.data.csv_table import LabelledTable, check_trainable, read_labelled
from plan_recommender.data.month_panel import SHIPPED_MONTHS
from plan_recommender.data.plausibility import find_mistakes
from plan_recommender.drift.reference import profile
from plan_recommender.errors import ModelError, TableError
from plan_recommender.model import store
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.training.habits import LearnedHabits, learn_habits


def read_inputs(settings: Settings, tariffs: Path | None) -> tuple[LabelledTable, LearnedHabits]:
    """Read the labelled table and learn from the months.

    Args:
        settings: say which files.
        tariffs: how minutes are billed; None: those that `find_tariffs` finds.

    Raises:
        TableError: a classifier cannot be fitted on the table, or one of the two is not what it may be.
        ConfigError: the tariffs are not what they may be.
    """
    table = read_labelled(settings.data.path, groups=settings.data.groups, format=settings.data.format)
    check_trainable(table, settings.data.max_missing_share, settings.data.min_rows)
    return table, learn_habits(settings.advice.months or SHIPPED_MONTHS, load_tariffs(tariffs or find_tariffs()))


def check_plausible(
    table: LabelledTable, habits: LearnedHabits, accept_drift: bool, say: Callable[[str], object]
) -> None:
    """Refuse tables that look mistaken beside the registered model; without one, or if they are accepted, warn of it.

    Months for the forecast that were named are compared with the table, too, because both are usage of subscribers.

    Raises:
        TableError: one of the two looks mistaken, and is not accepted.
    """
    try:
        registered = store.latest()
        reference = None if registered is None else registered.profile()
    except ModelError:
        registered, reference = None, None  # the gate says so
    mistakes = find_mistakes(table.features, reference)
    if mistakes and registered is not None and not accept_drift:
        raise TableError(
            f"{table.path}: expected a table like the one that {registered.tag} was trained on, found: "
            f"{'; '.join(mistakes)}. Put it right, or pass --accept-drift if usage has changed so much"
        )
    for mistake in mistakes:
        say(f"warning: {mistake}")
    if habits.path == SHIPPED_MONTHS:
        return
    beside = find_mistakes(habits.usage, profile(table.features, list(FEATURE_NAMES), DriftSettings(), 0))
    if beside and not mistakes and not accept_drift:  # with mistakes, the table itself may be what is wrong
        raise TableError(
            f"{habits.path}: expected months like the usage in {table.path}, found: {'; '.join(beside)}. Put them "
            "right, or pass --accept-drift if these subscribers are so unlike"
        )
    for mistake in beside:
        say(f"warning: {habits.path}, for the forecast of bills: {mistake}")
