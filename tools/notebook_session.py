"""What a notebook needs to run the commands: a temporary folder with the shipped files, and a model store of its own.

Nothing is written into the project. The folder is removed when the notebook's kernel ends. A picture is shown with its
headline as the alternative text.
"""

import atexit
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import PIL.Image
from IPython.display import Image

from tools.server import ROOT

SHIPPED: Final = ("users_behavior.csv", "subscriber_months.csv", "tariffs.yaml", "model_config.yaml")
"""Files of the project that the commands read from their working directory."""

_WIDTH: Final = 900
"""Of a picture in a notebook (pixels); some have more pixels than that, and are sharper."""

_VARIES: Final = {r"plan_recommender:[a-z0-9]{16}": "plan_recommender:…", r" +[0-9]+ ms$": "     … ms"}
"""What differs from run to run, a model's tag and how long a fit took, and what a notebook shows instead."""


class CommandFailedError(Exception):
    """A command ended with another exit code than 0; the message holds what it printed."""


class Session:
    """The folder in which a notebook runs commands."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="plan-recommender-notebook-"))
        """Where the commands run."""
        atexit.register(self.end)
        for name in SHIPPED:
            shutil.copy2(ROOT / name, self.folder / name)
        os.environ["BENTOML_HOME"] = str(self.folder / "bentoml")
        os.environ["BENTOML_DO_NOT_TRACK"] = "True"

    def end(self) -> None:
        """Remove the folder; this happens by itself when the kernel ends."""
        atexit.unregister(self.end)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, command: str) -> None:
        """Run one of the project's Python commands as in a shell, and print what it prints.

        Tags of models and times are printed as `…`, because they are others in the next run.

        Args:
            command: begins with `python`, and a command of the project or `-m` and a module.

        Raises:
            CommandFailedError: its exit code is not 0.
        """
        program, first, *others = shlex.split(command)
        if program != "python":
            raise ValueError(f"expected a command that begins with python, found {program!r}")
        ran = subprocess.run(
            [sys.executable, first if first == "-m" else str(ROOT / first), *others],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        printed = ran.stdout.replace(f"{self.folder.name}/", "")
        for pattern, shown in _VARIES.items():
            printed = re.sub(pattern, shown, printed, flags=re.MULTILINE)
        if ran.returncode:
            raise CommandFailedError(f"{command}: expected exit code 0, found {ran.returncode}:\n{printed}")
        print(printed, end="")


def begin() -> Session:
    """Begin a session; call it before anything imports bentoml, which looks for its model store once."""
    return Session()


def picture(drawn: bytes | Path) -> Image:
    """Show a PNG of the project, or one in a file; who cannot see it is told its headline, which the PNG holds."""
    png = drawn if isinstance(drawn, bytes) else drawn.read_bytes()
    headline = PIL.Image.open(io.BytesIO(png)).info["Title"]
    return Image(png, width=_WIDTH, alt=headline)  # type: ignore[no-untyped-call]  # IPython has no types
