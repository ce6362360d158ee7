"""What all pages for people share: their templates, and how they write a number and hold a picture.

The templates are in report/templates. HTML pages contain their pictures, so that one file is the whole page. It stands
apart from the pages so that drift.py, which needs no scikit-learn, does not wait for its import.
"""

import base64
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

_LOOK = Path(__file__).parents[1] / "look.css"
"""The style sheet that the reports share with the what-if page."""

_MIN_SCALE = 0.6
"""A picture is not drawn smaller than this, because its smallest text would then have fewer than ten pixels."""


@cache
def environment() -> Environment:
    """Give the environment of the templates, which are compiled once in a process."""
    return Environment(
        loader=FileSystemLoader([Path(__file__).with_name("templates"), _LOOK.parent]),
        autoescape=select_autoescape(["html.j2"]),  # not Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def number(value: float | None, form: str) -> str:
    """Format a number, or write a dash for None."""
    return "-" if value is None else format(value, form)


def embedded_picture(png: bytes, alt: str) -> Markup:
    """Embed a picture, which scrolls within its figure where the page is too narrow for it to be readable."""
    min_width = round(_MIN_SCALE * int.from_bytes(png[16:20], "big"))  # where a PNG has its width
    figure = Markup('<figure><img alt="{}" style="min-width: {}px" src="data:image/png;base64,{}"></figure>')
    return figure.format(alt, min_width, base64.b64encode(png).decode())
