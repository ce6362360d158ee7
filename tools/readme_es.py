"""Write what README.es.md, the Spanish translation of README.md, takes from it: its digest and its key figures.

The digest says which README.md was translated. It leaves out the key figures, which `make benchmark` writes into both.

usage: python -m tools.readme_es
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.readme_es")

import argparse
import hashlib
import re
import textwrap
from typing import Final

from benchmark.page import key_figures, with_key_figures
from plan_recommender import cli
from plan_recommender.errors import PlanRecommenderError
from plan_recommender.model.languages import localized
from tools.server import ROOT

SOURCE: Final = ROOT / "README.md"
TRANSLATION: Final = ROOT / "README.es.md"

_DIGEST: Final = re.compile(r"\bSHA-256 ([0-9a-f]{64})\b")
_NUMBER: Final = r"([0-9][0-9,]*(?:\.[0-9]+)?|nan)"
_ROWS: Final = {
    "`POST /predict`, one worker": "`POST /predict`, un proceso",
    "requests/s": "peticiones/s",
    "FastAPI, constant answer": "FastAPI, respuesta constante",
    "FastAPI, scikit-learn pipeline loaded once": "FastAPI, pipeline de scikit-learn cargado una vez",
    "FastAPI, scikit-learn pipeline loaded per request": "FastAPI, pipeline de scikit-learn cargado en cada petición",
    "this service": "este servicio",
}
_SENTENCES: Final = (
    (rf"`/predict_batch` answers {_NUMBER} rows/s\.", "`/predict_batch` procesa {} filas/s."),
    (
        rf" On two cores shared with the load, two workers answer {_NUMBER} times as much as one on one core\.",
        " En dos núcleos compartidos con la carga, dos procesos responden a {} veces lo que uno en uno solo.",
    ),
    (
        rf" Of {_NUMBER} requests/s at the times of a Poisson process, for {_NUMBER} s, the p99 is {_NUMBER} ms and "
        rf"{_NUMBER} failed\.",
        " Con {} peticiones/s en los instantes de un proceso de Poisson, durante {} s, el p99 es de {} ms y hubo {} "
        "fallos.",
    ),
    (
        rf" Measured on (\S+) at commit (\S+) on (.+?), {_NUMBER} connections",
        " Medido el {} en el commit {} con {}, {} conexiones",
    ),
    (r", one core for the server and another for the load", ", un núcleo para el servidor y otro para la carga"),
    (r"; compare ratios only\.", "; compare solo las proporciones."),
)
"""What follows the table, in this order; a measurement may leave some out."""


def main(arguments: list[str] | None = None) -> int:
    """Write digest and key figures; returns 0."""
    description = "Write the digest of README.md, and its key figures in Spanish, into README.es.md."
    argparse.ArgumentParser(prog="python -m tools.readme_es", description=description).parse_args(arguments)
    source = SOURCE.read_text(encoding="utf-8")
    TRANSLATION.write_text(renewed(TRANSLATION.read_text(encoding="utf-8"), source), encoding="utf-8")
    cli.say(f"{TRANSLATION.relative_to(ROOT)}: digest and key figures written")
    return cli.DONE


def digest(source: str) -> str:
    """Give the SHA-256 of README.md without its key figures."""
    return hashlib.sha256(with_key_figures(source, "").encode()).hexdigest()


def recorded_digest(translation: str) -> str:
    """Give the digest that README.es.md records.

    Raises:
        PlanRecommenderError: it records none.
    """
    found = _DIGEST.search(translation)
    if found is None:
        raise PlanRecommenderError(f"{TRANSLATION.name}: expected a comment with the SHA-256 of README.md, found none")
    return found[1]


def renewed(translation: str, source: str) -> str:
    """Give README.es.md with the digest of a README.md and with its key figures."""
    figures = with_key_figures(translation, spanish_figures(key_figures(source)))
    return figures.replace(recorded_digest(translation), digest(source))


def spanish_figures(figures: str) -> str:
    """Translate the key figures.

    Raises:
        PlanRecommenderError: they have a sentence that is not known here.
    """
    table, _, prose = figures.partition("\n\n")
    rows = [[_cell(cell.strip()) for cell in row.strip("|").split("|")] for row in table.splitlines()]
    lines = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    english, said = " ".join(prose.split()), ""
    for pattern, spanish in _SENTENCES:
        if found := re.match(pattern, english):
            said += spanish.format(*(_number(value) for value in found.groups()))
            english = english[found.end() :]
    if english:
        raise PlanRecommenderError(f"expected key figures that this program translates, found {english[:60]!r}")
    return f"{lines}\n{textwrap.fill(said, 120, break_on_hyphens=False)}\n" if figures else ""


def _cell(english: str) -> str:
    return _ROWS.get(english) or re.sub(_NUMBER, lambda number: localized(number[0], "es"), english)


def _number(text: str) -> str:
    return localized(text, "es") if re.fullmatch(_NUMBER, text) else text
