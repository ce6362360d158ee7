"""Why a start failed, in the format that the operator asked for: overrides how click shows an exception."""

import logging
import os
import sys
from types import TracebackType

import click

from plan_recommender.serving.logs import is_server, write_json
from plan_recommender.serving.settings import variable


def fail_as_asked() -> None:
    """Have BentoML's command say why a start failed in the format that is asked for, whatever else the environment has.

    As JSON, it is a record like others. What the system says, such as that a port is in use, needs no stack trace.
    """
    if not is_server():
        return
    bentoml = logging.getLogger("bentoml")

    def record_bug(kind: type[BaseException], error: BaseException, lines: TracebackType | None) -> None:
        bentoml.critical("%s", error, exc_info=None if issubclass(kind, OSError) else (kind, error, lines))

    sys.excepthook = record_bug
    if os.environ.get(variable("log_format"), "").lower() == "json":
        write_json(bentoml)
        click.ClickException.show = _record  # type: ignore[assignment]  # click has no setting


def _record(failure: click.ClickException, *_: object) -> None:
    logging.getLogger("bentoml").critical("%s", click.unstyle(failure.format_message()))
