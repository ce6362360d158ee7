"""What mkdocs.yml needs beside docs/: the pages that lie at the repository's root, and links that work on the site.

MkDocs calls `on_files` and `on_page_markdown`. The README is the site's front page. A link to a file that is no page,
such as a module, leads to `SITE_SOURCE_URL` (the address of the repository's files) when that is set, and is plain text
otherwise. A link to a file that does not exist is left as it is, so that the strict build refuses it.
"""

import os
import posixpath
import re
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES_AT_THE_ROOT: Final = {
    "README.md": "index.md",
    "README.es.md": "es.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""The name on the site of each page that is not in docs/."""

_FENCED: Final = re.compile(r"^(```.*?^```)", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(!?\[(?P<text>[^\]]*)\])\((?P<target>[^)\s]+)\)")
_ELSEWHERE: Final = re.compile(r"[a-z][a-z+.-]*:|#|/")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages at the repository's root to those in docs/."""
    for source, name in PAGES_AT_THE_ROOT.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of a page from the repository's layout to the site's."""
    name = page.file.src_uri
    at_the_root = {site: source for source, site in PAGES_AT_THE_ROOT.items()}
    return with_site_links(markdown, at_the_root.get(name, f"docs/{name}"), os.environ.get("SITE_SOURCE_URL"))


def with_site_links(markdown: str, source: str, source_url: str | None) -> str:
    """Rewrite the links of a page, except in its fenced code.

    Args:
        markdown: the page.
        source: its path in the repository, which its links are relative to.
        source_url: address that the repository's files are below; None when there is no such address.
    """

    def rewritten(link: re.Match[str]) -> str:
        if _ELSEWHERE.match(link["target"]):
            return link[0]
        path, mark, anchor = link["target"].partition("#")
        in_repository = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if in_repository in PAGES_AT_THE_ROOT:
            return f"{link[1]}({PAGES_AT_THE_ROOT[in_repository]}{mark}{anchor})"
        if in_repository.startswith("docs/") or not (ROOT / in_repository).exists():
            return f"{link[1]}({in_repository.removeprefix('docs/')}{mark}{anchor})"
        return f"{link[1]}({source_url.rstrip('/')}/{in_repository})" if source_url else link["text"]

    parts = _FENCED.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(rewritten, part) for part in parts)
