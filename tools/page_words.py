"""Write the words of the sentences on reasons and of advice into the what-if page, from the service's, their source.

usage: python -m tools.page_words
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.page_words")

import argparse
import json
from typing import Final

from plan_recommender import cli
from plan_recommender.billing import advice_words
from plan_recommender.model import reason_words
from tools.server import ROOT

FOLDER: Final = ROOT / "plan_recommender" / "serving" / "page"

_MODULE: Final = """\
// The words of the sentences in {user}: {source}, written by
// `python -m tools.page_words`. What stands in braces is filled in.
export const {name} = {words};
"""


def main(arguments: list[str] | None = None) -> int:
    """Write the modules; returns 0."""
    description = "Write the page's reason_words.js and advice_words.js anew, from the modules of the same names."
    argparse.ArgumentParser(prog="python -m tools.page_words", description=description).parse_args(arguments)
    for name, text in modules().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        cli.say(f"{(FOLDER / name).relative_to(ROOT)}: written")
    return cli.DONE


def modules() -> dict[str, str]:
    """Give the JavaScript modules that export the words of every language, by their names."""
    reasons = {language: _named(words) for language, words in reason_words.REASON_WORDS.items()}
    advice = {language: words._asdict() for language, words in advice_words.ADVICE_WORDS.items()}
    return {
        "reason_words.js": _module("REASON_WORDS", "sentences.js", "plan_recommender/model/reason_words.py", reasons),
        "advice_words.js": _module(
            "ADVICE_WORDS", "advice_sentence.js", "plan_recommender/billing/advice_words.py", advice
        ),
    }


def _named(words: reason_words.ReasonWords) -> dict[str, object]:
    """Keep the names of the fields, which JSON would drop."""
    shares = {"shares": words.shares._asdict(), "rarer_shares": words.rarer_shares._asdict()}
    return words._asdict() | shares


def _module(name: str, user: str, source: str, words: object) -> str:
    text = json.dumps(words, indent=2, ensure_ascii=False)
    return _MODULE.format(name=name, user=user, source=source, words=text)
