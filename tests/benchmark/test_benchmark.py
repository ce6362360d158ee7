"""`make benchmark`: a very short run of all of it against real servers, and what its page makes of the figures."""

import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psutil
import pytest
from pydantic_core import to_json

from benchmark.contenders import ASGI, BASE, SERVICE, TITLES, versions
from benchmark.measure import Details, Load, OpenLoop, Round, Scaling, Spread, Start, WrongAnswerError, check
from benchmark.page import BEGIN, END, Conditions, Results, findings, key_figures, with_key_figures, write_page
from plan_recommender.errors import MissingLibraryError
from plan_recommender.serving.schemas import Recommendation
from tests.conftest import GOOD, run
from tools.readme_es import spanish_figures
from tools.server import ROOT, free_port, running

pytestmark = pytest.mark.slow

COMPARED = ["constant-asgi", BASE, SERVICE]
FIRST_COLUMN = "`POST /predict`, one worker"
TABLE_COLUMNS = 9
VERDICTS = {"kept", "missed", "not measured"}


@dataclass(frozen=True)
class Run:
    """A finished run of the whole program."""

    code: int
    output: str
    page: str
    left_behind: list[psutil.Process]

    def table(self, columns: int) -> list[list[str]]:
        """The lines of the tables with so many columns, without their headers."""
        return table(self.page, columns)


def table(page: str, columns: int) -> list[list[str]]:
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    of_this_width = [line for line in lines if len(line) == columns]
    rule = of_this_width.index(["---"] * columns)
    return of_this_width[rule + 1 :]


def number(cell: str) -> float:
    """The first number of a cell."""
    found = re.search(r"[0-9][0-9,]*(?:\.[0-9]+)?", cell)
    assert found, cell
    return float(found[0].replace(",", ""))


