"""The log of a service: BentoML's, with the level and the format that the environment asks for."""

import logging
from typing import Final

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from plan_recommender.environment import Environment

_BENTOMLS: Final = ("levelname_bracketed", "component", "trace_msg", "request_id", "service_name")
"""What BentoML puts on every record for its own format."""

_SERVERS_HANDLER: Final = "tracehandler"  # as BentoML names it
_QUIET: Final = logging.WARNING  # what BentoML shows of the libraries below it


def configure(environment: Environment) -> None:
    """Set up a server's log, after BentoML has set up its own.

    As JSON, a record is one line with `time` (ISO 8601, UTC), `level`, `logger`, `process` (its id), `message` and,
    where there is one, `exception`.
    """
    if not any(handler.name == _SERVERS_HANDLER for handler in logging.getLogger("bentoml").handlers):
        return  # this is not a server but, say, `bentoml build`
    level = logging.getLevelNamesMapping()[environment.log_level.upper()]
    root, bentoml, *below = (logging.getLogger(name) for name in ("", "bentoml", "uvicorn.error", "circus"))
    bentoml.setLevel(level)
    for logger in (root, *below):
        logger.setLevel(level if level == logging.DEBUG else max(level, _QUIET))
    for logger in below:
        logger.propagate = False  # BentoML gives them a handler and the root's too: every record would be there twice
    if environment.log_format == "json":
        for logger in (root, bentoml, *below):
            for handler in logger.handlers:
                handler.setFormatter(_formatter())


def _formatter() -> JsonFormatter:
    return JsonFormatter(
        "%(levelname)s %(name)s %(process)d %(message)s",
        rename_fields={"levelname": "level", "name": "logger", "timestamp": "time", "exc_info": "exception"},
        timestamp=True,
        reserved_attrs=[*RESERVED_ATTRS, *_BENTOMLS],
    )
