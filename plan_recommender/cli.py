"""What the command lines share: the exit codes, and errors as one sentence on stderr.

Exit code 0 says that the work is done, 1 that the answer is "no" (drift, a model that the gate refused), and 2 that the
command could not decide (bad input, bad configuration, an interruption).
"""

import argparse
import importlib
import io
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType

from plan_recommender.errors import MissingLibraryError, PlanRecommenderError

DONE = 0
ANSWER_IS_NO = 1
COULD_NOT_DECIDE = 2


def run(main: Callable[[], int]) -> None:
    """Run a command and exit with the code that it returns.

    An expected error, an error of the operating system and an interruption exit with 2 and one sentence on stderr. Any
    other exception exits with 2 and its stack trace as well. `start.run` calls this for a command that is started.
    """
    _tolerate_any_output()
    try:
        code = main()
    except PlanRecommenderError as error:
        code = _fail(f"error: {error}")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        code = _fail(f"error: {where}expected to read or write, found: {error.strerror or error}")
    except KeyboardInterrupt:
        code = _fail("interrupted")
    except Exception:  # left to Python, it would exit with 1, which says that the answer is no
        traceback.print_exc()
        code = _fail("error: the command failed in a way it does not know; this is a fault of the project")
    sys.exit(code)


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Handle Ctrl-C and SIGTERM: an exception lets a terminated command remove its temporary files.

    After `keep_exit_code` they are ignored.
    """
    if not _Process.keeps_exit_code:
        raise KeyboardInterrupt


def keep_exit_code() -> None:
    """Let no Ctrl-C and no SIGTERM change the exit code of this process: what it was started for is done for good."""
    _Process.keeps_exit_code = True


def keeps_exit_code() -> bool:
    """Whether `keep_exit_code` was called."""
    return _Process.keeps_exit_code


class _Process:
    keeps_exit_code = False


def say(text: str) -> None:
    """Print a result. If the reader has closed the pipe (`| head`), the output is dropped and the command goes on."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn(text: str) -> None:
    """Print to stderr what went wrong without making the result wrong."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def positive_int(text: str) -> int:
    """Parse a whole number above zero, for argparse."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, found {text!r}")
    return int(text)


def seed(text: str) -> int:
    """Parse a seed, for argparse: a whole number from 0 to 2**32 - 1, which is what scikit-learn takes."""
    if not text.isascii() or not text.isdigit() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {2**32 - 1}, found {text!r}")
    return int(text)


def probability(text: str) -> float:
    """Parse a probability, for argparse: a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a probability from 0 to 1, found {text!r}")
    return value


def share(text: str) -> float:
    """Parse a share, for argparse: a number from 0 to 1, or a percentage."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to 1 or a percentage such as 10%, found {text!r}")
    return value


def moment(text: str) -> datetime:
    """Parse a date or a date with a time, as ISO 8601 writes them, for argparse; UTC unless it names its zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a date such as 2026-11-01, or one with a time such as 2026-11-01T08:00, found {text!r}"
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def add_time_options(parser: argparse.ArgumentParser) -> None:
    """Add `--since` and `--until`, which choose predictions of a folder of the prediction log."""
    for name, what in (("since", "from this time on"), ("until", "before this time")):
        parser.add_argument(
            f"--{name}", type=moment, metavar="TIME",
            help=f"of a prediction log, only what was predicted {what}: 2026-11-01, or 2026-11-01T08:00 (UTC)",
        )  # fmt: skip


@contextmanager
def needing(library: str, what: str) -> Iterator[None]:
    """Turn a failed import of an optional library within the block into an error that says how to install it.

    Args:
        library: the name under which it is imported.
        what: the option or the setting that needs it.

    Raises:
        MissingLibraryError: the library is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != library:
            raise
        raise MissingLibraryError(
            f"{what}: expected the optional library {library}, found none in {sys.prefix}; "
            "install it with `make optional`, or `pip install --require-hashes --no-deps -r requirements/optional.txt`"
        ) from error


def require_mlflow() -> None:
    """Fail before a training begins if MLflow is not installed.

    Raises:
        MissingLibraryError: it is not.
    """
    with needing("mlflow", "--mlflow or mlflow.enabled"):
        importlib.import_module("plan_recommender.training.tracking")


def _tolerate_any_output() -> None:
    """Make sure that printing cannot fail: replace closed streams, and characters that the encoding lacks."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # stays open as long as the process runs
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace" if name == "stdout" else "backslashreplace")


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return COULD_NOT_DECIDE
