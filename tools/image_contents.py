"""Prints what an image of the service holds, as JSON. Its text is run inside a container, by the Python that serves."""

import hashlib
import json
import os
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

LIST = """
import importlib.metadata, json
found = importlib.metadata.distributions()
print(json.dumps([[each.name, each.version, str(each.locate_file(""))] for each in found]))
"""
BENTO = Path("/home/bentoml/bento")


def main() -> None:
    """Print the Python packages, those of the base image apart, and the files of the Bento with their SHA-256."""
    base = os.path.realpath(sys.executable)  # the virtual environment's Python is a link to the base's
    listed = subprocess.run([base, "-I", "-c", LIST], capture_output=True, check=True, text=True)
    files = sorted(path for path in BENTO.rglob("*") if path.is_file())
    contents = {
        "packages": [[each.name, each.version, str(each.locate_file(""))] for each in distributions()],
        "packages_of_base": json.loads(listed.stdout),
        "files": {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        "dpkg_status": Path("/var/lib/dpkg/status").read_text(errors="replace"),
        "os_release": Path("/etc/os-release").read_text(),
        "bento": (BENTO / "bento.yaml").read_text(),
    }
    print(json.dumps(contents))


if __name__ == "__main__":
    main()
