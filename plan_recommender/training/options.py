"""The options that train.py and retrain.py share, and the settings that they make of the configuration."""

import argparse
from collections.abc import Callable
from pathlib import Path

from plan_recommender.billing.tariffs import TARIFFS_DEFAULT
from plan_recommender.config.load import DEFAULT_HELP, choose_config, load_settings
from plan_recommender.config.settings import Settings
from plan_recommender.data.table_options import add_table_options, format_of
from plan_recommender.model import signatures


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add all of them but `--data` and `--seed`; `settings_of` reads what they were given."""
    parser.add_argument("--config", type=Path, metavar="YAML", help=f"configuration (default: {DEFAULT_HELP})")
    parser.add_argument(
        "--groups",
        metavar="COLUMN",
        help="column that says which subscriber a row belongs to: each one's rows stay together in every split and "
        "interval (default: data.groups)",
    )
    parser.add_argument(
        "--months",
        type=Path,
        metavar="CSV",
        help="months of subscribers, from which the forecast of the next bill learns (default: advice.months, "
        "otherwise the shipped ones)",
    )
    parser.add_argument(
        "--tariffs",
        type=Path,
        metavar="YAML",
        help=f"how minutes are billed (default: {TARIFFS_DEFAULT})",
    )
    parser.add_argument("--artifacts", type=Path, metavar="DIR", help="results folder (default: artifacts.directory)")
    parser.add_argument(
        "--signing-key",
        type=Path,
        metavar="PEM",
        help="private key that signs the model before it is registered (default: artifacts.signing_key)",
    )
    parser.add_argument(
        "--accept-drift",
        action="store_true",
        help="train although the table looks as if it had a mistake, such as another unit, beside the registered model",
    )
    add_table_options(parser)


def settings_of(options: argparse.Namespace, say: Callable[[str], object]) -> Settings:
    """Read the configuration, and put in place of its values what the options say.

    Args:
        options: those of `add_training_options`, `data` and `seed`.
        say: is told which configuration was found, if none was named.

    Raises:
        ConfigError: the configuration or an option is not what it may be.
        SignatureError: the key with which the model is to be signed cannot be read.
    """
    settings = load_settings(choose_config(options.config, say))
    format = format_of(options, settings.data.format)
    data = settings.data.model_copy(update={"path": options.data or settings.data.path, "format": format})
    settings = settings.model_copy(update={"data": data})
    if options.groups is not None:
        settings = settings.model_copy(update={"data": settings.data.model_copy(update={"groups": options.groups})})
    if options.months is not None:
        settings = settings.model_copy(update={"advice": settings.advice.model_copy(update={"months": options.months})})
    if options.artifacts is not None:
        directory = settings.artifacts.model_copy(update={"directory": options.artifacts})
        settings = settings.model_copy(update={"artifacts": directory})
    if options.signing_key is not None:
        artifacts = settings.artifacts.model_copy(update={"signing_key": options.signing_key})
        settings = settings.model_copy(update={"artifacts": artifacts})
    if settings.artifacts.signing_key is not None:
        signatures.signing_with(settings.artifacts.signing_key)  # now, and not after the training
    if options.seed is not None:
        settings = settings.model_copy(update={"seed": options.seed})
    return settings
