"""The folder of the drift watch: counts of all workers add up exactly, and whoever dies when changes nothing."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from plan_recommender.monitoring.evidence import State
from plan_recommender.monitoring.shared_counts import CountsFile, SharedFolder
from plan_recommender.monitoring.watch import Watched
from tools.server import ROOT

CELLS = 219
ONES = np.ones(CELLS, dtype=np.int64)


def watched() -> Watched:
    bets = np.array([-np.inf, 0.5])
    return Watched(State(5 * ONES, 7, {0: 0 * ONES, 3: 2 * ONES}, bets), 100.25, 200.5, ["calls", "calls and minutes"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "model"


def test_workers_alive_and_dead_are_added_up_and_the_dead_only_once(folder: Path) -> None:
    first, second = CountsFile(folder, CELLS), CountsFile(folder, CELLS)
    shared = SharedFolder(folder, CELLS)
    first.write(3 * ONES)
    second.write(4 * ONES)
    second.write(5 * ONES)
    found = shared.read()
    assert (found.totals.tolist(), found.changed, found.watched) == ((8 * ONES).tolist(), False, None)
    first.close()
    for _ in range(2):  # not stored yet
        found = shared.read()
        assert (found.totals.tolist(), found.changed) == ((8 * ONES).tolist(), True)
    shared.store(watched())
    assert len(list(folder.glob("*.counts"))) == 1
    second.write(6 * ONES)
    for each in (shared, SharedFolder(folder, CELLS)):
        found = each.read()
        assert (found.totals.tolist(), found.changed) == ((9 * ONES).tolist(), False)
    second.close()


def test_what_is_stored_is_read_back(folder: Path) -> None:
    CountsFile(folder, CELLS).close()
    shared = SharedFolder(folder, CELLS)
    shared.read()
    shared.store(watched())
    found = SharedFolder(folder, CELLS).read().watched
    assert found is not None
    assert (found.begun, found.since, found.parts) == (100.25, 200.5, ["calls", "calls and minutes"])
    assert found.state.bets.tolist() == [-np.inf, 0.5]
    assert {day: counts.tolist() for day, counts in found.state.starts.items()} == {
        0: (0 * ONES).tolist(),
        3: (2 * ONES).tolist(),
    }
    assert (found.state.hour, found.state.totals.tolist()) == (7, (5 * ONES).tolist())


def test_a_worker_that_dies_between_storing_and_deleting_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = CountsFile(folder, CELLS)
    worker.write(3 * ONES)
    worker.close()
    (file,) = folder.glob("*.counts")
    content = file.read_bytes()
    shared = SharedFolder(folder, CELLS)
    shared.read()
    shared.store(watched())
    assert not file.exists()
    file.write_bytes(content)  # as if it had not been deleted
    found = SharedFolder(folder, CELLS).read()
    assert (found.totals.tolist(), found.changed) == ((3 * ONES).tolist(), False)
    assert not file.exists()
    (folder / "another.counts").write_bytes(content)  # the control: a file that nobody has added yet
    assert SharedFolder(folder, CELLS).read().totals.tolist() == (6 * ONES).tolist()


def test_a_state_that_cannot_be_stored_leaves_the_one_before(folder: Path) -> None:
    worker = CountsFile(folder, CELLS)
    worker.write(3 * ONES)
    worker.close()
    shared = SharedFolder(folder, CELLS)
    shared.read()
    (folder / f".state-{os.getpid()}.new").mkdir()
    with pytest.raises(OSError, match="state"):
        shared.store(watched())
    assert SharedFolder(folder, CELLS).read().totals.tolist() == (3 * ONES).tolist()
    assert list(folder.glob("*.counts")) != []


def test_of_a_torn_writing_the_counts_before_it_are_read(folder: Path) -> None:
    worker = CountsFile(folder, CELLS)
    worker.write(3 * ONES)
    worker.write(4 * ONES)
    (file,) = folder.glob("*.counts")
    content = bytearray(file.read_bytes())
    shared = SharedFolder(folder, CELLS)
    assert shared.read().totals.tolist() == (4 * ONES).tolist()
    content[200] ^= 1  # in the slot of the second writing
    file.write_bytes(content)
    found = shared.read()
    assert (found.totals.tolist(), found.damaged) == ((3 * ONES).tolist(), [])
    file.write_bytes(b"x" * len(content))
    found = shared.read()
    assert (found.totals.tolist(), found.damaged) == ((0 * ONES).tolist(), [file.name])
    worker.close()


@pytest.mark.parametrize("content", ["", "{", '{"dead": []}', "[]"])
def test_a_state_that_is_damaged_is_named_and_left_out(folder: Path, content: str) -> None:
    CountsFile(folder, CELLS).close()
    (folder / "state.json").write_text(content)
    found = SharedFolder(folder, CELLS).read()
    assert (found.watched, found.damaged) == (None, ["state.json"])


def test_a_state_of_another_layout_is_left_out(folder: Path) -> None:
    CountsFile(folder, CELLS).close()
    shared = SharedFolder(folder, CELLS)
    shared.read()
    shared.store(watched())
    assert SharedFolder(folder, CELLS + 1).read().damaged == ["state.json"]
    assert SharedFolder(folder, CELLS).read().damaged == []


def test_one_worker_looks_at_a_time(folder: Path) -> None:
    CountsFile(folder, CELLS).close()
    first, second = SharedFolder(folder, CELLS), SharedFolder(folder, CELLS)
    with first.alone() as one:
        assert one
        with second.alone() as other:
            assert not other
    with second.alone() as other:
        assert other


def test_after_the_folder_is_emptied_counting_begins_anew(folder: Path) -> None:
    worker = CountsFile(folder, CELLS)
    worker.write(3 * ONES)
    shutil.rmtree(folder)
    worker.write(5 * ONES)
    assert SharedFolder(folder, CELLS).read().totals.tolist() == (2 * ONES).tolist()
    worker.write(6 * ONES)
    assert SharedFolder(folder, CELLS).read().totals.tolist() == (3 * ONES).tolist()
    worker.close()


WRITER = """
import sys
from pathlib import Path
import numpy as np
from plan_recommender.monitoring.shared_counts import CountsFile
worker = CountsFile(Path(sys.argv[1]), 219)
for i in range(1, 10**9):
    worker.write(np.full(219, i))
    if i == 100:
        print("ready", flush=True)
"""


@pytest.mark.slow
def test_counts_are_whole_at_any_moment_and_after_a_kill(folder: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        shared, before = SharedFolder(folder, CELLS), 0
        for _ in range(2_000):
            found = shared.read()
            (value,) = set(found.totals.tolist())
            assert (found.damaged, found.changed) == ([], False)
            assert value >= max(before, 100)
            before = value
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    found = shared.read()
    (value,) = set(found.totals.tolist())
    assert value >= before
    assert found.changed
