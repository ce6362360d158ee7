"""Imports the service of an unpacked Bento as a worker and its supervisor do: FOLDER.

Prints, as JSON, which files of the folder were needed for it, which Python files were not, and which libraries of
training were imported.
"""

import json
import sys
from pathlib import Path
from typing import Any, cast

if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve()
    sys.path.insert(0, str(folder))
    import service

    recommender = cast(Any, service.PlanRecommender)  # it is a bentoml.Service, which its types do not say
    recommender.inner.before_workers_start()
    recommender.to_asgi()
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    needed = {str(Path(file).relative_to(folder)) for file in files if file and Path(file).is_relative_to(folder)}
    present = {str(path.relative_to(folder)) for path in folder.rglob("*.py")}
    training = sorted({"sklearn", "joblib", "pandas", "scipy", "matplotlib"} & sys.modules.keys())
    print(json.dumps({"needed": sorted(needed), "others": sorted(present - needed), "training": training}))
