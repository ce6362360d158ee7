"""The table of advice: exact amounts, and for every subscriber what the adviser said."""

import csv
import io
from decimal import Decimal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from plan_recommender.advising.advice_table import ManyAdviceTable, with_group
from plan_recommender.advising.arrays import binary
from plan_recommender.billing.advice import AdvicePolicy, Adviser
from plan_recommender.billing.advice_many import ManyAdvice, ManyAdviser
from plan_recommender.billing.forecast import Month
from plan_recommender.billing.tariffs import Tariffs, load_tariffs
from plan_recommender.billing.wording import sentence
from plan_recommender.campaign.export import COLUMNS as CONTACT_COLUMNS
from plan_recommender.data.advice_table import AdviceTable, exact_amount
from plan_recommender.data.csv_file import write_rows
from plan_recommender.model.languages import LANGUAGES, Language
from tests.billing.test_advice_many import asked, drawn
from tests.made_up_months import POLICY, adviser, habits, tariffs
from tools.server import ROOT

HEAVY = [Month(60, 420.5, 30, 40_000.25, 450.0)] * 3


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [(123450, 2, "1234.50"), (-5, 2, "-0.05"), (0, 2, "0.00"), (0, 0, "0"), (-7, 0, "-7"), (10**15 + 1, 4,
      "100000000000.0001"), (-100, 2, "-1.00")],
)  # fmt: skip
def test_an_amount_is_written_exactly(units: int, decimals: int, text: str) -> None:
    assert exact_amount(units, decimals) == text
    assert exact_amount(units, decimals, ",") == text.replace(".", ",")


@given(units=st.integers(-(10**15), 10**15), decimals=st.integers(0, 4))
def test_an_amount_reads_back_as_the_same(units: int, decimals: int) -> None:
    assert Decimal(exact_amount(units, decimals)) == Decimal(units).scaleb(-decimals)


def table_of(
    adviser: Adviser, decimal: str = ".", sep: str = ",", language: Language = "en", *, with_groups: bool = False
) -> ManyAdviceTable:
    return ManyAdviceTable(adviser, language, sep, decimal, with_groups=with_groups)


def many(adviser: Adviser, held: int | None, months: list[Month]) -> ManyAdvice:
    return ManyAdviser(adviser).advise(*asked([(held, months)]))


def row(table: ManyAdviceTable, advice: ManyAdvice, sep: str = ",") -> list[str]:
    (line,) = table.lines(binary(["Zoë".encode()]), advice)
    (cells,) = csv.reader([line], delimiter=sep)
    return cells


def named(held: int | None, months: list[Month] = HEAVY, decimal: str = ".") -> dict[str, str]:
    table = table_of(adviser(), decimal, ";")
    return dict(zip(table.columns, row(table, many(adviser(), held, months), ";"), strict=True))


def test_the_columns_are_those_of_the_contract() -> None:
    assert table_of(adviser()).columns == [
        "subscriber", "plan", "advice", "advised_plan", "expected_saving", "saving_low", "saving_high", "p_saves",
        "last_smart", "expected_smart", "low_smart", "high_smart",
        "last_ultra", "expected_ultra", "low_ultra", "high_ultra",
        "estimated_minutes", "months", "reason",
    ]  # fmt: skip


def test_the_reason_is_in_the_language_that_is_asked_for() -> None:
    advice = adviser().advise(0, HEAVY)
    english, spanish = (row(table_of(adviser(), language=each), many(adviser(), 0, HEAVY)) for each in LANGUAGES)
    assert english[:-1] == spanish[:-1]
    assert english[-1].startswith("Switch from Smart to Ultra: ")
    assert spanish[-1] == sentence(advice, tariffs(), POLICY, "es")


def test_no_plan_has_a_column_that_is_about_something_else() -> None:
    """Of a plan called `Saving`, `expected_saving` would be there twice, and no later command could read the file."""
    columns = [*table_of(adviser(), with_groups=True).columns, *CONTACT_COLUMNS]
    about_no_plan = [name for name in columns if not name.endswith(("_smart", "_ultra"))]
    taken = {
        name.removeprefix(f"{what}_")
        for name in about_no_plan
        for what in ("last", "expected", "low", "high")
        if name.startswith(f"{what}_")
    }
    assert taken == {"saving"}
    document = yaml.safe_load((ROOT / "tariffs.yaml").read_text())
    for name in taken:
        for written in (name, name.upper(), name.title()):
            document["plans"][0]["name"] = written
            with pytest.raises(ValidationError, match=f"expected another name, .* found {written}"):
                Tariffs.model_validate(document)
    document["plans"][0]["name"] = "Savings"
    other = Adviser(Tariffs.model_validate(document), habits(), POLICY)
    assert len(set(table_of(other).columns)) == len(columns) - len([*CONTACT_COLUMNS, "group"])


