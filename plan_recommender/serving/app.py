"""The one place where the application that a worker runs is put together.

uvicorn's connections are our `Connection`, which asks the `Core`, and for BentoML's built-in routes `BentoRoutes`,
behind which BentoML's own application stands. `Application` offers the same to other servers.
"""

import gc
import signal
import threading
from pathlib import Path
from typing import Any, Final

from bentoml import Service, get_current_service
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plan_recommender.serving import drift_watch, openapi
from plan_recommender.serving.access_log import AccessLog
from plan_recommender.serving.asgi import Application
from plan_recommender.serving.auth import Authentication
from plan_recommender.serving.bentoml_routes import BentoRoutes
from plan_recommender.serving.core import Core
from plan_recommender.serving.cors import Cors
from plan_recommender.serving.exchange import Worker
from plan_recommender.serving.limits import MIB
from plan_recommender.serving.metrics import telemetry
from plan_recommender.serving.overload import Admission
from plan_recommender.serving.page_files import page_files
from plan_recommender.serving.patches import bentoml_internals
from plan_recommender.serving.prediction_log import PredictionLog
from plan_recommender.serving.routes import ROUTES
from plan_recommender.serving.settings import Environment
from plan_recommender.serving.shadow import Shadow
from plan_recommender.serving.worker_series import worker_series

_COLLECTOR_THRESHOLDS: Final = (50_000, 20, 100)
"""Allocations before a round of the garbage collector; a round at Python's 700 costs more than it frees."""


class ContractService(Service[Any]):
    """A BentoML service that is served behind the HTTP contract, and whose OpenAPI document describes all of it."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """Put together the application that a worker runs."""
        from plan_recommender.serving.patches import uvicorn_seam  # here, after the check that uvicorn is the right one

        app = bentoml_internals.application(self, is_main)  # which also reads BentoML's configuration of the service
        environment = Environment.read()
        admission = Admission(environment.max_batches, environment.max_bodies_mib * MIB, environment.drain_seconds)
        log = PredictionLog.of(environment)
        access_log = AccessLog(environment.access_log_share)
        page = page_files() if environment.page == "on" else {}
        core = Core(Authentication.from_environment(), Cors.configured(), admission, page, log, access_log)
        bento = None if self.bento is None else str(self.bento.tag)
        app = _Lifespan(app, core, log, access_log, environment.drift_state, bento)
        documents = {"/docs.json": lambda: self.openapi_spec.asdict(), "/schema.json": self.schema}
        bentoml_routes = BentoRoutes(app, documents)
        shared_socket = bentoml_internals.workers(self.name) not in (None, 1)
        uvicorn_seam.install(Worker(core, bentoml_routes, shared_socket=shared_socket))
        return Application(app, core, bentoml_routes)

    @property
    def openapi_spec(self) -> Any:
        """The document that is served at /docs.json and stored in the Bento."""
        version = "from source" if self.bento is None else None
        return bentoml_internals.specification(openapi.describe(super().openapi_spec.asdict(), version))


class _Lifespan:
    """Settles the process once BentoML's application has started, and writes what is left to write when it ends."""

    def __init__(
        self,
        app: ASGIApp,
        core: Core,
        log: PredictionLog | None,
        access_log: AccessLog,
        drift_state: Path | None,
        bento: str | None,
    ) -> None:
        self._app = app
        self._core = core
        self._admission = core.admission
        self._log = log
        self._access_log = access_log
        self._drift_state = drift_state
        self._bento = bento
        self._drift: drift_watch.DriftWatch | None = None
        self._shadow: Shadow | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, self._watching(send) if scope["type"] == "lifespan" else send)

    def _watching(self, send: Send) -> Send:
        async def send_watched(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                service = get_current_service()
                recommender = service.recommender
                self._core.begin(service)
                recommender.is_stopping = lambda: self._admission.drain.stopping
                telemetry().begin(ROUTES, recommender.tag, recommender.tariffs)
                worker_series().begin(self._admission, recommender.tag, self._bento, recommender.tariffs.digest)
                self._access_log.begin(recommender.tag)
                self._drift = drift_watch.begin(recommender, self._drift_state)
                self._shadow = recommender.shadow
                if self._shadow is not None:
                    self._shadow.start()
                self._settle()
                if self._log is not None:
                    self._log.start()
            elif message["type"] == "lifespan.shutdown.complete":
                worker_series().end()
                if self._log is not None:
                    self._log.stop()
                telemetry().flush()
                self._access_log.end()
                if self._drift is not None:
                    self._drift.end()
                if self._shadow is not None:
                    self._shadow.end()
            await send(message)

        return send_watched

    def _settle(self) -> None:
        """Keep what was loaded out of the garbage collector's rounds, and drain on SIGTERM."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECTOR_THRESHOLDS)
        stop = signal.getsignal(signal.SIGTERM)
        if callable(stop) and threading.current_thread() is threading.main_thread():
            self._admission.drain.before(stop)
