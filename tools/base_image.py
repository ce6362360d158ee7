"""The base of the image, by digest: where a registry has it, the image is made from exactly what it has now."""

import re
from dataclasses import dataclass
from typing import Final

from plan_recommender.serving.image import BASE
from tools.container import ContainerError, docker

NAME_LABEL: Final = "org.opencontainers.image.base.name"
DIGEST_LABEL: Final = "org.opencontainers.image.base.digest"


@dataclass(frozen=True)
class BaseImage:
    """What an image is made from."""

    name: str
    """Without a digest."""
    digest: str | None
    """That of the registry; None: no registry answered, so the base is whatever the engine has under that name."""
    reason: str = ""
    """Why there is no digest."""

    @property
    def reference(self) -> str:
        """What a Dockerfile names."""
        return self.name if self.digest is None else f"{self.name}@{self.digest}"

    @property
    def labels(self) -> tuple[str, ...]:
        """The options of `bentoml containerize` that write the base into the image."""
        labels = [f"{NAME_LABEL}={self.name}"]
        labels += [f"{DIGEST_LABEL}={self.digest}"] if self.digest else []
        return tuple(part for label in labels for part in ("--opt", f"label={label}"))

    def __str__(self) -> str:
        """Say what it is, and never that it is pinned when it is not."""
        return self.reference if self.digest else f"{self.name}, NOT PINNED by digest: {self.reason}"


def look_up(named: str = BASE) -> BaseImage:
    """Pull an image and tell the digest under which its registry has it.

    Args:
        named: its name, with a digest if a certain one is meant.

    Raises:
        ContainerError: there is no engine; or a digest was named, and the registry does not have it.
    """
    name, _, wanted = named.partition("@")
    try:
        pulled = docker("pull", named)
    except ContainerError as error:
        if wanted:
            raise
        return BaseImage(name, None, str(error).rpartition(": ")[2])
    found = re.search(r"^Digest: (sha256:[0-9a-f]{64})$", pulled, re.MULTILINE)
    if found is None:
        raise ContainerError(f"expected that docker pull {named} prints a digest, found: {pulled.strip()}")
    return BaseImage(name, found[1])
