"""`make drift-demo`: a service, usage that changes, a verdict, a better model, and one that is refused.

usage: python -m tools.drift_demo [--folder artifacts/drift_demo] [--config model_config.yaml]

Every step is the real command or a request to the real service, in a folder and a model store of its own.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.drift_demo")

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import numpy as np

from plan_recommender import cli
from plan_recommender.data.csv_table import read_labelled
from plan_recommender.data.synthesis import Subscribers, generate, write_csv
from plan_recommender.errors import PlanRecommenderError
from plan_recommender.model.features import FEATURE_NAMES
from tools.server import ROOT, ServerDidNotStartError, serving

ROWS: Final = 3000
_BODY_ROWS: Final = 500
_PATIENCE: Final = 30.0  # seconds until a verdict is expected to be shown; a worker looks every few
_TEST_ROWS: Final = 20_000
_SEED: Final = 20_261_129


class StoryError(PlanRecommenderError):
    """Something happened that is not in the story."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Tell the story; returns 0.

    Raises:
        StoryError: a step ended otherwise than it is told.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tools.drift_demo",
        description="Serve a month, and one in which usage has changed; retrain; refuse a model of shuffled labels.",
    )
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "artifacts" / "drift_demo", metavar="DIR",
        help="for everything that the story makes; emptied first (default: artifacts/drift_demo)",
    )  # fmt: skip
    parser.add_argument("--config", type=Path, metavar="YAML", help="to train with (default: as shipped)")
    options = parser.parse_args(arguments)
    folder: Path = options.folder.absolute()
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    try:
        _Story(folder, options.config).tell()
    except ServerDidNotStartError as error:
        raise StoryError(str(error)) from error
    return cli.DONE


