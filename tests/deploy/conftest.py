"""What the tests of deploy/ need beside Python, which CI has and another machine may lack."""

import shutil

from tests.conftest import leave_out


def require(program: str, package: str) -> str:
    """Give the path of a program of the system; Debian has it in `package`."""
    found = shutil.which(program)
    if found is None:
        leave_out(f"expected the program {program} on the PATH, found none: apt-get install {package}")
    return found
