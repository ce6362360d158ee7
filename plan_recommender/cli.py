"""What the command lines share: exit codes, and errors as one sentence on stderr."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from plan_recommender.errors import PlanRecommenderError

DONE = 0
ANSWER_IS_NO = 1
COULD_NOT_DECIDE = 2


def run(main: Callable[[], int]) -> None:
    """Run a command and exit with its code; a known error is one sentence on stderr and exit code 2."""
    # BentoML posts usage statistics of its own; a command line of an operator does not, unless the operator says so.
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    # So that a terminated run cleans up behind itself, as an interrupted one does.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = main()
        sys.stdout.flush()
    except PlanRecommenderError as error:
        print(f"error: {error}", file=sys.stderr)
        code = COULD_NOT_DECIDE
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; what was to be written to files has been.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = DONE
    except KeyboardInterrupt:
        print("interrupted: nothing was changed", file=sys.stderr)
        code = COULD_NOT_DECIDE
    sys.exit(code)


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


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