@pytest.mark.parametrize("held", [0, 1, None])
def test_a_row_says_what_the_adviser_said(held: int | None) -> None:
    advice = adviser().advise(held, HEAVY)
    row = named(held)
    assert row["subscriber"] == "Zoë"
    assert (row["plan"], row["advice"]) == (("Smart", "switch"), ("Ultra", "keep"), ("", "choose"))[
        2 if held is None else held
    ]
    assert row["advised_plan"] == "Ultra"
    names = ("expected_saving", "saving_low", "saving_high")
    assert [Decimal(row[name]) * 100 for name in names] == list(advice.saving[:3])
    assert float(row["p_saves"]) == advice.saving.p_saves
    for i, plan in enumerate(("smart", "ultra")):
        amounts = [Decimal(row[f"{what}_{plan}"]) * 100 for what in ("last", "expected", "low", "high")]
        assert amounts == [advice.last_bills[i].total, *advice.plans[i]]
    # 40,000.25 MB are begun gigabytes: 40, of which Smart includes 15 and Ultra 30.
    assert (row["last_smart"], row["last_ultra"]) == ("5550.00", "3450.00")
    assert (row["estimated_minutes"], row["months"]) == ("no", "3")
    assert row["reason"] == sentence(advice, tariffs(), POLICY)


def test_with_decimal_commas_every_number_has_one_and_the_sentence_stays() -> None:
    point, comma = named(0), named(0, decimal=",")
    numbers = [name for name in point if name.startswith(("last", "expected", "low", "high", "saving", "p_"))]
    assert all("," in comma[name] for name in numbers if "." in point[name])
    assert {name: cell.replace(",", ".") if name in numbers else cell for name, cell in comma.items()} == point


def test_an_estimate_is_told() -> None:
    assert named(0, [Month(60, 420.5, 30, 40_000.25)])["estimated_minutes"] == "yes"


def test_another_currency_has_its_own_plans_and_decimals() -> None:
    dollars = Adviser(load_tariffs(ROOT / "examples" / "tariffs_usd.yaml"), habits(), AdvicePolicy())
    table = table_of(dollars)
    cells = dict(zip(table.columns, row(table, many(dollars, None, HEAVY)), strict=True))
    assert cells["last_surf"] == "270.00"
    assert cells["last_ultimate"] == "140.00"


def test_in_a_campaign_the_last_column_is_the_group() -> None:
    advice = many(adviser(), 0, HEAVY)
    table, plain = table_of(adviser(), with_groups=True), table_of(adviser())
    assert table.columns == [*plain.columns, "group"]
    for name in ("Zoë", "a\rb", ""):
        (line,), (bare,) = (each.lines(binary([name.encode()]), advice) for each in (table, plain))
        (cells,) = csv.reader(io.StringIO(bare, newline=""))
        for group in ("control", ""):
            assert list(csv.reader(io.StringIO(with_group(line, group), newline=""))) == [[*cells, group]]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("sep", "decimal"), [(",", "."), (";", ","), ("\t", ".")])
def test_the_lines_of_many_are_those_of_each(language: Language, sep: str, decimal: str) -> None:
    subscribers = drawn(300, 2, seed=9)
    odd = ('say "x"', f"a{sep}b", "two\nlines", "a\rb")
    names = [odd[i % 4] if i % 7 == 0 else str(i) for i in range(len(subscribers))]
    lines = table_of(adviser(), decimal, sep, language).lines(
        binary([name.encode() for name in names]), ManyAdviser(adviser()).advise(*asked(subscribers))
    )
    rows = AdviceTable(tariffs(), POLICY, decimal, language=language)
    for name, (held, months), line in zip(names, subscribers, lines, strict=True):
        expected = io.StringIO(newline="")
        write_rows(expected, [rows.row(name, adviser().advise(held, months))], sep)
        assert line == expected.getvalue()
