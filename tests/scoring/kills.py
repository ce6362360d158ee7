"""Runs that are killed at random moments and continued: what comes out in the end is what one run would have written.

`python -m tests.scoring.kills --kills 200` kills so many; the suite kills a few.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from plan_recommender.model import store
from plan_recommender.model.record import DOCUMENT_FILE
from tools.server import ROOT

PROGRAM = "tests.programs.score_in_small_steps"
OUTPUTS = ("out.csv", "out.rejects.csv")
ROWS = 20_000
_LONGEST = 0.5  # seconds from the beginning of the scoring to a kill


class Tally(NamedTuple):
    """What happened."""

    kills: int
    continued: int
    """Runs that went on where another one had been killed."""
    results: int
    different: int
    """Results that are not those of a run without a kill."""


def kill_and_continue(document: Path, folder: Path, kills: int, seed: int = 0) -> Tally:
    """Kill runs at random moments, and continue each until it ends, until there were so many kills."""
    chance = random.Random(seed)  # noqa: S311  # nothing secret
    source = folder / "in.csv"
    _write_table(source)
    expected = _result(document, source, folder / "whole", [])
    killed = continued = results = different = 0
    while killed < kills:
        moments = [chance.uniform(0, _LONGEST) for _ in range(min(chance.randrange(1, 5), kills - killed))]
        done = _result(document, source, folder / str(results), moments)
        killed += done.kills
        continued += done.continued
        results += 1
        different += done.files != expected.files or not set(done.left) <= set(expected.files)
    return Tally(killed, continued, results, different)


class _Result(NamedTuple):
    files: list[bytes]
    kills: int
    continued: bool
    left: list[bytes]
    """Outputs that were there after a kill: complete ones, if it came between the two renames."""


def _result(document: Path, source: Path, folder: Path, moments: list[float]) -> _Result:
    """Kill a run at each of the moments (seconds) that it lives to see; then let it end."""
    paths = [folder / name for name in OUTPUTS]
    kills, left = 0, []
    for moment in [*moments, None]:
        run = subprocess.Popen(
            [sys.executable, "-m", PROGRAM, document, source, *paths], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert run.stdout is not None
        with run, run.stdout as said:
            assert said.readline() == "begins\n"
            if moment is not None:
                time.sleep(moment)
                run.kill()
            words = said.read().split()
        if run.returncode == 0:
            break
        kills += 1
        assert moment is not None, f"expected the run to end well, found exit code {run.returncode}"
        left += [path.read_bytes() for path in paths if path.exists()]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*OUTPUTS, ".out.csv.journal"])
    return _Result([path.read_bytes() for path in paths], kills, int(words[2]) > 0, left)


def _write_table(path: Path) -> None:
    """Write a table of which every tenth row is rejected."""
    lines = ["id,calls,minutes,messages,mb_used,note"]
    for i in range(ROWS):
        calls = "x" if i % 10 == 3 else str(i % 200)
        lines.append(f"{i},{calls},{i * 7 % 1500}.{i % 100:02},{i % 80},{i * 31 % 40000},{'ü' * (i % 5)}")
    path.write_text("\r\n".join(lines) + "\r\n", encoding="utf-8", newline="")


def main() -> None:
    """Kill runs with the registered model, and say what happened."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    document = store.find().path / DOCUMENT_FILE
    with tempfile.TemporaryDirectory() as folder:
        tally = kill_and_continue(document, Path(folder), options.kills, options.seed)
    print(f"{tally.kills} kills; {tally.results} results, {tally.continued} continued, {tally.different} different")
    sys.exit(tally.different > 0)


if __name__ == "__main__":
    main()
