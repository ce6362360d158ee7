"""A browser of the Chromium family, on a machine that has one; nothing is drawn on its screen."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
QUIET: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip


class BrowserError(Exception):
    """There is no browser, or it failed."""


def find_browser() -> str:
    """Give the path of the browser's program.

    Raises:
        BrowserError: none of `BROWSERS` is on the PATH.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise BrowserError(f"expected one of {', '.join(BROWSERS)} on the PATH, found none; see .ci/engine")
    return found


def photograph(url: str, picture: Path, width: int, height: int) -> None:
    """Show a page in a window of this size (pixels) and write what is seen as a PNG.

    Raises:
        BrowserError: there is no browser, or it has written no picture.
    """
    with tempfile.TemporaryDirectory() as profile:
        command = [
            find_browser(), *QUIET, f"--user-data-dir={profile}", f"--window-size={width},{height}",
            "--virtual-time-budget=10000", f"--screenshot={picture}", url,
        ]  # fmt: skip
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if ran.returncode or not picture.is_file():
        raise BrowserError(f"expected a picture of {url} from {command[0]}, found none: {ran.stderr.strip()[-500:]}")