class _Story:
    def __init__(self, folder: Path, config: Path | None) -> None:
        self._folder = folder
        self._config = config
        self._home = folder / "bentoml"
        self._log = folder / "predictions"
        self._tables = {
            name: self._write(name, seed, shift)
            for name, seed, shift in (
                ("month_1", 1, "none"), ("month_2", 2, "data_growth"), ("month_3", 3, "data_growth"),
                ("month_4", 4, "data_growth"),
            )
        }  # fmt: skip

    def tell(self) -> None:
        """Tell it from the first model to the one that is refused."""
        _heading("a model is trained and served")
        self._run("train.py", *self._places())
        champion = self._latest()
        with serving(env=self._environment()) as server, httpx.Client(base_url=server.url, timeout=30) as client:
            _heading("month 1: usage is as it was in the training table")
            self._send(client, "month_1")
            _expect(self._verdict(client, expected=0) == 0, "no drift in month 1, found drift")
            cli.say(f"the live verdict: no drift in {ROWS:,} rows")
            _heading("month 2: everybody uses 30 % more data")
            changed = datetime.now(UTC)
            self._send(client, "month_2")
            _expect(self._verdict(client, expected=1) == 1, "drift in month 2, found none")
            cli.say(f"the live verdict: drift, most of it in {_most_evidence(client.get('/metrics').text)}")
            _expect(client.get("/health").json()["status"] == "ok", "the service to answer under drift")
            time.sleep(1)  # the log's writer writes at least once a second
        _heading("what was sent is compared with what the model was trained on")
        page = self._folder / "drift.html"
        found = self._run(
            "drift.py", "--cur", self._log, "--since", changed.isoformat(), "--html", page,
            "--out", self._folder / "drift.json", code=1,
        )  # fmt: skip
        _expect("mb_used up by" in found, "drift.py to name mb_used")
        cli.say(f"(the page: {page})")
        _heading("the plans that these subscribers hold become known")
        self._run("evaluate.py", "--log", self._log, "--labels", self._labels(), "--artifacts", self._folder / "late")
        _heading("retraining on month 2")
        self._run("retrain.py", "--data", self._tables["month_2"], *self._places())
        better = self._latest()
        _expect(better != champion, "another champion after the retraining")
        with serving(env=self._environment()) as server, httpx.Client(base_url=server.url, timeout=30) as client:
            _heading("month 3: the service has taken the new model")
            _expect(client.get("/health").json()["model"] == better, f"the service to answer with {better}")
            self._send(client, "month_3")
            _expect(self._verdict(client, expected=0) == 0, "no drift from the new model's table, found drift")
            cli.say("the live verdict: no drift, beside the table of the new model")
        self._run(
            "evaluate.py", "--data", self._write("month_3_all", 33, "data_growth", _TEST_ROWS),
            "--model", champion, "--model", better, "--artifacts", self._folder / "beside",
        )  # fmt: skip
        low, high = self._difference()
        _expect(high < 0, f"a better Brier score of the new model, found a difference of {low:+.4f} to {high:+.4f}")
        cli.say(f"the new model's Brier score on month 3 is better by {-high:.4f} to {-low:.4f}")
        _heading("a sabotaged month: its labels are shuffled")
        self._run("retrain.py", "--data", self._shuffled("month_4"), *self._places(), "--always", code=1)
        _expect(self._latest() == better, "the champion to stay")
        cli.say(f"the champion stays {better}")
        _heading("every retraining is a line of the history")
        cli.say((self._folder / "retraining.jsonl").read_text().rstrip())

    def _run(self, program: str, *arguments: object, code: int = 0) -> str:
        """Run a command line, show it and what it prints; returns that."""
        shown = " ".join(str(a).removeprefix(f"{self._folder}/") for a in arguments)
        cli.say(f"$ python {program} {shown}")
        done = subprocess.run(
            [sys.executable, program, *map(str, arguments)], cwd=ROOT, env=os.environ | self._environment(),
            capture_output=True, text=True,
        )  # fmt: skip
        cli.say(done.stdout.replace(f"{self._folder}/", "").rstrip())
        _expect(
            done.returncode == code, f"exit code {code} of {program}, found {done.returncode}: {done.stderr.rstrip()}"
        )
        return done.stdout

    def _environment(self) -> dict[str, str]:
        return {
            "BENTOML_HOME": str(self._home),
            "BENTOML_DO_NOT_TRACK": "True",
            "PLAN_RECOMMENDER_PREDICTION_LOG": str(self._log),
            "PLAN_RECOMMENDER_DRIFT_STATE": str(self._folder / "drift_state"),
        }

    def _places(self) -> list[object]:
        config = [] if self._config is None else ["--config", self._config]
        return [*config, "--artifacts", self._folder / "artifacts"]

    def _latest(self) -> str:
        tags = subprocess.run(
            [Path(sys.executable).with_name("bentoml"), "models", "get", "plan_recommender:latest", "-o", "json"],
            env=os.environ | self._environment(), capture_output=True, text=True, check=True,
        )  # fmt: skip
        found = json.loads(tags.stdout)
        return f"{found['name']}:{found['version']}"

    def _write(self, name: str, seed: int, shift: str, rows: int = ROWS) -> Path:
        path = self._folder / f"{name}.csv"
        with path.open("w") as file:
            write_csv(file, generate(rows, _SEED + seed, shift))
        return path

    def _shuffled(self, name: str) -> Path:
        table = read_labelled(self._tables[name])
        shuffled = np.random.default_rng(_SEED).permutation(table.target)
        path = self._folder / f"{name}_shuffled.csv"
        with path.open("w") as file:
            write_csv(file, iter([Subscribers(table.features, shuffled)]))
        return path

    def _labels(self) -> Path:
        """Write the plans that became known of both months, by the references that were sent."""
        path = self._folder / "known_plans.csv"
        with path.open("w") as file:
            file.write("reference,is_ultra\n")
            for name in ("month_1", "month_2"):
                target = read_labelled(self._tables[name]).target
                file.writelines(
                    f"{name}-{row // _BODY_ROWS}/{row % _BODY_ROWS},{label}\n" for row, label in enumerate(target)
                )
        return path

    def _send(self, client: httpx.Client, name: str) -> None:
        """Ask the service for every row of a month, in batches, with a reference."""
        features = read_labelled(self._tables[name]).features
        for body, start in enumerate(range(0, len(features), _BODY_ROWS)):
            rows = [dict(zip(FEATURE_NAMES, row, strict=True)) for row in features[start : start + _BODY_ROWS].tolist()]
            answer = client.post("/predict_batch", json={"rows": rows}, headers={"X-Reference": f"{name}-{body}"})
            _expect(answer.status_code == 200, f"an answer to {name}, found {answer.status_code}")
        cli.say(f"{len(features):,} subscribers were answered")

    def _verdict(self, client: httpx.Client, expected: int) -> int:
        """Wait until the month that was sent has been looked at; for a drift, until it is said."""
        ends, verdict = time.monotonic() + _PATIENCE, -1
        while time.monotonic() < ends:
            text = client.get("/metrics").text
            verdict = int(_series(text, "plan_recommender_drift"))
            if verdict == 1 or (expected == 0 and _series(text, "plan_recommender_drift_rows") >= ROWS):
                return verdict
            time.sleep(0.5)
        return verdict

    def _difference(self) -> tuple[float, float]:
        found = json.loads((self._folder / "beside" / "comparison.json").read_text())
        return float(found["brier"]["low"]), float(found["brier"]["high"])


def _heading(text: str) -> None:
    cli.say(f"\n== {text}")


def _series(text: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def _most_evidence(text: str) -> str:
    parts = re.findall(r'^plan_recommender_drift_part_evidence_days\{part="([^"]*)"\} (\S+)$', text, re.MULTILINE)
    return str(max(parts, key=lambda part: float(part[1]))[0]) if parts else "nothing"


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise StoryError(f"the story does not go on: expected {what}")
