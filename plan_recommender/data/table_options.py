"""The options `--sep`, `--decimal` and `--map` of every command that reads a table, and `--language` of two of them."""

import argparse
import shlex

from pydantic import ValidationError

from plan_recommender.config.table_format import MonthsFormat, TableFormat
from plan_recommender.errors import ConfigError
from plan_recommender.model.languages import LANGUAGES

AS_USUAL = TableFormat()
"""Columns separated by commas, decimal points, and the project's names."""

MONTHS_AS_USUAL = MonthsFormat()
"""The same, for a table of subscribers' months."""


def add_table_options(parser: argparse.ArgumentParser, base: TableFormat = AS_USUAL) -> None:
    """Add the options to a parser; `format_of` reads what they were given, with the same `base`."""
    group = parser.add_argument_group("how tables are written")
    group.add_argument("--sep", metavar="CHARACTER", help="what separates the columns, or `tab` (usually a comma)")
    group.add_argument(
        "--decimal", choices=(".", ","), metavar="SIGN", help="decimal sign of numbers: . or , (usually .)"
    )
    add_map_option(group, base)


def add_map_option(parser: argparse._ActionsContainer, base: TableFormat = AS_USUAL) -> None:
    """Add the option `--map` alone, for tables that are not text."""
    parser.add_argument(
        "--map",
        action="append",
        metavar="FEATURE=COLUMN",
        help=f"column of the table that holds one of {', '.join(base.names)}; may be repeated",
    )


def add_language_option(parser: argparse.ArgumentParser, column: str) -> None:
    """Add the option `--language`, of the sentences in a column of the output."""
    parser.add_argument(
        "--language", choices=LANGUAGES, help=f"language of the sentences in the column {column} (usually en)"
    )


def names_format(options: argparse.Namespace) -> bool:
    """Whether any of the options was given."""
    return not (options.sep is None and options.decimal is None and options.map is None)


def format_of(options: argparse.Namespace, base: TableFormat = AS_USUAL) -> TableFormat:
    """Give the format that the options describe, of the kind of `base`; what they leave out is that of `base`.

    Raises:
        ConfigError: an option is malformed or impossible, or names a feature or a column twice.
    """
    columns = dict(base.map)
    pairs = [_pair(text, base.names) for text in options.map or ()]
    twice = sorted({name for name, _ in pairs if [other for other, _ in pairs].count(name) > 1})
    if twice:
        raise ConfigError(f"--map: expected each feature once, found {', '.join(twice)} more than once")
    given = {
        "sep": base.sep if options.sep is None else options.sep,
        "decimal": options.decimal or base.decimal,
        "map": columns | dict(pairs),
    }
    try:
        return type(base).model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        sentence = first["msg"].removeprefix("Value error, ")
        found = "" if ", found " in sentence else f", found {first['input']!r}"
        raise ConfigError(f"--{first['loc'][0]}: {sentence}{found}") from error


def map_option(name: str, column: str) -> str:
    """Write the option that maps a column, as it is typed in a shell."""
    return f"--map {shlex.quote(f'{name}={column}')}"


def _pair(text: str, names: tuple[str, ...]) -> tuple[str, str]:
    name, equals, column = (part.strip() for part in text.partition("="))
    if not equals or not column or name not in names:
        turned = f"; did you mean {map_option(column, name)}?" if column in names and name else ""
        raise ConfigError(
            f"--map: expected FEATURE=COLUMN with FEATURE one of {', '.join(names)}, found {text!r}{turned}"
        )
    return name, column
