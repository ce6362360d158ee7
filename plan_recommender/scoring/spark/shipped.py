"""The package as a zip file, which Spark gives to its executors, so that they need no checkout."""

import atexit
import shutil
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from pyspark.sql import SparkSession

_PACKAGE = Path(__file__).parents[2]


def ship(spark: SparkSession) -> None:
    """Let the executors of a session import the package, from a zip file that lasts as long as this process."""
    _ship(spark, spark.sparkContext.applicationId)


@cache
def _ship(spark: SparkSession, _application: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="plan-recommender-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / f"{_PACKAGE.name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for source in sorted(_PACKAGE.rglob("*.py")):
            packed.write(source, source.relative_to(_PACKAGE.parent))
    spark.sparkContext.addPyFile(str(path))
