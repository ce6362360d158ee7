"""The one place where uvicorn's connections are replaced by ours: BentoML's worker has no setting for that."""

from typing import Any, cast

import uvicorn.protocols.http.auto

from plan_recommender.serving.connection import Connection
from plan_recommender.serving.exchange import Worker


def install(worker: Worker) -> None:
    """Make uvicorn use `Connection` in this process."""
    Connection.worker = worker
    uvicorn.protocols.http.auto.AutoHTTPProtocol = cast(Any, Connection)
