"""Every private part of another package that the service uses, checked before it starts.

The versions are those of requirements/serving.txt. When that lock is renewed, a test fails until the new version has
been looked at and is named here.
"""

from typing import Final

from plan_recommender.model import store
from plan_recommender.private_parts import PrivateParts

_PROTOCOL: Final = "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol"

UVICORN: Final = PrivateParts(
    "uvicorn",
    "0.54.0",
    signatures={
        f"{_PROTOCOL}.__init__": "self, config, server_state, app_state, _loop",
        f"{_PROTOCOL}.shutdown": "self",
    },
    attributes={
        "uvicorn.server:ServerState": ("connections", "tasks", "total_requests", "default_headers"),
        "uvicorn.config:Config": ("timeout_keep_alive",),
    },
    names=("uvicorn.protocols.http.auto:AutoHTTPProtocol",),
)
"""For uvicorn_seam.py, and what uvicorn gives and takes of a connection."""

CIRCUS: Final = PrivateParts(
    "kantoku",  # the distribution whose package is called circus
    "0.18.3",
    signatures={
        "circus.sighandler:SysHandler.quit": "self",
        "circus.sighandler:SysHandler.signal": "self, sig, frame",
        "circus.controller:Controller.start": "self",
        "circus.sockets:CircusSockets.close_all": "self",
        "circus.arbiter:Arbiter.manage_watchers": "self",
        "circus.watcher:Watcher.reap_process": "self, pid, status",
        "circus.arbiter:Arbiter.reap_processes": "self",
        "circus.watcher:Watcher._reload": "self, graceful, sequential",
        "circus.watcher:Watcher.get_active_processes": "self",
        "circus.watcher:Watcher.spawn_process": "self, recovery_wid",
        "circus.watcher:Watcher.kill_process": "self, process, stop_signal, graceful_timeout",
    },
    attributes={
        "circus.arbiter:Arbiter": ("_exclusive_running_command", "sockets"),
        "circus.controller:Controller": ("check_delay", "arbiter", "loop"),
        "circus.watcher:Watcher": ("graceful_timeout", "processes", "env"),
    },
)
"""For supervisor.py."""

CLICK: Final = PrivateParts("click", "8.5.1", signatures={"click:ClickException.show": "self, file"})
"""For start_failures.py."""

BENTOML: Final = PrivateParts(
    "bentoml",
    "1.4.39",
    signatures={
        "_bentoml_sdk.method:APIMethod.__get__": "self, instance, owner",
        "_bentoml_impl.server.app:ServiceAppFactory.__init__": "self, service, is_main, enable_metrics, services, "
        "enable_access_control, access_control_options",
    },
    names=(
        "bentoml._internal.configuration.containers:BentoMLContainer.access_control_options",
        "bentoml._internal.configuration.containers:BentoMLContainer.config.services",
        "bentoml._internal.configuration.containers:BentoMLContainer.http.cors.enabled",
        "bentoml._internal.configuration.containers:BentoMLContainer.prometheus_multiproc_dir",
        "bentoml._internal.server:__file__",
        "bentoml._internal.service.openapi.specification:OpenAPISpecification",
        "bentoml._internal.utils.cattr:bentoml_cattr",
    ),
)
"""For bentoml_internals.py."""

PROMETHEUS: Final = PrivateParts(
    "prometheus-client", "0.26.0", attributes={"prometheus_client:Histogram": ("_buckets", "_sum")}
)
"""For prometheus.py."""

ALL: Final = (UVICORN, CIRCUS, CLICK, BENTOML, PROMETHEUS, store.PRIVATE_PARTS)


def check() -> None:
    """Check all of them.

    Raises:
        PrivatePartsError: another version is installed, or a part is another one.
    """
    for parts in ALL:
        parts.check()
