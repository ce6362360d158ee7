"""YAML, read strictly: what would be taken for something else without a word is an error.

This is a key that stands twice in one section, because one value would be ignored, and a number that YAML 1.1 reads in
base 8 or 60: `0550` would be 360, and `5:50` would be 350.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from plan_recommender.errors import ConfigError

_SHOWN = 60  # characters of a value that an error repeats

_OWN = "Value error, "
"""What pydantic puts before a message of ours."""

_MISSING = "Field required"
"""What pydantic says of an entry that is missing."""


def read_yaml(path: Path, what: str) -> Any:
    """Read a file of settings; an empty one gives an empty dictionary.

    Args:
        path: of the file, in UTF-8.
        what: the file is, for the error, such as `a configuration file`.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or holds a key twice in one section, or a number that YAML
            takes for another one.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)  # noqa: S506  # it is a SafeLoader
    except OSError as error:
        raise ConfigError(f"{path}: expected {what} that can be read, found: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:  # without the line itself: a file of keys may have been named by mistake
        place = "" if error.problem_mark is None else f" in line {error.problem_mark.line + 1}"
        raise ConfigError(f"{path}: expected YAML, found: {error.problem}{place}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, or an impossible date
        raise ConfigError(f"{path}: expected YAML, found: {' '.join(str(error).split())}") from error
    return {} if document is None else document


def problems(error: ValidationError) -> str:
    """Say in one sentence what is wrong with the values of a file: where, what was expected, and what was found."""
    return "; ".join(_problem(".".join(map(str, e["loc"])), e["msg"], e["input"]) for e in error.errors())


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, which also refuses a key that occurs twice, and numbers in base 8 and 60."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} more than once in one section, {node.start_mark}")
        return super().construct_mapping(node, deep)

    def construct_plain_int(self, node: yaml.ScalarNode) -> int:
        value = self.construct_yaml_int(node)
        digits = node.value.lstrip("+-")
        if digits.startswith("0") and digits.strip("0_").isdigit() and ":" not in digits:
            raise ValueError(_other_number(node, value, "an octal number", "it without the leading zero"))
        _require_base_10(node, value)
        return value

    def construct_plain_float(self, node: yaml.ScalarNode) -> float:
        value = self.construct_yaml_float(node)
        _require_base_10(node, value)
        return value


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_plain_int)
_StrictLoader.add_constructor("tag:yaml.org,2002:float", _StrictLoader.construct_plain_float)


def _require_base_10(node: yaml.ScalarNode, value: float) -> None:
    if ":" in node.value:
        raise ValueError(_other_number(node, value, "a number in base 60", "the number itself, or a text in quotes"))


def _other_number(node: yaml.ScalarNode, value: float, kind: str, instead: str) -> str:
    return (
        f"{node.value} in line {node.start_mark.line + 1}, which YAML takes for {kind}, {value:.10g}: write {instead}"
    )


def _problem(where: str, expected: str, found: object) -> str:
    names_place = not where and expected.startswith(_OWN)  # a rule about several entries says which
    told = expected.removeprefix(_OWN)
    sentence = told if names_place else f"{where or 'the document'}: {told}"
    # Of a whole section, what was found says nothing that helps.
    is_section = isinstance(found, dict) and (told == _MISSING or ", found " in told)
    return sentence if is_section else f"{sentence}, found {_shortened(found)}"


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
