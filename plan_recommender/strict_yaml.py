"""YAML, read strictly: a key that stands twice in one section is an error, because one value would be ignored."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from plan_recommender.errors import ConfigError

_SHOWN = 60  # characters of a value that an error repeats


def read_yaml(path: Path, what: str) -> Any:
    """Read a file of settings; an empty one gives an empty dictionary.

    Args:
        path: of the file, in UTF-8.
        what: the file is, for the error, such as `a configuration file`.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or holds a key twice in one section.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)  # noqa: S506  # it is a SafeLoader
    except OSError as error:
        raise ConfigError(f"{path}: expected {what} that can be read, found: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, or an impossible date
        raise ConfigError(f"{path}: expected YAML, found: {' '.join(str(error).split())}") from error
    return {} if document is None else document


def problems(error: ValidationError) -> str:
    """Say in one sentence what is wrong with the values of a file: where, what was expected, and what was found."""
    return "; ".join(_problem(".".join(map(str, e["loc"])), e["msg"], e["input"]) for e in error.errors())


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, which also refuses a key that occurs twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} more than once in one section, {node.start_mark}")
        return super().construct_mapping(node, deep)


def _problem(where: str, expected: str, found: object) -> str:
    sentence = f"{where or 'the document'}: {expected.removeprefix('Value error, ')}"
    # Of a whole section, what was found says nothing that helps.
    return sentence if isinstance(found, dict) and ", found " in sentence else f"{sentence}, found {_shortened(found)}"


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
