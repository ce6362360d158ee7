"""Write the cards in docs/ from a training run on the shipped table, or check that the present ones are like them.

They are model_card.md and data_card.md, with the pictures model_curves.png and model_maps.png. The check compares the
texts and not the pictures. The run has a model store and an artifacts folder of its own, which are removed afterwards.

usage: python -m tools.cards [--check]
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.cards")

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from plan_recommender import cli
from plan_recommender.report.pages import CARDS, CURVES, MAPS
from tools.server import ROOT


def main(arguments: list[str] | None = None) -> int:
    """Write the cards, or check them; returns 0, or 1 if `--check` finds a stale card.

    Raises:
        CalledProcessError: the training run failed; what it said is on stderr.
    """
    parser = argparse.ArgumentParser(description="Write the cards in docs/ anew, from a run on the shipped table.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a card is stale")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        artifacts = Path(place) / "artifacts"
        subprocess.run(
            [sys.executable, "train.py", "--artifacts", artifacts],
            cwd=ROOT, env=os.environ | {"BENTOML_HOME": place}, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        fresh = {name: (artifacts / name).read_text(encoding="utf-8") for name in CARDS}
        pictures = {name: (artifacts / name).read_bytes() for name in (CURVES, MAPS)}
    return check(fresh) if options.check else write(fresh, pictures)


def write(fresh: dict[str, str], pictures: dict[str, bytes]) -> int:
    """Write cards and pictures into docs/, by their file names; returns 0."""
    for name, text in fresh.items():
        (ROOT / "docs" / name).write_text(text, encoding="utf-8")
        cli.say(f"docs/{name}: written")
    for name, picture in pictures.items():
        (ROOT / "docs" / name).write_bytes(picture)
        cli.say(f"docs/{name}: written")
    return cli.DONE


def check(fresh: dict[str, str]) -> int:
    """Compare the cards in docs/ with fresh ones, and print which differ; returns 1 if one does, otherwise 0."""
    stale = [name for name, text in fresh.items() if (ROOT / "docs" / name).read_text(encoding="utf-8") != text]
    for name in stale:
        cli.say(f"docs/{name}: stale; write it anew with `make cards`")
    return cli.ANSWER_IS_NO if stale else cli.DONE
