"""The what-if page: its files, as answers that are made once.

The page is `GET /app`, and its modules and its style sheets are at `/app/<file>`. It names all of them, and the routes
that it asks, by relative URLs, so that it works under any prefix that a proxy adds. Its files hold nothing of the model
or of the tariffs and need no key; what the page shows, it asks for with the key.
"""

from functools import cache
from pathlib import Path
from typing import Final

from plan_recommender.serving.error_responses import Header
from plan_recommender.serving.kept import Kept

PAGE: Final = "/app"
METHODS: Final = ("GET", "HEAD")

_FOLDER: Final = Path(__file__).with_name("page")
_LOOK: Final = _FOLDER.parents[1] / "look.css"
"""The style sheet that the page shares with the reports."""
_START: Final = "index.html"
_TYPES: Final = {
    ".css": b"text/css; charset=utf-8",
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
}
_HEADERS: Final[tuple[Header, ...]] = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


def page_paths() -> frozenset[str]:
    """Give the paths of the page and of its files."""
    return frozenset(_path(file.name) for file in _files())


@cache
def page_files() -> dict[str, Kept]:
    """Read the page's files; by path, what each answers."""
    return {_path(file.name): Kept.of(file.read_bytes(), _TYPES[file.suffix], _HEADERS) for file in _files()}


def _files() -> list[Path]:
    return [_LOOK, *sorted(file for file in _FOLDER.iterdir() if file.suffix in _TYPES)]


def _path(name: str) -> str:
    return PAGE if name == _START else f"{PAGE}/{name}"
