"""Write the words of the sentences on reasons into the what-if page, from the service's own, which are the source.

usage: python -m tools.page_words
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.page_words")

import argparse
import json

from plan_recommender import cli
from plan_recommender.model.reason_words import REASON_WORDS, ReasonWords
from tools.server import ROOT

FILE = ROOT / "plan_recommender" / "serving" / "page" / "reason_words.js"
_HEAD = """\
// The words of the sentences in sentences.js: plan_recommender/model/reason_words.py, written by
// `python -m tools.page_words`. What stands in braces is filled in.
export const LANGUAGES = """


def main(arguments: list[str] | None = None) -> int:
    """Write the module; returns 0."""
    description = "Write the page's reason_words.js anew, from plan_recommender/model/reason_words.py."
    argparse.ArgumentParser(prog="python -m tools.page_words", description=description).parse_args(arguments)
    FILE.write_text(module(), encoding="utf-8")
    cli.say(f"{FILE.relative_to(ROOT)}: written")
    return cli.DONE


def module() -> str:
    """Give the JavaScript module that exports the words of every language."""
    languages = {language: _named(words) for language, words in REASON_WORDS.items()}
    return f"{_HEAD}{json.dumps(languages, indent=2, ensure_ascii=False)};\n"


def _named(words: ReasonWords) -> dict[str, object]:
    """Keep the names of the fields, which JSON would drop."""
    shares = {"shares": words.shares._asdict(), "rarer_shares": words.rarer_shares._asdict()}
    return words._asdict() | shares
