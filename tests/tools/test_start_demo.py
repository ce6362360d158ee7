"""`make start-demo`, as far as it needs no container; tests/docs runs all of it."""

import pytest

from plan_recommender.serving.settings import KEY_FILE_VARIABLE
from tools import start_demo


def test_a_file_of_keys_starts_no_demo_that_is_open(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(KEY_FILE_VARIABLE, "/etc/keys")
    assert start_demo.main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""  # nothing was built
    assert "expected the key for this demo in PLAN_RECOMMENDER_API_KEY, found PLAN_RECOMMENDER_API_KEY_FILE" in said.err
