"""The log of a service: BentoML's log, with the level and the format that the environment variables set."""

import logging
import os
from typing import Any, Final

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from plan_recommender import __version__
from plan_recommender.billing.tariffs import Tariffs
from plan_recommender.model.source import Origin
from plan_recommender.serving.settings import Environment

_BENTOML_FIELDS: Final = ("levelname_bracketed", "component", "trace_msg", "request_id", "service_name")
"""Attributes that BentoML adds to every record for its own format; they are left out of JSON records."""

_SERVERS_HANDLER: Final = "tracehandler"  # BentoML's name for the handler that only a server's loggers have
_NOT_STARTED: Final = 3  # uvicorn's exit code for a failed start
_QUIET: Final = logging.WARNING  # BentoML's own level for all loggers but its own

logger = logging.getLogger("bentoml.plan_recommender")


def configure(environment: Environment) -> None:
    """Set level and format of a server's log, after BentoML has set it up; in any other process nothing happens.

    The level holds for the logger `bentoml`. All other loggers show warnings and errors at most, or everything if the
    level is debug.

    As JSON, a record is one line with `time` (ISO 8601, UTC), `level`, `logger`, `process` (its id), `message`, where
    there is one, `exception`, and what the record was given as `extra={"fields": ...}`.
    """
    if not is_server():
        return
    level = logging.getLevelNamesMapping()[environment.log_level.upper()]
    root, bentoml, *below = (logging.getLogger(name) for name in ("", "bentoml", "uvicorn.error", "circus"))
    bentoml.setLevel(level)
    for other in (root, *below):
        other.setLevel(level if level == logging.DEBUG else max(level, _QUIET))
    logging.getLogger("asyncio").disabled = False  # or what fails in the event loop would leave no trace
    for other in below:
        other.propagate = False  # they and the root have a handler each, so every record would appear twice
    if environment.log_format == "json":
        write_json(root, bentoml, *below)


def say_what_starts(
    origin: Origin, model: str, tariffs: Tariffs, workers: int, *, needs_key: bool, verifies: bool
) -> None:
    """Log what is about to start, so that a log tells which release and which model wrote what follows.

    Args:
        origin: the Bento, and the commit of the code.
        model: tag of the model.
        tariffs: in force.
        workers: processes that answer.
        needs_key: whether requests must carry an API key; the key itself is not given here.
        verifies: whether the model must be signed with a certain key.
    """
    fields = {
        "version": __version__,
        "bento": origin.bento,
        "source_commit": origin.commit,
        "model": model,
        "tariffs": tariffs.digest,
        "tariffs_valid_from": tariffs.valid_from.isoformat(),
        "workers": workers,
        "needs_key": needs_key,
        "verifies_signature": verifies,
    }
    logger.info(
        "starting version %s (%s, commit %s) with model %s, tariffs %s of %s, workers: %d, API key: %s, signature: %s",
        *(__version__, origin.bento or "from source", origin.commit or "unknown", model),
        *(tariffs.digest[:12], fields["tariffs_valid_from"], workers),
        *("needed" if needs_key else "none", "verified" if verifies else "not looked at"),
        extra={"fields": fields},
    )


def end_worker(error: Exception) -> None:
    """Log why a worker cannot start, in one sentence, and end its process at once with exit code 3.

    An exception would be logged with a stack trace by each layer of the framework. In a process that is not a server's
    nothing happens, and this function returns.
    """
    if is_server():
        logging.getLogger("bentoml").critical("%s", error)
        os._exit(_NOT_STARTED)


def is_server() -> bool:
    """Tell whether BentoML set up this process as a server: `bentoml serve` or a worker, but not `bentoml build`."""
    return any(handler.name == _SERVERS_HANDLER for handler in logging.getLogger("bentoml").handlers)


def write_json(*loggers: logging.Logger) -> None:
    """Make the handlers that these loggers have now write each record as one line of JSON."""
    for each in loggers:
        for handler in each.handlers:
            handler.setFormatter(_formatter())


class _Formatter(JsonFormatter):
    """Writes what a record has as `fields` beside the others; as `extra` by themselves BentoML would replace some."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = log_data.pop("fields", {})
        return log_data | fields


def _formatter() -> JsonFormatter:
    return _Formatter(
        "%(levelname)s %(name)s %(process)d %(message)s",
        rename_fields={"levelname": "level", "name": "logger", "timestamp": "time", "exc_info": "exception"},
        timestamp=True,
        reserved_attrs=[*RESERVED_ATTRS, *_BENTOML_FIELDS],
    )
