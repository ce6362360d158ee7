"""`make test-quick` starts no server, no container and no other process: a test that does so is marked as slow."""

import re
import subprocess
import sys

import pytest

from tests.processes import StartedProcessError
from tools import container
from tools.server import ROOT, serving

NOTHING = [sys.executable, "-c", ""]


def test_a_quick_test_may_not_start_a_process(request: pytest.FixtureRequest) -> None:
    with pytest.raises(StartedProcessError, match=re.escape(request.node.nodeid)):
        subprocess.run(NOTHING, check=True)


def test_a_quick_test_may_not_start_a_server() -> None:
    with pytest.raises(StartedProcessError, match="bentoml"), serving():
        pass


def test_a_quick_test_may_not_use_a_container_engine() -> None:
    container.client.cache_clear()
    with pytest.raises((StartedProcessError, container.ContainerError), match="docker"):  # the latter without a client
        container.docker("version")


@pytest.mark.slow
def test_a_slow_test_may() -> None:
    """The control of the tests above."""
    assert subprocess.run(NOTHING, check=True).returncode == 0


def test_the_make_target_leaves_out_what_is_slow() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^test-quick:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert '-m "not slow"' in recipe
