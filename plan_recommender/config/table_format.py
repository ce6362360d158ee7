"""How a table is written: what separates its columns, its decimal sign, and the names of its columns."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator

from plan_recommender.config.section import Section
from plan_recommender.model.features import FEATURE_NAMES, TARGET

EXPECTED_COLUMNS = (*FEATURE_NAMES, TARGET)
"""The columns that a table can be asked for by the project, under the project's names."""

MONTHS_COLUMNS = ("subscriber", "month", *FEATURE_NAMES, "plan", "billed_minutes", "active_share")
"""The columns of a table of subscribers' months; the last three may be missing."""

TAB = ("tab", "\\t")
"""How a tab can be written, because it is hard to type on a command line."""


def _separator(text: str) -> str:
    character = "\t" if text in TAB else text
    if len(character) != 1 or not character.isascii() or character.isalnum() or character in '"\r\n\0.+-_':
        raise ValueError("expected one character that no number and no name contains, such as ; or |, or the word tab")
    return character


class TableFormat(Section):
    """How a table is written; the separator and the decimal sign are those of text, and Parquet has its own types."""

    sep: Annotated[str, AfterValidator(_separator)] = Field(
        ",", description="What separates the columns: one character, or `tab`."
    )
    decimal: Literal[".", ","] = Field(".", description="Decimal sign of the numbers.")
    map: dict[str, str] = Field(
        {}, description="Columns of the table that have other names than the project's: `{minutes: call_minutes}`."
    )

    names: ClassVar[tuple[str, ...]] = EXPECTED_COLUMNS
    """The columns that the table can be asked for."""

    @field_validator("map")
    @classmethod
    def _are_columns(cls, names: dict[str, str]) -> dict[str, str]:
        unknown = [name for name in names if name not in cls.names]
        if unknown:
            raise ValueError(f"expected names among {', '.join(cls.names)}, found {', '.join(unknown)}")
        columns = {name: column.strip() for name, column in names.items()}
        used = [columns.get(name, name) for name in cls.names]
        twice = sorted({column for column in used if used.count(column) > 1})
        if twice:
            raise ValueError(f"expected a column of its own for each name, found {', '.join(twice)} for more than one")
        if "" in used:
            nameless = ", ".join(name for name in columns if not columns[name])
            raise ValueError(f"expected names of columns, found none for {nameless}")
        return columns

    def column(self, name: str) -> str:
        """Give the name that one of `names` has in the table; of another column, its own name."""
        return self.map.get(name, name)


class MonthsFormat(TableFormat):
    """How a table of subscribers' months is written."""

    names: ClassVar[tuple[str, ...]] = MONTHS_COLUMNS
