"""What coverage does not look at: libraries of other people, and pytest itself while it collects the tests.

Coverage is told of every call, also of those that it does not measure, and each process of pytest imports a thousand
modules. This is the first that tests/conftest.py imports: it imports large libraries before coverage looks again.
"""

import importlib
import pkgutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LIBRARIES = (
    *("bentoml", "duckdb", "hypothesis", "httpx", "jsonschema_rs", "matplotlib.pyplot", "mkdocs.config.defaults"),
    *("model_signing", "numpy", "optuna", "pandas", "PIL.Image", "pyarrow", "pydantic", "pyspark.sql", "schemathesis"),
    *("scipy.stats", "sklearn.ensemble", "sklearn.linear_model", "sklearn.pipeline", "sqlglot"),
    *("starlette.testclient", "yaml"),
)

_LEFT_OUT = ("plan_recommender.serving.patches", "plan_recommender.training.mlflow_model", "service")
"""Modules that are not measured, and are for processes of their own, and the service, which reads the environment."""


@contextmanager
def without_coverage() -> Iterator[None]:
    """Trace no line meanwhile, in this thread and in threads that begin.

    The marker `no_cover` of pytest-cov 7.1.0 does not do it in the processes of pytest-xdist: two collectors are
    started there, and it stops the upper one, which starts the lower one again. Threads that begin at the same time
    could also disturb each other: beside an audit hook, as `Processes` has one, Python 3.11 refuses to trace both.
    """
    tracer, tracer_of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)
        threading.settrace(tracer_of_threads)


@contextmanager
def collecting() -> Iterator[None]:
    """Trace, of what is imported meanwhile, the project's own modules only: they are imported before."""
    if sys.gettrace() is not None:
        import plan_recommender

        (package,) = plan_recommender.__path__
        commands = [path.stem for path in Path(package).parent.glob("*.py")]
        modules = [module.name for module in pkgutil.walk_packages([package], "plan_recommender.")]
        for name in (*commands, *modules):
            if not name.startswith(_LEFT_OUT):
                importlib.import_module(name)
    with without_coverage():
        yield


if sys.gettrace() is not None:  # a run of one file without coverage need not wait for all of them
    with without_coverage():
        for _name in _LIBRARIES:
            importlib.import_module(_name)
