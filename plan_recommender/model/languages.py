"""The languages that sentences for people are written in, and how each writes a number."""

from typing import Final, Literal, get_args

Language = Literal["en", "es"]

LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)

_NARROW_SPACE: Final = "\u202f"
_FOUR_DIGITS: Final = 5  # characters of "9,999"


def localized(number: str, language: Language) -> str:
    """Rewrite a number as the language writes it.

    In Spanish, groups of digits are set apart by narrow spaces from five digits on, and the decimal sign is a comma.

    Args:
        number: in English, with commas between groups of digits.
        language: in which it is to be written.
    """
    if language == "en":
        return number
    if "," not in number:
        return number.replace(".", ",")
    whole, _, rest = number.partition(".")
    whole = whole.replace(",", "" if len(whole.lstrip("-")) <= _FOUR_DIGITS else _NARROW_SPACE)
    return f"{whole},{rest}" if rest else whole


def trimmed(value: float, decimals: int, language: Language) -> str:
    """Write a number of at least 0 with so many decimals, without zeros at their end."""
    text = f"{value:,.{decimals}f}"
    if decimals:
        text = text.rstrip("0").rstrip(".")
    return text if language == "en" else localized(text, language)
