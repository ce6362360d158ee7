"""Why a start failed, in the format that the operator asked for: overrides how click shows an exception."""

import logging
import os
import sys
from types import TracebackType
from typing import IO, Any

import click

from plan_recommender.errors import PlanRecommenderError
from plan_recommender.serving.logs import is_server, write_json
from plan_recommender.serving.settings import variable


def fail_as_asked() -> None:
    """Have BentoML's command say why a start failed in the format that is asked for, whatever else the environment has.

    As JSON, it is a record like others. What the system says, such as that a port is in use, needs no stack trace, nor
    does what is wrong with the environment, which a worker reads anew when it replaces another.
    """
    if not is_server():
        return
    bentoml = logging.getLogger("bentoml")

    def record_bug(kind: type[BaseException], error: BaseException, lines: TracebackType | None) -> None:
        is_said = isinstance(error, OSError) or isinstance(error.__cause__, PlanRecommenderError)
        bentoml.critical("%s", error, exc_info=None if is_said else (kind, error, lines))

    sys.excepthook = record_bug
    if os.environ.get(variable("log_format"), "").lower() == "json":
        write_json(bentoml)
        click.ClickException.show = _record  # type: ignore[method-assign]  # click has no setting for it


def _record(self: click.ClickException, file: IO[Any] | None = None) -> None:
    # The signature is that of the original, which is checked, also when the service is loaded again in this process.
    logging.getLogger("bentoml").critical("%s", click.unstyle(self.format_message()))
