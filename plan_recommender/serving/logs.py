"""The log of a service: BentoML's, with the level and the format that the environment asks for."""

import logging
import os
from typing import Final

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from plan_recommender.serving.settings import Environment

_BENTOMLS: Final = ("levelname_bracketed", "component", "trace_msg", "request_id", "service_name")
"""What BentoML puts on every record for its own format; it is left out of JSON records."""

_SERVERS_HANDLER: Final = "tracehandler"  # as BentoML names it
_NOT_STARTED: Final = 3  # as uvicorn's exit code
_QUIET: Final = logging.WARNING  # what BentoML shows of the libraries below it


def configure(environment: Environment) -> None:
    """Set up a server's log, after BentoML has set up its own.

    As JSON, a record is one line with `time` (ISO 8601, UTC), `level`, `logger`, `process` (its id), `message` and,
    where there is one, `exception`.
    """
    if not is_server():
        return
    level = logging.getLevelNamesMapping()[environment.log_level.upper()]
    root, bentoml, *below = (logging.getLogger(name) for name in ("", "bentoml", "uvicorn.error", "circus"))
    bentoml.setLevel(level)
    for logger in (root, *below):
        logger.setLevel(level if level == logging.DEBUG else max(level, _QUIET))
    for logger in below:
        logger.propagate = False  # BentoML gives them a handler and the root's too, so every record would appear twice
    if environment.log_format == "json":
        write_json(root, bentoml, *below)


def end_worker(error: Exception) -> None:
    """End a worker that cannot start with one sentence, before each layer of the framework adds its stack trace.

    Elsewhere than in a server's process nothing happens.
    """
    if is_server():
        logging.getLogger("bentoml").critical("%s", error)
        os._exit(_NOT_STARTED)


def is_server() -> bool:
    """Tell a server's process from, say, that of `bentoml build`."""
    return any(handler.name == _SERVERS_HANDLER for handler in logging.getLogger("bentoml").handlers)


def write_json(*loggers: logging.Logger) -> None:
    """Have these loggers write each record as one line of JSON."""
    for logger in loggers:
        for handler in logger.handlers:
            handler.setFormatter(_formatter())


def _formatter() -> JsonFormatter:
    return JsonFormatter(
        "%(levelname)s %(name)s %(process)d %(message)s",
        rename_fields={"levelname": "level", "name": "logger", "timestamp": "time", "exc_info": "exception"},
        timestamp=True,
        reserved_attrs=[*RESERVED_ATTRS, *_BENTOMLS],
    )
