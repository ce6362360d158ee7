"""A notebook runs the commands as a user does, in its own folder, and shows nothing that differs from run to run."""

import os
import re

import pytest

from tools.notebook_session import SHIPPED, CommandFailedError, begin
from tools.server import ROOT


@pytest.mark.slow
def test_a_command_runs_in_a_folder_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTOML_HOME", os.environ["BENTOML_HOME"])  # so that it is put back
    session = begin()
    assert os.environ["BENTOML_HOME"].startswith(str(session.folder))
    assert {path.name for path in session.folder.iterdir()} == {*SHIPPED}
    session.run("python -m tools.synthesise --subscribers 2 --months 4 --output months.csv")
    assert re.fullmatch(r"months\.csv: \d+ months of 2 synthetic subscribers, seed 42\n", capsys.readouterr().out)
    assert (session.folder / "months.csv").is_file()
    assert not (ROOT / "months.csv").exists()
    with pytest.raises(CommandFailedError, match="expected exit code 0, found 2:\nusage: "):
        session.run("python predict.py")
    with pytest.raises(ValueError, match="expected a command that begins with python, found 'rm'"):
        session.run("rm -r notebooks")
    session.end()
    assert not session.folder.exists()


@pytest.mark.slow
def test_tags_and_times_are_not_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENTOML_HOME", os.environ["BENTOML_HOME"])
    session = begin()
    (session.folder / "told.py").write_text(
        "print('registered plan_recommender:sdyo2zhingzwqax4')\nprint('* average  0.78     169 ms')\n"
    )
    session.run(f"python {session.folder / 'told.py'}")
    session.end()
    assert capsys.readouterr().out == "registered plan_recommender:…\n* average  0.78     … ms\n"
