"""What the tests of the documents share."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.server import ROOT


@pytest.fixture
def checkout(copy_checkout: Callable[[str], Path]) -> Path:
    """What git tracks, with this environment as its .venv."""
    return copy_checkout("checkout")


@pytest.fixture
def copy_checkout(tmp_path: Path) -> Callable[[str], Path]:
    """Make a folder with what git tracks, and this environment as its .venv."""

    def copy(name: str) -> Path:
        asked = ["git", "ls-files", "--cached", "-z"]
        tracked = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        place = tmp_path / name
        for path in filter(None, tracked.split("\0")):
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, place / path)
        (place / ".venv").symlink_to(sys.prefix)
        for lock in (place / "requirements").glob("*.txt"):
            os.utime(lock, (0, 0))  # older than the environment, so that make takes it as it is
        return place

    return copy
