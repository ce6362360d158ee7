"""SHA-256 digests, by which altered files of a model are found."""

import hashlib
from pathlib import Path


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder, by name; the folder must hold files only."""
    return {path.name: sha256(path) for path in sorted(folder.iterdir())}
