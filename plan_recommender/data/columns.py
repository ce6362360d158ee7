"""Where the columns that are asked for stand in a table; an error says which other columns could be meant.

Columns under other names are suggested and never taken by themselves: `minutos` may be what is meant by `minutes`, or
the minutes of last year.
"""

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.cells import Row, has_decimal_comma, readable
from plan_recommender.data.table_options import map_option
from plan_recommender.errors import TableError
from plan_recommender.model.features import PLANS, TARGET

_NAMES_SHOWN = 10  # column names that an error lists
_NAME_SUGGESTED = 60  # characters of a name that is suggested, at most

_SEPARATED = {",": "comma-separated", ";": "semicolon-separated", "\t": "tab-separated", "|": "bar-separated"}
"""Separators that are recognised in a header, and what columns with them are called."""

_ALSO_CALLED = {
    "calls": "call n_calls number_of_calls call_count llamada llamadas n_llamadas num_llamadas numero_de_llamadas "
    "numero_llamadas cantidad_llamadas cantidad_de_llamadas total_llamadas llamadas_realizadas",
    "minutes": "minute min mins call_minutes total_minutes minutes_used minuto minutos minutos_llamadas "
    "minutos_de_llamadas minutos_llamada minutos_usados minutos_consumidos total_minutos",
    "messages": "message sms texts text_messages n_messages number_of_messages sms_sent mensaje mensajes n_mensajes "
    "num_mensajes numero_de_mensajes numero_mensajes cantidad_mensajes mensajes_enviados mensajes_texto "
    "mensajes_de_texto sms_enviados",
    "mb_used": "mb mbs megabytes mb_data data_mb used_mb megabytes_used mega megas megas_usados megas_consumidos "
    "datos datos_mb mb_datos datos_usados datos_moviles mb_usados mb_consumidos mb_usado megabytes_usados",
    TARGET: "ultra es_ultra isultra plan_ultra",
    "subscriber": "subscriber_id customer customer_id client client_id user user_id account account_id msisdn phone "
    "phone_number abonado id_abonado cliente id_cliente usuario id_usuario suscriptor linea telefono",
    "month": "period year_month yearmonth date mes periodo fecha",
    "plan": "tariff plan_held current_plan tarifa plan_actual plan_contratado",
    "billed_minutes": "minutes_billed billable_minutes charged_minutes minutos_facturados facturados minutos_cobrados",
    "active_share": "active share share_active active_days_share share_of_days activo proporcion_activa",
}
"""Other names of the columns in English and Spanish. None is in another unit: gigabytes are not mb_used."""


def find_columns(
    path: Path | str,
    header: Sequence[str],
    sample: Callable[[], list[Row]],
    columns: Sequence[str],
    format: TableFormat,
) -> list[int]:
    """Find columns by their names in the table; returns their positions in a row, counted from 0.

    Blanks around a name in the header are ignored.

    Args:
        path: of the file, or a name for it, for the error.
        header: the names in the file.
        sample: gives some rows, which help to say in an error what could be meant; otherwise it is not called.
        columns: the names to find.
        format: what the user said of the table.

    Raises:
        TableError: the header lacks one of them, or holds one more than once.
    """
    found = [name.strip() for name in header]
    missing = [name for name in columns if name not in found]
    if missing:
        raise TableError(f"{path}: {_missing(found, sample(), columns, missing, format)}")
    twice = [name for name in columns if found.count(name) > 1]
    if twice:
        raise TableError(f"{path}: expected each column once, found {', '.join(twice)} more than once")
    return [found.index(name) for name in columns]


def require_no_similar(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    """Refuse a table that seems to have a column that may be missing, under another name that is known.

    Raises:
        TableError: it has, and would be read without that column.
    """
    for name in columns:
        for column in (column.strip() for column in header):
            known = {_key(other) for other in (name, *_ALSO_CALLED.get(name, "").split())}
            if column not in columns and _key(column) in known:
                raise TableError(f"{path}: expected the column {name}, found {column}: pass {map_option(name, column)}")


def _missing(
    found: list[str], sample: Sequence[Row], columns: Sequence[str], missing: list[str], format: TableFormat
) -> str:
    """Say what is missing and what to do: another encoding, another separator, or columns to map."""
    if any("\udc80" <= character <= "\udcff" for name in found for character in name):
        return (
            "expected column names in UTF-8, found other bytes, as Latin-1 and Windows-1252 have them for letters such "
            "as ó: save the table as CSV UTF-8, or convert it with `iconv -f WINDOWS-1252 -t UTF-8`"
        )
    line = format.sep.join(found)
    for separator in _SEPARATED:
        header = _split(line, separator)
        better = _known(header, columns) > _known(found, columns) or len(found) == 1 < len(header)
        if separator == format.sep or not better:
            continue
        rows = [_split(format.sep.join(row), separator) for row in sample]
        options = ["--sep tab" if separator == "\t" else f"--sep '{separator}'"]
        if format.decimal == "." and any(has_decimal_comma(cell) for row in rows for cell in row):
            options.append("--decimal ','")
        options += _suggestions(header, rows, [name for name in columns if name not in header], format)
        expected = _SEPARATED.get(format.sep, f"{format.sep!r}-separated")
        shown = "tabs" if separator == "\t" else repr(separator)
        return f"expected {expected} columns, found a header with {shown}: pass {' '.join(options)}"
    shown = ", ".join(map(readable, found[:_NAMES_SHOWN])) + (", …" if len(found) > _NAMES_SHOWN else "")
    sentence = f"expected the columns {', '.join(columns)}; missing {', '.join(missing)}; found {shown}"
    suggested = _suggestions(found, sample, missing, format)
    return f"{sentence}; did you mean {' '.join(suggested)}?" if suggested else sentence


def _split(line: str, separator: str) -> list[str]:
    return [cell.strip().strip('"') for cell in line.split(separator)]


def _known(header: list[str], columns: Sequence[str]) -> int:
    """Count the columns that are asked for which a header has under their names, or under similar ones."""
    keys = {_key(name) for name in header}
    return sum(not keys.isdisjoint(_keys(name)) for name in columns)


def _suggestions(found: list[str], sample: Sequence[Row], missing: list[str], format: TableFormat) -> list[str]:
    """Write a `--map` for each missing column that another column of the table could be."""
    options = []
    expected = {format.column(name): name for name in format.names}
    free = [column for column in found if column not in expected and _can_be_suggested(column)]
    for column in missing:
        if column not in expected:
            continue  # it was asked for by its own name
        name = expected[column]
        similar = [other for key in [_key(column), *_keys(name)] for other in free if _key(other) == key]
        if name == TARGET:
            similar = [*(other for other in free if _holds_plans(found.index(other), sample)), *similar]
        if similar:
            options.append(map_option(name, similar[0]))
            free.remove(similar[0])
    return options


def _can_be_suggested(column: str) -> bool:
    return bool(column) and column.isprintable() and len(column) <= _NAME_SUGGESTED


def _holds_plans(position: int, sample: Sequence[Row]) -> bool:
    """Whether the cells of a column are names of plans; a few may be empty."""
    cells = [row[position].strip().lower() for row in sample if len(row) > position]
    names = [cell for cell in cells if cell]
    return bool(names) and {plan.lower() for plan in PLANS}.issuperset(names)


def _keys(name: str) -> list[str]:
    """Give the keys of what one of the expected columns is also called, its own first."""
    return [_key(other) for other in [name, *_ALSO_CALLED.get(name, "").split()]]


def _key(name: str) -> str:
    """Give what is alike in names that differ in case, accents, blanks or other signs."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in letters if letter.isalnum() and not unicodedata.combining(letter))
