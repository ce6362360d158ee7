"""docs/benchmark.md, written from the results of a run, and the key figures that README.md repeats from it."""

import math
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from benchmark import measure
from benchmark.contenders import ASGI, BASE, SERVICE, TITLES
from benchmark.measure import Details, OpenLoop, Round, Scaling, Spread

BEGIN: Final = "<!-- key figures of the benchmark, written by `make benchmark` -->"
END: Final = "<!-- end of the key figures -->"

SECTIONS: Final = ("files", "warehouse")
"""Sections that are measured and written by programs of their own, which have these names."""

KEY_ROWS: Final = (BASE, "fastapi-loaded-once", "fastapi-loaded-per-request", SERVICE)

MIN_RATE_RATIO: Final = 6
MIN_ASGI_RATIO: Final = 1.4
MAX_ASGI_P99_RATIO: Final = 1.0
MIN_EXPLAIN_RATIO: Final = 0.9
MIN_ADVISE_RATIO: Final = 0.6
MIN_BATCH_ROWS_RATIO: Final = 118
"""600,000 rows/s on the machine where FastAPI's constant answer comes 5,100 times a second."""
MIN_BATCH_RATIO: Final = 10
MAX_BESIDE_MS: Final = 20
MIN_SCALING: Final = 1.85
MAX_MIB: Final = 100
MAX_READY_SECONDS: Final = 3
MAX_FIRST_RATIO: Final = 2
MAX_OPEN_MS: Final = 5

NOT_MEASURED: Final = "not measured"


@dataclass(frozen=True)
class Conditions:
    """The conditions of a run."""

    date: str
    commit: str
    processor: str
    cores: int
    kernel: str
    pinned: bool
    model: str
    estimator: str
    versions: dict[str, str]
    rounds: int
    seconds: float


@dataclass(frozen=True)
class Results:
    """Everything that a run has measured."""

    conditions: Conditions
    rounds: dict[str, list[Round] | None]
    """By contender; None: it is not installed. A contender that `--only` left out has no entry."""
    details: list[Details]
    scaling: list[Scaling]
    """Empty if the machine has fewer than two cores."""
    open_loop: OpenLoop


@dataclass(frozen=True)
class Finding:
    """A figure of the service, and its goal."""

    what: str
    measured: str
    goal: str
    kept: bool | None
    """None: it was not measured."""


