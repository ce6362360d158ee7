"""Files of tariffs: read exactly as they are written, or refused with one sentence that names the place."""

import copy
import hashlib
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from plan_recommender.billing.tariffs import (
    TARIFFS_VARIABLE,
    Tariffs,
    find_tariffs,
    load_tariffs,
    shipped_tariffs,
)
from plan_recommender.errors import ConfigError
from plan_recommender.serving.settings import variable
from tools.server import ROOT

SHIPPED = yaml.safe_load((ROOT / "tariffs.yaml").read_text())

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[[Change], str]:
    """What is said of the shipped tariffs after a change."""

    def refuse(change: Change) -> str:
        document = copy.deepcopy(SHIPPED)
        change(document)
        path = tmp_path / "tariffs.yaml"
        path.write_text(yaml.safe_dump(document))
        with pytest.raises(ConfigError) as caught:
            load_tariffs(path)
        return str(caught.value).removeprefix(f"{path}: ")

    return refuse


def test_amounts_are_what_is_written_and_not_the_nearest_double(tmp_path: Path) -> None:
    tariffs = load_tariffs(ROOT / "examples" / "tariffs_usd.yaml")
    surf = tariffs.plans[0]
    assert surf.beyond.minute == Decimal("0.03")
    assert [tariffs.units(surf.fee), tariffs.units(surf.beyond.minute)] == [2000, 3]
    assert [tariffs.amount(units) for units in (3, 2003, 10)] == [0.03, 20.03, 0.1]


def test_the_digest_is_of_what_the_file_says_and_not_of_how(tmp_path: Path) -> None:
    path, text = tmp_path / "tariffs.yaml", (ROOT / "tariffs.yaml").read_text()
    path.write_text("# a comment\n" + text.replace("fee: 550", "fee: 550.00"))
    assert load_tariffs(path).digest == load_tariffs(ROOT / "tariffs.yaml").digest
    path.write_text(text.replace("fee: 550", "fee: 551"))
    assert load_tariffs(path).digest != load_tariffs(ROOT / "tariffs.yaml").digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(currencey="RUB"), "currencey: Extra inputs are not permitted, found 'RUB'"),
        (lambda d: d.pop("currency"), "currency: Field required"),
        (lambda d: d.update(currency="roubles"), "currency: String should match pattern"),
        (lambda d: d.update(smallest_unit=0.05), "smallest_unit: expected 1, 0.1, 0.01, 0.001 or 0.0001"),
        (lambda d: d.update(valid_from="soon"), "valid_from: Input should be a valid date"),
        (lambda d: d.update(plans=[]), "plans: List should have at least 1 item"),
        (lambda d: d["plans"][0].update(fee=-1), "plans.0.fee: Input should be greater than or equal to 0, found"),
        (lambda d: d["plans"][0].update(fee="550"), "plans.0.fee: expected a number, not in quotes, found '550'"),
        (lambda d: d["plans"][0].update(fee=True), "plans.0.fee: expected a number, not in quotes, found True"),
        (lambda d: d["plans"][0].update(fee=float("nan")), "plans.0.fee: expected a number"),
        (lambda d: d["plans"][0].update(name="Smart "), "plans.0.name: String should match pattern"),
        (
            lambda d: d["plans"][0]["beyond"].update(minute=0.005),
            "Smart.beyond.minute: expected a whole number of 0.01, found 0.005",
        ),
        (
            lambda d: d["plans"][0]["included"].update(mb_used=15000),
            "Smart.included.mb_used: expected whole steps of 1024 MB (data.step_mb), found 15000",
        ),
        (
            lambda d: d["plans"][0].update(name="ultra"),
            "plans: expected different names, found ultra more than once",
        ),
        (
            lambda d: d["plans"][0].update(name="SaVing"),
            "plans.name: expected another name, because the column expected_saving of a table of advice is not about a "
            "plan, found SaVing",
        ),
        (
            lambda d: d["plans"][0]["beyond"].update(minute=10_000),
            "Smart: expected prices with which the bill of 1e+09",
        ),
        (lambda d: d["minutes"].update(call_share=1), "minutes.call_share: Input should be less than 1"),
        (lambda d: d["minutes"].update(rounding="second"), "minutes.rounding: Input should be 'call' or 'month'"),
        (lambda d: d["data"].update(step_mb=0), "data.step_mb: Input should be greater than or equal to 1, found 0"),
    ],
)
def test_what_is_wrong_is_named(refusal: Callable[[Change], str], change: Change, said: str) -> None:
    sentence = refusal(change)
    assert said in sentence
    assert sentence.endswith("; docs/tariffs.md describes every entry")


