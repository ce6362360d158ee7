"""The pages in a real browser, on a phone (390 pixels wide) and on a screen (1,100)."""

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import advise
import drift
from tests.conftest import TrainedModel, leave_out
from tools.browser import QUIET, BrowserError, find_browser
from tools.server import ROOT
from tools.synthesise import main as synthesise

pytestmark = pytest.mark.slow

WIDTHS = (390, 1100)
MIN_PICTURE_SCALE = 0.59  # of its pixels: its text, of 16.7 pixels, then has about ten

# Each page is in a frame of the given width, for which it is laid out as for a screen of this width. Chromium's own
# windows cannot be so narrow. What the frames show is measured when all of them are loaded.
FRAME = '<iframe id="{name}" style="border: 0" width="{width}" height="800" srcdoc="{page}"></iframe>'
MEASURE = """<script>
onload = () => {
  const found = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, shown = frame.contentWindow;
    const scroll = (e) => e.scrollWidth > e.clientWidth;
    const boxes = [...page.querySelectorAll("table, figure, pre")];
    const letters = [...page.querySelectorAll("h1, h2, p, td, th, small, dt, dd, a, code")];
    found[frame.id] = {
      width: page.documentElement.scrollWidth,
      scrolling: boxes.filter(scroll).length,
      scrollingPictures: boxes.filter((e) => e.tagName === "FIGURE" && scroll(e)).length,
      verdict: page.querySelector("h2").getBoundingClientRect().top,  // it ends where the first section begins
      scales: [...page.images].map((image) => image.getBoundingClientRect().width / image.naturalWidth),
      smallest: Math.min(...letters.map((e) => parseFloat(shown.getComputedStyle(e).fontSize))),
      color: shown.getComputedStyle(page.body).color,
      background: shown.getComputedStyle(page.body).backgroundColor,
      headings: [...page.querySelectorAll("h1, h2, h3, h4")].map((e) => e.tagName).join(" "),
      links: [...page.querySelectorAll("nav a")].filter((a) => !page.querySelector(a.getAttribute("href"))).length,
      described: [...page.images].every((image) => image.alt),
    };
  }
  document.body.textContent = JSON.stringify(found);
};
</script>"""


def browser() -> str:
    """Give a browser of the Chromium family, on a machine that has one."""
    try:
        return find_browser()
    except BrowserError as error:
        leave_out(f"the pages are not looked at: {error}")


def measured(pages: dict[str, tuple[str, int]], folder: Path) -> dict[str, Any]:
    """Show pages, each in its width, in one run of the browser, and give what it measured by their names."""
    frames = [FRAME.format(name=name, width=width, page=html.escape(page)) for name, (page, width) in pages.items()]
    (folder / "frames.html").write_text(f'<!doctype html><meta charset="utf-8">{"".join(frames)}{MEASURE}')
    command = [browser(), *QUIET, f"--user-data-dir={folder / 'profile'}", "--dump-dom", str(folder / "frames.html")]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    text = re.search("<body>(.*)</body>", shown.stdout, re.DOTALL)
    assert text, shown.stderr
    found: dict[str, Any] = json.loads(html.unescape(text[1]))
    return found


@pytest.fixture(scope="module")
def drift_page(tmp_path_factory: pytest.TempPathFactory, trained: TrainedModel) -> str:
    """The page about a sample that has drifted in everything, whose table has the longest sentences."""
    folder = tmp_path_factory.mktemp("drift")
    current, page = folder / "current.csv", folder / "drift.html"
    assert synthesise(["--shift", "new_subscribers", "--out", str(current)]) == 0
    outputs = ["--out", str(folder / "report.json"), "--html", str(page)]
    assert drift.main(["--ref", str(trained.data), "--cur", str(current), *outputs]) == 1
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def mix_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page about whole months beside a sample with partial ones, by the plan held."""
    folder = tmp_path_factory.mktemp("mix")
    header, *months = (ROOT / "subscriber_months.csv").read_text(encoding="utf-8").splitlines()
    whole = [month for month in months if month.endswith(",1.0000")]
    partial = [month for month in months if not month.endswith(",1.0000")]
    for name, rows in (("before", whole[:800]), ("now", [*whole[800:1300], *partial])):
        (folder / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    page = folder / "drift.html"
    samples = ["--ref", str(folder / "before.csv"), "--cur", str(folder / "now.csv"), "--mix", "plan"]
    assert drift.main([*samples, "--out", str(folder / "report.json"), "--html", str(page)]) in (0, 1)
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def backtest_page(tmp_path_factory: pytest.TempPathFactory, trained: TrainedModel) -> str:
    """The page of a backtest of the advice."""
    page = tmp_path_factory.mktemp("backtest") / "backtest.html"
    months = ["--input", str(ROOT / "subscriber_months.csv"), "--model", trained.tag]
    assert advise.main([*months, "--backtest", "--report", str(page)]) == 0
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def looks(
    tmp_path_factory: pytest.TempPathFactory, trained: TrainedModel, drift_page: str, mix_page: str, backtest_page: str
) -> dict[str, Any]:
    """What the browser measured of the pages at both widths, and of a page with a table that cannot scroll."""
    report = (trained.artifacts / "report.html").read_text(encoding="utf-8")
    pages = {"report": report, "drift": drift_page, "mix": mix_page, "backtest": backtest_page}
    shown = {f"{name} {width}": (page, width) for name, page in pages.items() for width in WIDTHS}
    wide = "<style>table { display: table !important; max-width: none !important }</style></head>"
    shown["control 390"] = (pages["report"].replace("</head>", wide), 390)
    return measured(shown, tmp_path_factory.mktemp("browser"))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["report", "drift", "mix", "backtest"])
def test_a_page_fits_its_screen_and_can_be_read(looks: dict[str, Any], name: str, width: int) -> None:
    look = looks[f"{name} {width}"]
    assert look["width"] == width  # so that the page itself does not scroll sideways
    assert min(look["scales"]) >= MIN_PICTURE_SCALE
    assert look["smallest"] >= 12
    assert (look["color"], look["background"]) == ("rgb(34, 34, 34)", "rgb(255, 255, 255)")
    assert re.fullmatch("H1( H2)+", look["headings"])
    assert look["described"]
    assert look["links"] == 0  # links of the navigation that lead nowhere


def test_on_a_screen_nothing_scrolls_sideways_and_on_a_phone_what_is_wide_does(looks: dict[str, Any]) -> None:
    for name in ("report", "drift", "mix", "backtest"):
        assert looks[f"{name} 1100"]["scrolling"] == 0
        assert looks[f"{name} 390"]["scrolling"] > 0


def test_the_drift_page_says_the_verdict_on_the_first_screen_and_its_pictures_fit_a_phone(
    looks: dict[str, Any],
) -> None:
    assert looks["drift 390"]["scrollingPictures"] == looks["mix 390"]["scrollingPictures"] == 0
    for name in ("drift", "mix"):
        assert looks[f"{name} 1100"]["verdict"] < 800  # the height of the window


def test_the_control_is_wider_than_its_screen(looks: dict[str, Any]) -> None:
    assert looks["control 390"]["width"] > 390


def test_phones_are_told_that_the_pages_are_made_for_them(trained: TrainedModel, drift_page: str) -> None:
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    assert viewport in (trained.artifacts / "report.html").read_text(encoding="utf-8")
    assert viewport in drift_page
