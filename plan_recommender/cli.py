"""What the command lines share: exit codes, and errors as one sentence on stderr."""

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from plan_recommender.errors import PlanRecommenderError

DONE = 0
ANSWER_IS_NO = 1
COULD_NOT_DECIDE = 2


def run(main: Callable[[], int]) -> None:
    """Run a command and exit with its code; an expected error is one sentence on stderr and exit code 2."""
    # BentoML posts usage statistics of its own; a command line of an operator does not, unless the operator says so.
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    # So that a terminated run cleans up behind itself, as an interrupted one does.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = main()
        sys.stdout.flush()
    except PlanRecommenderError as error:
        code = _fail(f"error: {error}")
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; what was to be written to files has been.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = DONE
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


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM until a block of a few steps that belong together has ended."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return COULD_NOT_DECIDE


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