def test_every_command_finds_the_same_tariffs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TARIFFS_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    assert find_tariffs() == shipped_tariffs() == ROOT / "tariffs.yaml"
    (tmp_path / "tariffs.yaml").write_text("")
    assert find_tariffs() == Path("tariffs.yaml")
    monkeypatch.setenv(TARIFFS_VARIABLE, "/prices.yaml")  # the service's, so that file and service bill alike
    assert find_tariffs() == Path("/prices.yaml")
    assert variable("tariffs") == TARIFFS_VARIABLE


def test_a_date_in_quotes_is_the_same_date(tmp_path: Path) -> None:
    path, text = tmp_path / "tariffs.yaml", (ROOT / "tariffs.yaml").read_text()
    path.write_text(text.replace("valid_from: 2018-01-01", "valid_from: '2018-01-01'"))
    assert path.read_text() != text
    assert load_tariffs(path).digest == load_tariffs(ROOT / "tariffs.yaml").digest
    path.write_text(text.replace("valid_from: 2018-01-01", "valid_from: '2018-02-31'"))
    with pytest.raises(ConfigError, match="valid_from: day is out of range for month, found '2018-02-31'"):
        load_tariffs(path)


def test_an_error_begins_with_the_place_and_repeats_no_section(refusal: Callable[[Change], str]) -> None:
    def missing(document: dict[str, Any]) -> None:
        del document["currency"], document["plans"][0]["fee"]

    end = "; docs/tariffs.md describes every entry"
    assert refusal(missing) == f"currency: Field required; plans.0.fee: Field required{end}"
    unit = "smallest_unit: expected 1, 0.1, 0.01, 0.001 or 0.0001"
    assert refusal(lambda d: d.update(smallest_unit=0.05)) == f"{unit}, found 0.05{end}"
    assert refusal(lambda d: d["plans"][0].update(name="Saving")).startswith("plans.name: expected another name")
    assert refusal(lambda d: d.update(plans={"Smart": 1})).startswith("plans: Input should be a valid list, found {'Sm")


def test_the_digest_can_be_computed_by_anybody() -> None:
    """docs/tariffs.md says how."""
    tariffs = load_tariffs(ROOT / "tariffs.yaml")
    canonical = (
        '{"currency":"RUB","smallest_unit":"0.01","valid_from":"2018-01-01",'
        '"minutes":{"rounding":"call","call_share":"0.2"},"data":{"step_mb":1024},"plans":['
        '{"name":"Smart","fee":"550","included":{"minutes":500,"messages":50,"mb_used":15360},'
        '"beyond":{"minute":"3","message":"3","data_step":"200"}},'
        '{"name":"Ultra","fee":"1950","included":{"minutes":3000,"messages":1000,"mb_used":30720},'
        '"beyond":{"minute":"1","message":"1","data_step":"150"}}]}'
    )
    assert hashlib.sha256(canonical.encode()).hexdigest() == tariffs.digest
    assert canonical in (ROOT / "docs" / "tariffs.md").read_text()


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tariffs.yaml"
    with pytest.raises(ConfigError, match="expected a file of tariffs that can be read, found: No such file"):
        load_tariffs(path)
    path.write_text("currency: RUB\ncurrency: USD\n")
    with pytest.raises(ConfigError, match="expected YAML, found: currency more than once"):
        load_tariffs(path)


@pytest.mark.parametrize("text", ["secret-key-one\nsecret-key-two\n", "secret-key-one: a: b\n", "- secret-key-one\n"])
def test_a_file_of_keys_that_is_named_by_mistake_is_not_repeated(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(ConfigError) as error:
        load_tariffs(tmp_path / "keys")
    assert "secret" not in str(error.value)
    assert "expected" in str(error.value)


@pytest.mark.parametrize("fee", ["0550", "5:50", "5:50.5"])
def test_a_fee_that_yaml_takes_for_another_number_is_refused(tmp_path: Path, fee: str) -> None:
    path = tmp_path / "tariffs.yaml"
    path.write_text((ROOT / "tariffs.yaml").read_text().replace("fee: 550", f"fee: {fee}"))
    with pytest.raises(ConfigError, match=f"expected YAML, found: {fee} in line \\d+, which YAML takes for an? "):
        load_tariffs(path)


def test_every_entry_is_described() -> None:
    page = (ROOT / "docs" / "tariffs.md").read_text()
    described = re.findall(r"^\| `([a-z_.\[\]]+)` \|", page, re.M)
    assert described == list(_entries(Tariffs))


def _entries(part: Any, prefix: str = "") -> list[str]:
    found = []
    for name, field in part.model_fields.items():
        if name == "plans":
            found += _entries(field.annotation.__args__[0], "plans[].")
        elif hasattr(field.annotation, "model_fields"):
            found += _entries(field.annotation, f"{prefix}{name}.")
        else:
            assert field.description, name
            found.append(f"{prefix}{name}")
    return found
