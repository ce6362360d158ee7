"""What the tests of deploy/ need beside Python, which CI has and another machine may lack."""

import os
import shutil
import subprocess
from typing import NoReturn

import pytest


def require(program: str, package: str) -> str:
    """Give the path of a program of the system; Debian has it in `package`."""
    found = shutil.which(program)
    if found is None:
        leave_out(f"expected the program {program} on the PATH, found none: apt-get install {package}")
    return found


def require_image(image: str) -> None:
    """See that the container engine has an image."""
    docker = require("docker", "docker.io")
    if subprocess.run([docker, "image", "inspect", image], capture_output=True, check=False).returncode != 0:
        leave_out(f"expected the image {image}, found none (or no engine that runs): make containerize")


def leave_out(why: str) -> NoReturn:
    """Fail in CI, where everything has to be there; elsewhere leave the test out, which pytest says at the end."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(f"LEFT OUT: {why}")
