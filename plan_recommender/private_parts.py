"""Private parts of other packages: which versions they were looked up in, and the check that they are still the same.

Whatever overrides or uses a private part works with one version of its package for certain. With another it might fail,
or answer wrongly without a word, so a service with another version does not start.
"""

import inspect
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import cast

from plan_recommender.errors import PrivatePartsError

_REMEDY = "install the versions of requirements/serving.txt"


@dataclass(frozen=True)
class PrivateParts:
    """What is used of one package."""

    package: str
    """Its name as a distribution."""
    version: str
    """The version for which the code was written, which requirements/serving.txt installs."""
    signatures: Mapping[str, str] = field(default_factory=dict)
    """For functions, as `module:Class.function`, their parameters, as `signature_of` writes them."""
    names: tuple[str, ...] = ()
    """What else has to be there, as `module:name`."""
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For classes, as `module:Class`, the attributes of their instances that are used."""

    def check(self) -> None:
        """Compare with what is installed.

        Raises:
            PrivatePartsError: the version, a signature or a name differs.
        """
        try:
            found = version(self.package)
        except PackageNotFoundError as error:
            raise PrivatePartsError(
                f"{self.package}: expected version {self.version}, found none; {_REMEDY}"
            ) from error
        if found != self.version:
            raise PrivatePartsError(
                f"{self.package}: expected version {self.version}, whose private parts this project was written for, "
                f"found version {found}; {_REMEDY}"
            )
        for name in self.names:
            self._resolve(name)
        for name, attributes in self.attributes.items():
            source = inspect.getsource(cast(type, self._resolve(name)))
            for attribute in attributes:
                if f"self.{attribute}" not in source:
                    raise self._missing(f"{name}.{attribute}")
        for name, expected in self.signatures.items():
            parameters = signature_of(self._resolve(name))
            if parameters != expected:
                raise PrivatePartsError(
                    f"{self.package}: expected version {self.version}, in which {name} takes ({expected}), found "
                    f"version {found}, in which it takes ({parameters}); {_REMEDY}"
                )

    def _resolve(self, name: str) -> object:
        try:
            return pkgutil.resolve_name(name)
        except (ImportError, AttributeError) as error:
            raise self._missing(name) from error

    def _missing(self, name: str) -> PrivatePartsError:
        return PrivatePartsError(
            f"{self.package}: expected version {self.version}, which has {name}, found version "
            f"{version(self.package)}, which does not have it; {_REMEDY}"
        )


def signature_of(function: object) -> str:
    """Give the names of a function's parameters, with `*` before those that take several, separated by commas."""
    if not callable(function):
        return f"nothing: it is {type(function).__name__}"
    stars: dict[object, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    parameters = inspect.signature(function).parameters.values()
    return ", ".join(stars.get(parameter.kind, "") + parameter.name for parameter in parameters)
