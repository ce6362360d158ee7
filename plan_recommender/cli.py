"""What the command lines share: exit codes, and errors as one sentence on stderr."""

import argparse
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from plan_recommender.errors import MissingLibraryError, PlanRecommenderError

DONE = 0
ANSWER_IS_NO = 1
COULD_NOT_DECIDE = 2


def run(main: Callable[[], int]) -> None:
    """Run a command and exit with its code; an expected error is one sentence on stderr and exit code 2."""
    # BentoML posts usage statistics of its own; a command line of an operator does not, unless the operator says so.
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    # So that a terminated run cleans up behind itself, as an interrupted one does.
    signal.signal(signal.SIGTERM, _interrupt)
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
    except Exception:
        # Exit code 1 would say that the answer is no.
        traceback.print_exc()
        code = _fail("error: the command failed in a way it does not know; this is a fault of the project")
    sys.exit(code)


def say(text: str) -> None:
    """Print a result; when nobody reads any more, as behind `head`, the work and its exit code are the same."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn(text: str) -> None:
    """Print what went wrong on the way to a result that holds all the same."""
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


def _tolerate_any_output() -> None:
    """Let no closed stream and no encoding that lacks a character stand between a command and its exit code."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # open for as long as the process is
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace" if name == "stdout" else "backslashreplace")


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return COULD_NOT_DECIDE


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def needing(library: str, what: str) -> Iterator[None]:
    """Say what to install when importing a module of this project finds that an optional library is not there.

    Args:
        library: its name, as it is imported.
        what: the option or setting that asks for it.

    Raises:
        MissingLibraryError: it is not installed.
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
