"""Execute the notebooks, and write their outputs anew or check that the committed ones are like them.

Numbers in texts may differ by one part in a million, because another processor rounds differently; for the same reason
it may draw a line a shade differently.

usage: python -m tools.notebooks [--check]
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.notebooks")

import argparse
import base64
import io
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from plan_recommender import cli
from plan_recommender.data.outputs import replacing
from tools.server import ROOT

FOLDER: Final = ROOT / "notebooks"
CELL_SECONDS: Final = 300
"""Longest time that a cell may take."""

MAX_OTHER_PIXELS: Final = 0.001
"""Share of the pixels of a picture that may be others."""

_OTHER: Final = 32
"""Difference of a colour channel (0 to 255) from which a pixel is another one."""

_NUMBER: Final = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?(?:e-?[0-9]+)?")

_METADATA: Final = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
"""Of every notebook: nothing in it depends on the machine."""

_NOBODY_LISTENS: Final = 9
"""Port of the discard service, which no machine of today has."""

Notebook = dict[str, Any]


class NotebookFailedError(Exception):
    """A cell failed; the message holds what it printed."""


def main(arguments: list[str] | None = None) -> int:
    """Write the outputs anew, or check them; returns 0, or 1 if `--check` finds stale ones or a cell fails."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.notebooks",
        description="Execute the notebooks in a copy, and write their outputs anew in notebooks/. This takes about a "
        "minute, and needs the packages of requirements/notebooks.txt (make notebooks).",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when an output is stale")
    options = parser.parse_args(arguments)
    try:
        with executed() as fresh:
            stale = 0
            for path in sorted(FOLDER.glob("*.ipynb")):
                after = cleaned(read(fresh / path.name))
                if options.check:
                    found = differences(read(path), after)
                    stale += bool(found)
                    cli.say("\n".join(f"{path.name}: {line}" for line in found) or f"{path.name}: current")
                else:
                    with replacing(path) as file:
                        file.write(written(after))
                    cli.say(f"notebooks/{path.name}")
    except NotebookFailedError as error:
        cli.warn(str(error))
        return cli.ANSWER_IS_NO
    return cli.ANSWER_IS_NO if stale else cli.DONE


@contextmanager
def executed(folder: Path = FOLDER) -> Iterator[Path]:
    """Give a folder with a copy of the notebooks, executed by nbmake, beside the project's files.

    Raises:
        NotebookFailedError: a cell failed.
    """
    with tempfile.TemporaryDirectory(prefix="plan-recommender-notebooks-") as name:
        place = Path(name)
        for entry in ROOT.iterdir():
            if entry.name not in (FOLDER.name, ".git"):
                (place / entry.name).symlink_to(entry)
        copies = place / FOLDER.name
        copies.mkdir()
        for path in folder.glob("*.ipynb"):
            (copies / path.name).write_bytes(path.read_bytes())
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", name]
        command += ["--nbmake", "--overwrite", f"--nbmake-timeout={CELL_SECONDS}", str(copies)]
        ran = subprocess.run(command, cwd=place, env=_environment(), capture_output=True, text=True, check=False)
        if ran.returncode:
            raise NotebookFailedError(f"expected notebooks that run, found:\n{ran.stdout}{ran.stderr}")
        yield copies


def read(path: Path) -> Notebook:
    """Read a notebook."""
    document: Notebook = json.loads(path.read_text(encoding="utf-8"))
    return document


def written(notebook: Notebook) -> str:
    """Write a notebook as nbformat does."""
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def cleaned(notebook: Notebook) -> Notebook:
    """Leave out when each cell ran, and on which version of what."""
    cells = [cell | {"metadata": {}} for cell in notebook["cells"]]
    return notebook | {"cells": cells, "metadata": _METADATA}


def differences(committed: Notebook, fresh: Notebook) -> list[str]:
    """Compare the outputs of a notebook with those of a run: one line for each cell whose outputs are others."""
    found = []
    for number, (before, after) in enumerate(zip(committed["cells"], fresh["cells"], strict=True), 1):
        if before["cell_type"] == "code" and not _alike(before["outputs"], after["outputs"]):
            found.append(f"the output of cell {number} ({before['id']}) is stale: `make notebooks` writes it anew")
    return found


def pictures(notebook: Notebook) -> list[bytes]:
    """Give the pictures of a notebook as PNGs, in their order."""
    data = [output.get("data", {}) for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return [base64.b64decode(each["image/png"]) for each in data if "image/png" in each]


def _alike(before: list[Notebook], after: list[Notebook]) -> bool:
    if len(before) != len(after) or not all(map(_same_texts, before, after)):
        return False
    drawn = [[output.get("data", {}).get("image/png") for output in outputs] for outputs in (before, after)]
    return all(one == other or (one and other and _nearly(one, other)) for one, other in zip(*drawn, strict=True))


def _same_texts(before: Notebook, after: Notebook) -> bool:
    one, other = map(_text, (before, after))
    if _NUMBER.sub("N", one) != _NUMBER.sub("N", other):
        return False
    values = [[float(number.replace(",", "")) for number in _NUMBER.findall(text)] for text in (one, other)]
    return all(map(_same_number, *values))


def _same_number(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-12)


def _text(output: Notebook) -> str:
    """Give an output without its picture as one text; long texts are lists of lines in the file."""
    data = {kind: "".join(text) for kind, text in output.get("data", {}).items() if kind != "image/png"}
    return written(output | {"data": data, "text": "".join(output.get("text", ""))})


def _nearly(one: str, other: str) -> bool:
    first, second = (np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")) for png in (one, other))
    if first.shape != second.shape:
        return False
    distance = np.abs(first.astype(np.int64) - second.astype(np.int64)).max(axis=2)
    return float(np.mean(distance >= _OTHER)) <= MAX_OTHER_PIXELS


def _environment() -> dict[str, str]:
    """Give the environment without what configures a pytest that runs this; a cell that asks another host fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    nobody = f"http://127.0.0.1:{_NOBODY_LISTENS}"
    return kept | {"http_proxy": nobody, "https_proxy": nobody, "all_proxy": nobody, "no_proxy": "127.0.0.1,localhost"}