@pytest.fixture(scope="module")
def short_run(trained_tag: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("benchmark") / "page.md"
    before = psutil.pids()
    ran = run(
        *("-m", "benchmark.serving", "--only", "constant-asgi", "--seconds", "0.3", "--rounds", "1"),
        *("--rate", "200", "--open-seconds", "2", "--out", out),
    )
    assert ran.returncode in (0, 1), ran.stderr
    return Run(ran.returncode, ran.stdout, out.read_text(), [p for p in ours() if p.pid not in before])


def ours() -> Iterator[psutil.Process]:
    """Processes that use the model store of these tests."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("BENTOML_HOME") == os.environ["BENTOML_HOME"]:
                yield process


def test_the_comparison_is_complete_and_its_figures_agree(short_run: Run) -> None:
    rows = {row[0]: row[1:] for row in short_run.table(TABLE_COLUMNS)}
    assert list(rows) == [TITLES[name] for name in COMPARED]
    base_rate, _, _, base_p99, *_ = map(number, rows[TITLES[BASE]][:4])
    for rate, rate_ratio, p50, p99, p99_ratio, failed, ready, generator in rows.values():
        # Figures are written with three digits: 10.1 stands for anything from 10.05 on.
        assert number(rate_ratio) == pytest.approx(number(rate) / base_rate, rel=0.006, abs=0.006)
        assert number(p99_ratio) == pytest.approx(number(p99) / base_p99, rel=0.02, abs=0.006)
        assert 0 < number(p50) <= number(p99)
        assert number(rate) > 10
        assert failed == "0"
        assert 0.2 < number(ready) < 30
        assert 0 < number(generator) < 110


def test_every_goal_has_a_verdict_and_the_exit_code_is_theirs(short_run: Run) -> None:
    rows = short_run.table(4)
    goals = rows[-14:]
    assert {verdict for *_, verdict in goals} <= VERDICTS
    assert short_run.code == int("missed" in {verdict for *_, verdict in goals})
    figures = {what: measured for what, measured, *_ in goals}
    assert figures["requests that failed, in all of this"] == "0"
    (open_loop,) = (measured for what, measured in figures.items() if "200 requests/s for 2 s" in what)
    p99, p50, largest, lag = (float(figure) for figure in re.findall(r"([0-9.]+) ms", open_loop))
    assert 0 < p50 <= p99 <= largest
    assert lag >= 0
    compared = {row[0]: row[1:] for row in short_run.table(TABLE_COLUMNS)}
    service, asgi = compared[TITLES[SERVICE]], compared[TITLES[ASGI]]
    assert figures["requests/s, as a multiple of FastAPI's with a constant answer"] == service[1]
    for what, column in (("requests/s", 0), ("p99", 3)):
        ratio = number(figures[f"{what}, as a multiple of the constant ASGI application's"])
        assert ratio == pytest.approx(number(service[column]) / number(asgi[column]), rel=0.02, abs=0.01)


def test_the_key_figures_are_those_of_the_tables(short_run: Run) -> None:
    rows = {row[0]: row[1:] for row in short_run.table(TABLE_COLUMNS)}
    quoted = table(key_figures(short_run.page), 4)
    assert [name for name, *_ in quoted] == [TITLES[BASE], TITLES[SERVICE]]
    for name, *figures in quoted:
        rate, _, p50, p99, *_ = rows[name]
        assert [number(figure) for figure in figures] == [number(rate), number(p50), number(p99)]


def test_the_conditions_name_what_was_measured(short_run: Run, trained_tag: str) -> None:
    conditions = dict(short_run.table(2))
    assert trained_tag in conditions["model"]
    named = {"date", "commit", "processor", "kernel", "python", "bentoml", "fastapi", "uvicorn", "pydantic"}
    assert named <= conditions.keys()
    assert {"scikit-learn", "litserve", "mlserver"} <= conditions.keys()
    assert all(conditions.values())


def test_no_server_is_left_behind(short_run: Run) -> None:
    assert not short_run.left_behind


def test_an_interpreter_without_mlserver_is_named() -> None:
    python = Path(sys.executable)
    with pytest.raises(MissingLibraryError, match=f"^{python}: expected a Python interpreter with MLServer"):
        versions(python)


def fabricated(rate: float, p99_ms: float, failed: int = 0) -> list[Round]:
    """Three rounds, of which the second is the median."""
    return [
        Round(Start(2.0, 0.5, 0.4), Load(rate * factor, p99_ms / 2, p99_ms * factor, failed, 0.2))
        for factor in (1.5, 1.0, 0.5)
    ]


@pytest.fixture
def results() -> Results:
    """Of a machine with one core, without MLServer, where every goal that can be measured is kept."""
    versions = {"python": "3.11"}
    return Results(
        Conditions("2026-01-01", "abc", "a processor", 1, "a kernel", False, "tag", "trees", versions, 3, 5.0),
        {
            ASGI: fabricated(20_000, 2.0), BASE: fabricated(5000, 4.0), "mlserver": None,
            SERVICE: fabricated(30_000, 2.0),
        },
        [Details(30_000, 19_000, 13_000, 600_000, 3.0, 19.0, 50_000, 0, 99.0, 110.0)],
        [],
        OpenLoop(5000.0, 60.0, 300_000, 1.0, 4.0, 9.0, 0.5, 0),
    )  # fmt: skip


def test_rounds_are_summed_up_by_their_median_and_range(results: Results) -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    _, base, mlserver, service = table(write_page(results), TABLE_COLUMNS)
    assert service[1:6] == ["30,000 (15,000-45,000)", "6.00", "1.00 (1.00-1.00) ms", "2.00 (1.00-3.00) ms", "0.50"]
    assert base[1:6] == ["5,000 (2,500-7,500)", "1.00", "2.00 (2.00-2.00) ms", "4.00 (2.00-6.00) ms", "1.00"]
    assert mlserver == [TITLES["mlserver"], "not installed", *[""] * 7]


def test_goals_are_kept_missed_or_not_measured(results: Results) -> None:
    assert [finding.kept for finding in findings(results)] == [True] * 8 + [None] + [True] * 5
    slower = replace(results, rounds=results.rounds | {SERVICE: fabricated(27_000, 2.1, failed=1)})
    assert [finding.kept for finding in findings(slower)] == [False] * 3 + [True] * 5 + [None] + [True] * 4 + [False]
    alone = replace(results, rounds={name: rounds for name, rounds in results.rounds.items() if name != ASGI})
    assert [finding.kept for finding in findings(alone)] == [True] * 4 + [None] + [True] * 5
    scaled = [replace(results, scaling=[Scaling(100, two, 0)]) for two in (184, 186)]
    assert [findings(each)[8].kept for each in scaled] == [False, True]
    nothing_answered = replace(results.open_loop, p99_ms=math.nan, failed=60_000)
    assert [finding.kept for finding in findings(replace(results, open_loop=nothing_answered))][-2:] == [False, False]


def test_key_figures_take_the_place_of_earlier_ones(results: Results) -> None:
    page = write_page(results)
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    renewed = with_key_figures(document, key_figures(page))
    assert key_figures(document) == "old\n"
    assert key_figures(renewed) == key_figures(page) != ""
    assert renewed.startswith(f"before\n{BEGIN}\n| ")
    assert renewed.endswith(f"{END}\nafter\n")
    assert key_figures("nothing marked") == ""


@pytest.mark.parametrize("scaling", [[], [Scaling(100, 173, 0)]])
@pytest.mark.parametrize("pinned", [False, True])
def test_whatever_key_figures_a_run_gives_are_translated(
    results: Results, scaling: list[Scaling], pinned: bool
) -> None:
    nothing_answered = replace(results.open_loop, p99_ms=math.nan, failed=60_000)
    conditions = replace(results.conditions, pinned=pinned)
    run = replace(results, scaling=scaling, conditions=conditions, open_loop=nothing_answered)
    spanish = spanish_figures(key_figures(write_page(run)))
    assert ("dos procesos responden a 1,73 veces lo que uno" in spanish.replace("\n", " ")) == bool(scaling)
    assert ("un núcleo para el servidor" in spanish.replace("\n", " ")) == pinned
    assert "el p99 es de nan ms y hubo 60\u202f000 fallos." in spanish.replace("\n", " ")
    assert "compare solo las proporciones." in spanish.replace("\n", " ")
    assert "| este servicio | " in spanish
    assert not re.search(r"requests|failed|answers|request\b", spanish)


ANSWER: Recommendation = {
    "prediction": 0,
    "probability_is_ultra": 0.25,
    "recommended_plan": "Smart",
    "model": "tag",
}


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Serve one answer to everything; gives the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def changed(**values: object) -> bytes:
    return to_json(ANSWER | values)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, changed()),
        (200, b"{}"),
        (200, changed(probability_is_ultra=0.25 + 1e-6)),
        (200, changed(recommended_plan="Ultra")),
        (200, changed(prediction=1)),
        (200, changed(model="another")),
    ],
    ids=["500", "no answer", "another probability", "another plan", "another prediction", "another model"],
)
def test_a_server_that_answers_wrongly_is_not_measured(status: int, body: bytes) -> None:
    with answering(status, body) as url, pytest.raises(WrongAnswerError, match=f"found {status} and"):
        check(url, GOOD, ANSWER)


def test_a_server_that_answers_rightly_is_measured() -> None:
    """The control of the test above; the pipeline's probability differs from the compiled one in the last digits."""
    body = changed(probability_is_ultra=0.25 + 1e-12)
    with answering(200, body) as url:
        assert check(url, GOOD, ANSWER) == body


PARENT = [sys.executable, "-m", "tests.programs.parent"]


def test_whatever_a_server_has_started_ends_with_it_also_when_something_fails() -> None:
    port = free_port()
    processes: list[psutil.Process] = []

    def fail() -> None:
        with running([*PARENT, str(port)], port, "/LICENSE") as server:
            parent = psutil.Process(server.process.pid)
            processes.extend([parent, *parent.children()])
            raise WrongAnswerError

    with pytest.raises(WrongAnswerError):
        fail()
    assert len(processes) == 2
    assert not psutil.wait_procs(processes, timeout=5)[1]


def test_a_child_outlives_a_server_that_is_only_told_to_end() -> None:
    """The control of the test above."""
    with subprocess.Popen([*PARENT, str(free_port())], cwd=ROOT) as parent:
        deadline = time.monotonic() + 10
        while not (children := psutil.Process(parent.pid).children()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        parent.terminate()
    assert children[0].is_running()
    children[0].kill()
