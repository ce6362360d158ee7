"""The list for a CRM holds the contacts of a campaign and nobody else."""

import csv
from pathlib import Path

import pytest

from plan_recommender.campaign.export import COLUMNS, contact_list


def test_the_list_holds_contacts_and_neither_controls_nor_others(tmp_path: Path) -> None:
    path = tmp_path / "contacts.csv"
    with contact_list(path, "spring", "RUB") as contacts:
        contacts.add("contact", "ñ, 1", "Ultra", "Smart", "350.5", 'Switch from "Ultra" to Smart.')
        contacts.add("control", "2", "Ultra", "Smart", "300.0", "Switch.")
        contacts.add("", "3", "Smart", "Smart", "0.0", "Keep.")
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == COLUMNS
    assert rows == [["spring", "ñ, 1", "Ultra", "Smart", "350.5", "RUB", 'Switch from "Ultra" to Smart.']]


def test_a_list_that_fails_halfway_does_not_appear(tmp_path: Path) -> None:
    path = tmp_path / "contacts.csv"
    with pytest.raises(ZeroDivisionError):
        _write_half(path)
    assert list(tmp_path.iterdir()) == []


def _write_half(path: Path) -> None:
    with contact_list(path, "spring", "RUB") as contacts:
        contacts.add("contact", "1", "Ultra", "Smart", "350.5", "Switch.")
        contacts.add("contact", "2", "Ultra", "Smart", str(1 / 0), "Switch.")
