"""What a service is made of: the Bento that it was started from, and the commit of the source that it runs.

A Bento has the commit in its own description, where `bentoml build` put it. A service from source asks git once, when
it starts; the workers find the answer in an environment variable.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[2]
_HANDED_ON: Final = "SOURCE_COMMIT_OF_PLAN_RECOMMENDER"  # does not begin as the settings do, because it is none
_DIRTY: Final = "-dirty"
_GIT_SECONDS: Final = 10


@dataclass(frozen=True)
class Origin:
    """Where the code and the model of a service come from."""

    bento: str | None = None
    """Tag of the Bento; None: the service was started from source."""
    commit: str | None = None
    """As `source_commit` gives it; None: it is not known."""


def source_commit(root: Path = _ROOT) -> str | None:
    """Ask git for the commit of a folder: 40 hexadecimal digits, and `-dirty` if a file is not that of the commit.

    None if the folder is not itself a working tree, such as the source in a Bento, or if git cannot tell.
    """
    if not (root / ".git").exists():  # git would answer for a tree that the folder happens to lie in
        return None
    # Git's own variables would name another tree; a hook has them set.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(root), "status", "--porcelain=v2", "--branch"]
    try:
        ended = subprocess.run(command, env=environment, capture_output=True, timeout=_GIT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = ended.stdout.decode(errors="replace").splitlines()
    commits = [line.removeprefix("# branch.oid ") for line in lines if line.startswith("# branch.oid ")]
    if not commits or commits[0] == "(initial)":
        return None
    return commits[0] + (_DIRTY if any(not line.startswith("#") for line in lines) else "")


def short(commit: str) -> str:
    """Shorten what `source_commit` gives to seven digits, and keep `-dirty`."""
    return commit[:7] + (_DIRTY if commit.endswith(_DIRTY) else "")


def hand_on() -> None:
    """Ask git, and put the answer where the workers that will be started find it."""
    os.environ[_HANDED_ON] = source_commit() or ""


def handed_on() -> str | None:
    """Give what `hand_on` found, in this process or in the one that started it."""
    return os.environ.get(_HANDED_ON) or None
