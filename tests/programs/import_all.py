"""Imports everything that an unpacked Bento carries, and starts its service as far as before the workers: FOLDER.

Prints, as JSON, which Python files it carries and which libraries of training were imported for them. It fails where
one cannot be imported.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any, cast

if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve()
    sys.path.insert(0, str(folder))
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.py"))
    for file in files:
        importlib.import_module(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    service = cast(Any, sys.modules["service"]).PlanRecommender
    service.inner.before_workers_start()
    service.to_asgi()
    foreign = [
        name
        for name, module in sys.modules.items()
        if name.startswith("plan_recommender") and not str(module.__file__).startswith(str(folder))
    ]
    assert foreign == [], "imported from elsewhere"
    training = sorted({"sklearn", "joblib", "pandas", "scipy", "matplotlib"} & sys.modules.keys())
    print(json.dumps({"files": files, "training": training}))
