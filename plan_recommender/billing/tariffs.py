"""`tariffs.yaml` as a typed document: what each plan costs, in the smallest unit of the currency.

Everything that is computed with money is computed in whole numbers of that unit. The file holds amounts of the
currency, which have to be whole numbers of it.
"""

import datetime
import hashlib
import math
import os
import re
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from plan_recommender.errors import ConfigError
from plan_recommender.strict_yaml import problems, read_yaml

MAX_USAGE = 1e9
"""Largest number of calls, minutes, messages or megabytes of a month that is billed; nobody can use so much.

It keeps every sum far below the whole numbers that a double, and with it a JSON number, holds exactly.
"""

MIN_ACTIVE_SHARE = 0.01
"""Smallest share of a month's days that counts (0 to 1); a day is three times as much."""

TARIFFS_FILE = "tariffs.yaml"

TARIFFS_VARIABLE = "PLAN_RECOMMENDER_TARIFFS"
"""Environment variable that names the file of the tariffs in force, for the service and the commands."""

TARIFFS_DEFAULT = (
    f"the file that {TARIFFS_VARIABLE} names, otherwise {TARIFFS_FILE} in this folder or beside the command"
)
"""The default of an option `--tariffs`, for its help; `find_tariffs` finds it."""

_PROJECT = Path(__file__).parents[2]  # the folder of the command lines and of service.py

_MAX_BILL = 10**15
"""Largest bill (smallest units): every number of so many digits is the nearest double's shortest decimal."""

_DESCRIBED = "docs/tariffs.md describes every entry"
_MAX_DECIMALS = 4

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

_NO_NAMES = {"saving": "expected_saving"}
"""Names of plans, in lower case, whose columns a table of advice already has for something else."""


def _decimal(value: object) -> object:
    """Take a number of a YAML file as it is written there: 0.03 is three hundredths, not the nearest double."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        raise ValueError("expected a number, not in quotes")
    if isinstance(value, Decimal):
        return value
    amount = Decimal(repr(value))
    return amount if amount % 1 else Decimal(int(amount))  # 550.0 is 550, also for the digest


def _date(value: object) -> object:
    """Take a date in quotes, which YAML gives as text, for the date that it is."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        return datetime.date.fromisoformat(value)
    return value


