"""A small Spark on this machine, for one file of tests."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Final

from pyspark.sql import SparkSession

from tests.conftest import leave_out

MIN_JAVA: Final = 17

QUICK_JAVA: Final = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Jobs of a second are over before Java's second compiler pays off."""

SETTINGS: Final = {
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.memory": "1g",
    "spark.driver.extraJavaOptions": QUICK_JAVA,
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.log.level": "ERROR",
    "spark.sql.session.timeZone": "America/Bogota",  # not UTC, so that a dependence on it shows
}


@contextmanager
def local_spark(folder: Path) -> Iterator[SparkSession]:
    """Start Spark with two cores, whose files are in a folder; leave the tests out where there is no Java for it.

    Its Python workers run in that folder, so that they find the project's package only if a job gives it to them.
    """
    require_java()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]").appName("tests")
    for name, value in SETTINGS.items() | {("spark.local.dir", str(folder)), ("spark.sql.warehouse.dir", str(folder))}:
        builder = builder.config(name, value)
    with chdir(folder):
        session = builder.getOrCreate()
    try:
        yield session
    finally:
        session.stop()


def require_java() -> None:
    """Leave the tests out where there is no Java that Spark runs on."""
    home = os.environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else shutil.which("java")
    if java is None:
        leave_out("Spark is not tried: there is no Java")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < MIN_JAVA:
        leave_out(f"Spark is not tried: it needs Java {MIN_JAVA}, found {said.partition(chr(10))[0] or java}")
