"""Start a command so that what goes wrong before its `main` runs is one sentence and exit code 2, too.

Outside the project's environment the imports of a command fail, and within it they take most of the first second. The
first lines of a command therefore call `run`, which imports the command itself. This module also runs where the project
does not: it imports little, and Python 3.9 understands it, and the syntax of every command.
"""

from __future__ import annotations  # so that the types need no import

import os
import signal
import sys

TYPE_CHECKING = False  # that of `typing`, whose import would take a third of the time until Ctrl-C is handled
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, NoReturn

_PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_OLDEST = (3, 11)  # the first Python that has the syntax and the library that the project uses
_COULD_NOT_DECIDE = 2  # as in cli.py, which an older Python does not understand


def run(command: str) -> None:
    """Import a command, run its `main` as `cli.run` does, and exit with the code that it returns.

    Ctrl-C and SIGTERM exit with 2 and one sentence on stderr, from now on; so does a command that cannot be imported
    because this is not the project's environment. Once `main` has returned, they end the process with its exit code,
    because its work is done or undone by then. A command may say so sooner, by `cli.keep_exit_code`.

    Args:
        command: name of the module, for example `tools.demo`.
    """
    # An exception would not do yet: some libraries turn one that comes while they are imported into another, or drop
    # it. There is nothing to tidy up yet, either.
    _on_signals(lambda *_: _end("interrupted"))
    if sys.version_info < _OLDEST:
        _end_outside(f"Python {_number(sys.version_info)}, which is older than {_number(_OLDEST)}")
    from plan_recommender import cli

    def main() -> int:
        module = _imported(command)
        _on_signals(cli.interrupt)
        code: int = module.main()
        return code

    try:
        cli.run(main)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else _COULD_NOT_DECIDE
        # A handler of Python's does not last until the process has ended, but what is ignored stays so.
        _on_signals(signal.SIG_IGN if cli.keeps_exit_code() else lambda *_: os._exit(code))
        raise
    except KeyboardInterrupt:  # while `cli.run` told of an error
        _end("interrupted")


def _imported(command: str) -> Any:
    import gc
    import importlib

    # What is imported is needed until the end. The collector would look through all of it again and again meanwhile,
    # and once more when the process ends, which takes a short command a quarter of its time.
    gc.disable()
    try:
        return importlib.import_module(command)
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package and any(os.path.exists(os.path.join(_PROJECT, name)) for name in (package, package + ".py")):
            raise  # a fault of the project, whatever the environment
        if isinstance(error, ModuleNotFoundError):
            _end_outside(f"no package {package} in {sys.prefix}")
        reason = " ".join(str(error).split()) or type(error).__name__
        _end_outside(f"a package in {sys.prefix} that cannot be imported ({reason:.200})")
    finally:
        gc.freeze()
        gc.enable()


def _on_signals(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # Ctrl-C is not for a script's commands in the background
            signal.signal(number, handler)


def _end_outside(found: str) -> NoReturn:
    python = os.path.join(_PROJECT, ".venv", "bin", "python")
    _end(
        f"error: expected the environment that `make install` makes, found {found}; "
        f"run `make install` in {_PROJECT} and start the command with {python}"
    )


def _number(version: tuple[Any, ...]) -> str:
    return f"{version[0]}.{version[1]}"


def _end(sentence: str) -> NoReturn:
    """End the process at once, with one sentence on stderr."""
    if sys.stderr is not None:  # it is None if the descriptor is closed, which may then be another file's
        os.write(2, os.fsencode(sentence + "\n"))
    os._exit(_COULD_NOT_DECIDE)
