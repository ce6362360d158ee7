"""The measurement behind the table of docs/campaign.md."""

import pytest

from plan_recommender.campaign.design import Arms
from tools import campaign_rates


def test_intervals_cover_and_large_changes_are_seen() -> None:
    found = campaign_rates.measure(Arms(721, 721), 0.10, campaigns=300, seed=1)
    assert found.bills == pytest.approx(0.95, abs=0.05)
    assert found.churn == pytest.approx(0.95, abs=0.05)
    assert found.seen == pytest.approx(0.8, abs=0.08)


def test_a_row_is_printed_for_each_size_and_churn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign_rates, "SIZES", (Arms(90, 10),))
    assert campaign_rates.main(["--campaigns", "20"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[:3] for row in rows[2:]] == [["| 90", "10", rate] for rate in ("6%", "7%", "10%")]
