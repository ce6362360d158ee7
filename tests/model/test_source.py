"""The commit that a service names is that of its own source, says when files differ from it, and may be unknown."""

import os
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from plan_recommender.model.source import short, source_commit
from tools.server import Server

pytestmark = pytest.mark.slow


def git(folder: Path, *arguments: str) -> str:
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *who, *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | own
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "service.py").write_text("1")
    git(tmp_path, "add", "service.py")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def test_it_is_the_commit_and_a_changed_or_new_file_makes_it_dirty(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = git(tree, "rev-parse", "HEAD")
    assert source_commit(tree) == head
    assert re.fullmatch(r"[0-9a-f]{40}", head)
    (tree / "new.py").write_text("2")
    assert source_commit(tree) == f"{head}-dirty"
    (tree / "new.py").unlink()
    (tree / "service.py").write_text("3")
    assert source_commit(tree) == f"{head}-dirty"
    assert (short(head), short(f"{head}-dirty")) == (head[:7], f"{head[:7]}-dirty")
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as in a hook
    assert source_commit(tree) == f"{head}-dirty"


def test_it_is_not_known_in_a_folder_of_another_tree_before_the_first_commit_or_without_git(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "bento").mkdir()
    assert source_commit(tree / "bento") is None
    git(tree / "bento", "init", "--quiet")
    assert source_commit(tree / "bento") is None
    (tree / "damaged").mkdir()
    (tree / "damaged" / ".git").write_text("gitdir: /nowhere")
    assert source_commit(tree / "damaged") is None
    assert source_commit(tree) is not None  # the control
    monkeypatch.setenv("PATH", str(tmp_path))
    assert source_commit(tree) is None


def test_a_service_from_source_names_it(server: Server) -> None:
    about = httpx.get(f"{server.url}/model").json()
    assert about["bento"] is None
    assert about["source_commit"].partition("-")[0] == (source_commit() or "").partition("-")[0]
