"""Read `model_config.yaml` strictly: unknown keys, repeated keys and wrong values are errors that name the place."""

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from plan_recommender.config.settings import SQLITE, Settings
from plan_recommender.errors import ConfigError
from plan_recommender.strict_yaml import problems, read_yaml

DEFAULT_HELP = "model_config.yaml in this folder, otherwise the one beside the command"
"""The default of an option `--config`, for its help."""

_FILE = "model_config.yaml"
_PROJECT = Path(__file__).parents[2]  # the folder of the command lines


def find_config() -> Path | None:
    """Find the configuration that is used if none is named: in the working directory, otherwise beside the commands."""
    places = (Path(_FILE), _PROJECT / _FILE)
    return next((path for path in places if path.is_file()), None)


def choose_config(named: Path | None, say: Callable[[str], object]) -> Path:
    """Give the configuration that is named, otherwise the one that `find_config` finds.

    `say` is called with one sentence if the one that is found is not in the working directory, because its relative
    paths, such as that of the artifacts, are relative to it.

    Raises:
        ConfigError: none is named and none is found.
    """
    if named is not None:
        return named
    found = find_config()
    if found is None:
        raise ConfigError(
            f"expected {_FILE} in the working directory {Path.cwd()} or in {_PROJECT}, found none; "
            "name another with --config"
        )
    if found.is_absolute():
        say(f"configuration: {found}, because there is none here; its relative paths start in that folder")
    return found


def load_settings(path: Path = Path(_FILE)) -> Settings:
    """Read and check a configuration file. What it leaves out has the default.

    Relative paths in the file are relative to the file; in the result they are relative to the working directory.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds an unknown, repeated or impossible setting.
    """
    document = read_yaml(path, "a configuration file")
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{path}: {problems(error)}; docs/configuration.md describes every setting") from error
    folder = path.parent
    places = {
        "data": {"path": folder / settings.data.path},
        "advice": {"months": None if settings.advice.months is None else folder / settings.advice.months},
        "artifacts": {
            "directory": folder / settings.artifacts.directory,
            "signing_key": None if settings.artifacts.signing_key is None else folder / settings.artifacts.signing_key,
        },
        "search": {"directory": folder / settings.search.directory},
        "mlflow": {"tracking_uri": _beside(settings.mlflow.tracking_uri, folder)},
    }
    return settings.model_copy(
        update={section: getattr(settings, section).model_copy(update=place) for section, place in places.items()}
    )


def _beside(uri: str, folder: Path) -> str:
    """Make the path of a local store relative to the working directory; any other address stays."""
    if not uri.startswith(SQLITE):
        return uri
    return f"{SQLITE}{folder / uri.removeprefix(SQLITE)}"
