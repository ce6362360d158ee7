"""The adviser of a registered model: its files are as they were registered, or it advises nobody."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from plan_recommender.billing.forecast import Month
from plan_recommender.billing.registered import adviser_of
from plan_recommender.billing.tariffs import load_tariffs, shipped_tariffs
from plan_recommender.errors import ModelError
from plan_recommender.model.record import HABITS_FILE
from plan_recommender.model.store import find
from tests.conftest import using

TARIFFS = load_tariffs(shipped_tariffs())


@pytest.fixture
def copied(copy_store: Callable[[Path], Path], tmp_path: Path) -> Path:
    """The folder of a copy of the trained model."""
    return copy_store(tmp_path / "home")


def test_profile_and_policy_are_those_that_were_registered(copied: Path, tmp_path: Path) -> None:
    with using(tmp_path / "home"):
        adviser = adviser_of(find(), TARIFFS)
    assert adviser.policy.min_saving_share == 0.1
    assert adviser.advise(0, [Month(60, 400, 30, 16_000)]).kind == "keep"


def test_an_altered_profile_advises_nobody(copied: Path, tmp_path: Path) -> None:
    profile = copied / HABITS_FILE
    profile.write_text(profile.read_text().replace('"subscribers":300', '"subscribers":301'))
    with (
        using(tmp_path / "home"),
        pytest.raises(ModelError, match="registered profile of habits, found an"),
    ):
        adviser_of(find(), TARIFFS)
    profile.unlink()
    with using(tmp_path / "home"), pytest.raises(ModelError, match="profile of habits, found none that can be read"):
        adviser_of(find(), TARIFFS)


def test_a_policy_of_another_version_is_refused(copied: Path, tmp_path: Path) -> None:
    with using(tmp_path / "home"):
        model = find()
    record = model.record.model_copy(update={"advice": model.record.advice | {"patience": 3}})
    with pytest.raises(ModelError, match="expected a profile of habits and a policy of this version; train again"):
        adviser_of(replace(model, record=record), TARIFFS)