_Amount = Annotated[Decimal, BeforeValidator(_decimal), Field(ge=0, le=10**9, allow_inf_nan=False)]
_Name = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^\w([\w +.-]*[\w+.])?$")]
_Count = Annotated[int, Field(ge=0, le=10**9)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Included(_Part):
    """What the fee of a plan includes each month."""

    minutes: _Count = Field(description="Billed minutes that the fee includes (minutes per month).")
    messages: _Count = Field(description="Messages that the fee includes (SMS per month).")
    mb_used: _Count = Field(description="Data that the fee includes (MB per month); a whole number of `data.step_mb`.")


class Beyond(_Part):
    """What costs extra beyond what is included."""

    minute: _Amount = Field(description="Price of one billed minute beyond those included (currency).")
    message: _Amount = Field(description="Price of one message beyond those included (currency).")
    data_step: _Amount = Field(
        description="Price of one step of data, begun or used up, beyond those included (currency)."
    )


class Plan(_Part):
    """One plan."""

    name: _Name = Field(description="Name of the plan, as tables and requests write it.")
    fee: _Amount = Field(description="Price of a month (currency).")
    included: Included
    beyond: Beyond


class MinutesRounding(_Part):
    """How call time becomes billed minutes."""

    rounding: Literal["call", "month"] = Field(
        description="`call`: each call is rounded up to a whole minute, so that the sum of a month does not say how "
        "many minutes are billed; `month`: the sum is rounded up."
    )
    call_share: Annotated[Decimal, BeforeValidator(_decimal), Field(ge=0, lt=1, max_digits=3, decimal_places=2)] = (
        Field(
            Decimal(0),
            description="With `call`, where billed minutes are not given: minutes that rounding adds for each call, on "
            "average (0 to 0.99 minutes, in hundredths).",
        )
    )


class DataRounding(_Part):
    """How data is billed: in steps, of which the last one of a month may be used in part."""

    step_mb: Annotated[int, Field(ge=1, le=10**6)] = Field(
        description="Size of a step, to which the sum of a month is rounded up (MB); 1024 is a gigabyte."
    )


class Tariffs(_Part):
    """All plans of an operator, and how usage is billed."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = Field(
        description="Currency of all amounts (ISO 4217 code)."
    )
    smallest_unit: Annotated[Decimal, BeforeValidator(_decimal)] = Field(
        description="Smallest amount that is billed: 1, 0.1, 0.01, 0.001 or 0.0001 (currency)."
    )
    valid_from: Annotated[datetime.date, BeforeValidator(_date)] = Field(
        description="First day on which these tariffs hold (YYYY-MM-DD)."
    )
    minutes: MinutesRounding
    data: DataRounding
    plans: Annotated[list[Plan], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _are_possible(self) -> Self:
        decimals = _decimals(self.smallest_unit)
        names = [plan.name.casefold() for plan in self.plans]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"plans: expected different names, found {', '.join(twice)} more than once")
        for plan in self.plans:
            if column := _NO_NAMES.get(plan.name.lower()):
                raise ValueError(
                    f"plans.name: expected another name, because the column {column} of a table of advice is not about "
                    f"a plan, found {plan.name}"
                )
            for what, amount in _amounts(plan).items():
                if amount.scaleb(decimals) % 1:
                    raise ValueError(
                        f"{plan.name}.{what}: expected a whole number of {self.smallest_unit}, found {amount}"
                    )
            if plan.included.mb_used % self.data.step_mb:
                raise ValueError(
                    f"{plan.name}.included.mb_used: expected whole steps of {self.data.step_mb} MB (data.step_mb), "
                    f"found {plan.included.mb_used}"
                )
            if _largest_bill(plan, self.data.step_mb).scaleb(decimals) > _MAX_BILL:
                raise ValueError(
                    f"{plan.name}: expected prices with which the bill of {MAX_USAGE:g} calls, minutes, messages and "
                    f"megabytes is at most {_MAX_BILL:g} times {self.smallest_unit}, found larger ones"
                )
        return self

    @cached_property
    def decimals(self) -> int:
        """Number of decimals of an amount."""
        return _decimals(self.smallest_unit)

    @property
    def rounds_calls(self) -> bool:
        """Whether each call is rounded up, so that the sum of the minutes does not say how many are billed."""
        return self.minutes.rounding == "call"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the plans, in the order of the file."""
        return tuple(plan.name for plan in self.plans)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the tariffs, in hexadecimal digits; comments and the order of keys do not change it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def numbers(self) -> dict[str, Any]:
        """Give what the file says, for JSON: amounts are numbers whose shortest decimal form is exact."""
        document: dict[str, Any] = _numbers(self.model_dump())
        return document

    def units(self, amount: Decimal) -> int:
        """Turn an amount of the currency into whole smallest units."""
        return int(amount.scaleb(self.decimals))

    def amount(self, units: int) -> float:
        """Turn smallest units into an amount; its shortest decimal form is exact."""
        return float(units / 10**self.decimals)


def shipped_tariffs() -> Path:
    """Give the path of the tariffs beside service.py, in a checkout as in a Bento."""
    return _PROJECT / TARIFFS_FILE


def find_tariffs() -> Path:
    """Find the tariffs that a command uses if no option names them.

    They are those that the environment variable names, otherwise those in the working directory, otherwise those beside
    the command.
    """
    named = os.environ.get(TARIFFS_VARIABLE)
    if named:
        return Path(named)
    here = Path(TARIFFS_FILE)
    return here if here.is_file() else shipped_tariffs()


def load_tariffs(path: Path) -> Tariffs:
    """Read and check a file of tariffs.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds an unknown, repeated or impossible entry.
    """
    document = read_yaml(path, "a file of tariffs")
    if not isinstance(document, dict):  # what was found is not told: a file of keys may have been named by mistake
        raise ConfigError(f"{path}: expected a name with its value in each line, found none; {_DESCRIBED}")
    try:
        return Tariffs.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{path}: {problems(error)}; {_DESCRIBED}") from error


def _decimals(smallest_unit: Decimal) -> int:
    for decimals in range(_MAX_DECIMALS + 1):
        if smallest_unit == Decimal(1).scaleb(-decimals):
            return decimals
    raise ValueError(f"smallest_unit: expected 1, 0.1, 0.01, 0.001 or 0.0001, found {smallest_unit}")


def _amounts(plan: Plan) -> dict[str, Decimal]:
    beyond = plan.beyond
    return {
        "fee": plan.fee,
        "beyond.minute": beyond.minute,
        "beyond.message": beyond.message,
        "beyond.data_step": beyond.data_step,
    }


def _largest_bill(plan: Plan, step_mb: int) -> Decimal:
    largest = Decimal(int(MAX_USAGE))
    beyond = plan.beyond
    # Billed minutes are at most the minutes and one for each call.
    return plan.fee + 2 * largest * beyond.minute + largest * beyond.message + largest * beyond.data_step / step_mb


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_numbers(inner) for inner in value]
    if isinstance(value, Decimal):
        return float(value) if value % 1 else int(value)
    return value.isoformat() if isinstance(value, datetime.date) else value
