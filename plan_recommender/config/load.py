"""Read `model_config.yaml` strictly: unknown keys, repeated keys and wrong values are errors that name the place."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from plan_recommender.config.settings import SQLITE, Settings
from plan_recommender.errors import ConfigError

DEFAULT_CONFIG = Path("model_config.yaml")

_SHOWN = 60  # characters of a value that an error repeats


def load_settings(path: Path = DEFAULT_CONFIG) -> Settings:
    """Read and check a configuration file. What it leaves out has the default.

    Relative paths in the file are relative to the file; in the result they are relative to the working directory.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds an unknown, repeated or impossible setting.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)  # noqa: S506  # a SafeLoader
    except OSError as error:
        raise ConfigError(f"{path}: expected a readable configuration file, found: {error.strerror}") from error
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # ValueError: not UTF-8, or an impossible date
        raise ConfigError(f"{path}: expected YAML, found: {' '.join(str(error).split())}") from error
    try:
        settings = Settings.model_validate({} if document is None else document)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_sentence(error)}") from error
    folder = path.parent
    places = {
        "data": {"path": folder / settings.data.path},
        "artifacts": {"directory": folder / settings.artifacts.directory},
        "search": {"directory": folder / settings.search.directory},
        "mlflow": {"tracking_uri": _beside(settings.mlflow.tracking_uri, folder)},
    }
    return settings.model_copy(
        update={section: getattr(settings, section).model_copy(update=place) for section, place in places.items()}
    )


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, which also refuses a key that occurs twice: one of the two values would be ignored."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} more than once in one section, {node.start_mark}")
        return super().construct_mapping(node, deep)


def _beside(uri: str, folder: Path) -> str:
    """Make the path of a local store relative to the working directory; any other address stays."""
    if not uri.startswith(SQLITE):
        return uri
    return f"{SQLITE}{folder / uri.removeprefix(SQLITE)}"


def _sentence(error: ValidationError) -> str:
    problems = [
        f"{'.'.join(map(str, e['loc'])) or 'the document'}: {e['msg']}, found {_shortened(e['input'])}"
        for e in error.errors()
    ]
    return "; ".join(problems) + "; docs/configuration.md describes every setting"


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