def write_page(results: Results) -> str:
    """Write docs/benchmark.md as Markdown."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(["html.j2"]),  # not Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("benchmark.md.j2").render(
        m=measure,
        begin=BEGIN,
        end=END,
        conditions=results.conditions,
        key_figures=_key_figures(results),
        comparison=_comparison(results),
        findings=_findings(results),
        conditions_table=_conditions(results.conditions),
    )


def with_section(page: str, name: str, section: str) -> str:
    """Put one of `SECTIONS` into the page, in the place of the one that is there, or at its end."""
    begin, end = _marks(name)
    written = f"{begin}\n{section}{end}\n"
    before = section_of(page, name)
    if before:
        return page.replace(before, written)
    return f"{page.rstrip()}\n\n{written}" if page else written


def section_of(page: str, name: str) -> str:
    """Give one of `SECTIONS` of a page, with its marks; empty if the page has none."""
    marks = _marks(name)
    begin, end = map(page.find, marks)
    return page[begin : end + len(marks[1]) + 1] if 0 <= begin < end else ""


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}, written by `python -m benchmark.{name}` -->", f"<!-- end of {name} -->"


def findings(results: Results) -> list[Finding]:
    """Compare the measurements of the service with its goals; the last finding counts failed requests."""
    service, base = _rounds(results, SERVICE), _rounds(results, BASE)
    details, scaling, open_loop = results.details, results.scaling, results.open_loop
    rate, p99, base_rate = _spread(service, _rate), _spread(service, _p99), _spread(base, _rate)
    asgi = results.rounds.get(ASGI)
    batch = Spread.of([each.batch_rows for each in details])
    batch_ratio = batch.median / Spread.of([each.single_rows for each in details]).median
    alone = Spread.of([each.alone_p99_ms for each in details])
    beside = Spread.of([each.beside_p99_ms for each in details])
    worker = Spread.of([each.worker_mib for each in details])
    ready = _spread(service, lambda each: each.start.ready_seconds)
    first = _spread(service, lambda each: each.start.first_ms)
    steady = _spread(service, lambda each: each.start.steady_ms)
    first_ratio = _spread(service, lambda each: each.start.first_ms / each.start.steady_ms)
    failed = (
        sum(each.load.failed for each in service) + sum(each.failed for each in details)
        + sum(each.failed for each in scaling) + open_loop.failed
    )  # fmt: skip
    return [
        _at_least(
            "requests/s, as a multiple of FastAPI's with a constant answer", rate.median, base_rate.median,
            MIN_RATE_RATIO,
        ),
        *_beside_asgi(asgi, rate, p99, details),
        _at_least(
            f"`/predict_batch`, {measure.BATCH_ROWS:,} rows a body: rows/s ({_thousands(batch)}), as a multiple of "
            "FastAPI's requests/s",
            batch.median, base_rate.median, MIN_BATCH_ROWS_RATIO,
        ),
        Finding(
            f"the same, as a multiple of the rows/s of {measure.BATCH_ROWS:,} single requests",
            f"{batch_ratio:.1f}", f"≥ {MIN_BATCH_RATIO}", batch_ratio >= MIN_BATCH_RATIO,
        ),
        Finding(
            f"p99 of single predictions beside batches of {measure.LARGE_BATCH_ROWS:,} rows",
            f"{_ms(beside)} (without batches {_ms(alone)})", f"< {MAX_BESIDE_MS} ms", beside.median < MAX_BESIDE_MS,
        ),
        _scaling(scaling),
        Finding(
            "resident memory of a worker",
            f"{_with_range(worker, lambda value: f'{value:.0f}')} MiB", f"≤ {MAX_MIB} MiB", worker.median <= MAX_MIB,
        ),
        Finding(
            "from the start of `bentoml serve` until ready",
            f"{_with_range(ready, lambda value: f'{value:.1f}')} s", f"≤ {MAX_READY_SECONDS} s",
            ready.median <= MAX_READY_SECONDS,
        ),
        Finding(
            "first request after that, as a multiple of the steady median",
            f"{_with_range(first_ratio, lambda value: f'{value:.2f}')}; "
            f"{_figure(first.median)} ms to {_figure(steady.median)} ms",
            f"≤ {MAX_FIRST_RATIO}", first_ratio.median <= MAX_FIRST_RATIO,
        ),
        Finding(
            f"open loop, {open_loop.rate:,.0f} requests/s for {open_loop.seconds:g} s: p99",
            f"{_figure(open_loop.p99_ms)} ms (p50 {_figure(open_loop.p50_ms)} ms, largest "
            f"{_figure(open_loop.largest_ms)} ms; the generator's lag at p99 {_figure(open_loop.lag_p99_ms)} ms)",
            f"≤ {MAX_OPEN_MS} ms", open_loop.p99_ms <= MAX_OPEN_MS,
        ),
        Finding("requests that failed, in all of this", f"{failed:,}", "0", failed == 0),
    ]  # fmt: skip


def _at_least(what: str, value: float, unit: float, goal: float) -> Finding:
    return Finding(what, f"{value / unit:.2f}", f"≥ {goal:g}", value / unit >= goal)


def _beside_asgi(asgi: Sequence[Round] | None, rate: Spread, p99: Spread, details: Sequence[Details]) -> list[Finding]:
    """Compare with the constant ASGI application, if that was measured."""
    if not asgi:
        return []
    unit, least = _spread(asgi, _rate).median, _spread(asgi, _p99).median
    explain = Spread.of([each.explain_rate for each in details])
    advise = Spread.of([each.advise_rate for each in details])
    ratio = p99.median / least
    return [
        _at_least("requests/s, as a multiple of the constant ASGI application's", rate.median, unit, MIN_ASGI_RATIO),
        Finding(
            "p99, as a multiple of the constant ASGI application's", f"{ratio:.2f}", f"≤ {MAX_ASGI_P99_RATIO:g}",
            ratio <= MAX_ASGI_P99_RATIO,
        ),
        _at_least(
            f"`/explain`, requests/s ({_thousands(explain)}), as a multiple of it", explain.median, unit,
            MIN_EXPLAIN_RATIO,
        ),
        _at_least(
            f"`/advise` with {measure.ADVISE_MONTHS} months, requests/s ({_thousands(advise)}), as a multiple of it",
            advise.median, unit, MIN_ADVISE_RATIO,
        ),
    ]  # fmt: skip


def key_figures(text: str) -> str:
    """Give the text between the two marks of a document, without the marks; empty if it has none."""
    found = re.search(f"{re.escape(BEGIN)}\n(.*?){re.escape(END)}", text, re.DOTALL)
    return found[1] if found else ""


def with_key_figures(text: str, figures: str) -> str:
    """Replace the text between the two marks of a document; one without marks stays as it is."""
    pattern = f"{re.escape(BEGIN)}\n.*?{re.escape(END)}"
    return re.sub(pattern, lambda _: f"{BEGIN}\n{figures}{END}", text, count=1, flags=re.DOTALL)


def _key_figures(results: Results) -> str:
    conditions, open_loop = results.conditions, results.open_loop
    rows = []
    for name in KEY_ROWS:
        if rounds := results.rounds.get(name):
            rate, p50, p99 = _spread(rounds, _rate), _spread(rounds, _p50), _spread(rounds, _p99)
            rows.append([TITLES[name], f"{rate.median:,.0f}", f"{_figure(p50.median)} ms", f"{_figure(p99.median)} ms"])
    batch = Spread.of([each.batch_rows for each in results.details])
    workers = ""
    if results.scaling:
        factor = f"{_scaling_factor(results.scaling):.2f}"
        workers = f"On two cores shared with the load, two workers answer {factor} times as much as one on one core. "
    pinned = ", one core for the server and another for the load" if conditions.pinned else ""
    sentences = (
        f"`/predict_batch` answers {batch.median:,.0f} rows/s. {workers}Of {open_loop.rate:,.0f} requests/s at the "
        f"times of a Poisson process, for {open_loop.seconds:g} s, the p99 is {_figure(open_loop.p99_ms)} ms and "
        f"{open_loop.failed:,} failed. Measured on {conditions.date} at commit {conditions.commit} on "
        f"{conditions.processor}, {measure.CONNECTIONS} connections{pinned}; compare ratios only."
    )
    return _table(["`POST /predict`, one worker", "requests/s", "p50", "p99"], rows) + (
        f"\n{textwrap.fill(sentences, 120, break_on_hyphens=False)}\n"
    )


def _comparison(results: Results) -> str:
    base_rate, base_p99 = (_spread(_rounds(results, BASE), value).median for value in (_rate, _p99))
    rows = []
    for name, rounds in results.rounds.items():
        if rounds is None:
            rows.append([TITLES[name], "not installed", *[""] * 7])
            continue
        rate, p99 = _spread(rounds, _rate), _spread(rounds, _p99)
        rows.append(
            [
                TITLES[name], _thousands(rate), f"{rate.median / base_rate:.2f}",
                _ms(_spread(rounds, _p50)), _ms(p99), f"{p99.median / base_p99:.2f}",
                f"{sum(each.load.failed for each in rounds):,}",
                f"{_spread(rounds, lambda each: each.start.ready_seconds).median:.1f} s",
                f"{_spread(rounds, lambda each: each.load.generator_busy).median:.0%}",
            ]
        )  # fmt: skip
    header = [
        "`POST /predict`, one worker", "requests/s", "times FastAPI", "p50", "p99", "times FastAPI", "failed",
        "ready after", "generator",
    ]  # fmt: skip
    return _table(header, rows)


def _findings(results: Results) -> str:
    verdicts = {True: "kept", False: "missed", None: NOT_MEASURED}
    rows = [[each.what, each.measured, each.goal, verdicts[each.kept]] for each in findings(results)]
    return _table(["what", "measured", "goal", ""], rows)


def _scaling(scaling: Sequence[Scaling]) -> Finding:
    what, goal = "requests/s of two workers on two cores, as a multiple of one on one", f"≥ {MIN_SCALING}"
    if not scaling:
        return Finding(what, f"{NOT_MEASURED}: it takes two cores", goal, None)
    factor = _scaling_factor(scaling)
    one, two = Spread.of([each.one for each in scaling]), Spread.of([each.two for each in scaling])
    return Finding(what, f"{factor:.2f}; {_thousands(two)} to {_thousands(one)}", goal, factor >= MIN_SCALING)


def _scaling_factor(scaling: Sequence[Scaling]) -> float:
    return Spread.of([each.two for each in scaling]).median / Spread.of([each.one for each in scaling]).median


def _conditions(conditions: Conditions) -> str:
    rows = [
        ["date", conditions.date],
        ["commit", conditions.commit],
        ["processor", f"{conditions.processor}, {conditions.cores} cores"],
        ["kernel", conditions.kernel],
        ["model", f"`{conditions.model}`, {conditions.estimator}"],
        *([name, version] for name, version in conditions.versions.items()),
    ]
    return _table(["", ""], rows)


def _rounds(results: Results, name: str) -> list[Round]:
    rounds = results.rounds[name]
    assert rounds, f"{name} is always measured"
    return rounds


def _spread(rounds: Sequence[Round], value: Callable[[Round], float]) -> Spread:
    return Spread.of([value(each) for each in rounds])


def _rate(each: Round) -> float:
    return each.load.rate


def _p50(each: Round) -> float:
    return each.load.p50_ms


def _p99(each: Round) -> float:
    return each.load.p99_ms


def _thousands(spread: Spread) -> str:
    return _with_range(spread, lambda value: f"{value:,.0f}")


def _ms(spread: Spread) -> str:
    return f"{_with_range(spread, _figure)} ms"


def _with_range(spread: Spread, write: Callable[[float], str]) -> str:
    return f"{write(spread.median)} ({write(spread.low)}-{write(spread.high)})"


def _figure(value: float) -> str:
    """Write a number with three significant digits, and with all digits before the point."""
    digits = 2 if value <= 0 or math.isnan(value) else max(2 - math.floor(math.log10(value)), 0)
    return f"{value:,.{digits}f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
