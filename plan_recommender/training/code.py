"""Which version of this project's code trains: a digest, because a commit does not say what was changed since."""

import hashlib
from pathlib import Path
from typing import Final

from plan_recommender.model.digests import sha256

_PACKAGE: Final = Path(__file__).parents[1]


def code_digest(package: Path = _PACKAGE) -> str:
    """SHA-256 of every file of the package, with its path, in hexadecimal digits; what Python compiled is left out.

    Files that do not train count too, because nothing tells for certain which of them a result depends on. Templates
    do, because they make the reports.
    """
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if not path.is_file() or path.suffix == ".pyc":
            continue
        digest.update(f"{path.relative_to(package).as_posix()} {sha256(path)}\n".encode())
    return digest.hexdigest()
