"""A table of people that an administrator uploads: a row a person, with age, sex and volumes.

Only numbers and the two sexes are taken from it; no text of it is kept or shown. What is not
understood is refused with the row named, never guessed or left out.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

from core.errors import InputError, TooLargeError
from core.limits import MIB
from core.references.group import FEMALE, MALE, MOST_PEOPLE, Person, wrong_in

MAX_TABLE_BYTES = MIB
_MOST_COLUMNS = 100
# Problems that are named; a table with more has one cause for most of them.
_NAMED = 5
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,12})?")
_SEXES = {
    **dict.fromkeys(("f", "female", "w", "woman"), FEMALE),
    **dict.fromkeys(("m", "male", "man"), MALE),
}
_UNITS_MM3 = {
    **dict.fromkeys(("mm3", "mm^3", "mm\N{SUPERSCRIPT THREE}", "cubic mm"), 1.0),
    **dict.fromkeys(("ml", "cm3", "cm^3", "cm\N{SUPERSCRIPT THREE}", "cc"), 1000.0),
}
_AGE_UNITS = ("", "years", "year", "y", "yr", "yrs")
# What published tables have in place of people.
_SUMMARIES = re.compile(
    r"\b(p ?\d{1,2}|\d{1,2}(th|st|nd|rd)?|q\d|median|mean|sd|std|z|percentiles?|centiles?|"
    r"quantiles?|lms|lambda|mu|sigma|n)\b"
)
COLUMNS = "age, sex, left_mm3 and right_mm3 (or left_ml and right_ml)"


def read_table(data: bytes) -> tuple[Person, ...]:
    """The people of a table (``.csv`` or ``.tsv``), in its order.

    The first row names the columns: age, sex, and left and right with their unit, such as
    ``left_mm3`` or ``Right (ml)``; others are not read. Columns are parted by commas, semicolons or
    tabs; where it is not a comma, numbers may have a decimal comma.

    Raises
    ------
    InputError
        A column is missing or has no unit, a cell is empty or impossible; the rows are named.
    TooLargeError
    """
    if len(data) > MAX_TABLE_BYTES:
        raise TooLargeError(
            f"The table has more than {MAX_TABLE_BYTES // MIB} MiB",
            f"A table of {MOST_PEOPLE:,} people is smaller: leave only {COLUMNS}.",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        _refuse("The table is no text in UTF-8", "Save it as CSV (UTF-8), not as a workbook.")
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        _refuse("The table is no CSV", "Save it again as CSV, with one row a person.")
    rows = [(n, line) for n, line in enumerate(lines, 1) if any(cell.strip() for cell in line)]
    if len(rows) < 2:
        _refuse("The table has no rows", f"Its first row names the columns: {COLUMNS}.")
    if len(rows) - 1 > MOST_PEOPLE:
        raise TooLargeError(
            f"The table has {len(rows) - 1:,} rows", f"A group has {MOST_PEOPLE:,} people at most."
        )
    columns, factors = _columns(rows[0][1])
    people, problems = [], []
    for number, line in rows[1:]:
        cells = {what: line[at].strip() if at < len(line) else "" for what, at in columns.items()}
        person, wrong = _person(cells, factors, has_decimal_comma=delimiter != ",")
        if any(cell.strip() for cell in line[len(rows[0][1]) :]):
            # Such as 2,4 where commas part the columns: all that follows has moved.
            wrong = ["more cells than the first row has columns"]
        problems += [f"row {number}: {words}" for words in wrong]
        if person is not None:
            people.append(person)
    if problems:
        more = len(problems) - _NAMED
        words = "; ".join(problems[:_NAMED]) + (f"; and {more:,} more" if more > 0 else "")
        _refuse(
            f"The table cannot be used: {words}",
            "Correct these rows or leave them out, then upload it again.",
        )
    return tuple(people)


def _columns(header: Sequence[str]) -> tuple[dict[str, int], dict[str, float]]:
    """Where each column is, and what a volume's unit is in mm3."""
    if len(header) > _MOST_COLUMNS:
        _refuse(f"The table has {len(header):,} columns", f"Leave only {COLUMNS}.")
    columns: dict[str, int] = {}
    factors: dict[str, float] = {}
    plain = [re.sub(r"[\s_()\[\],]+", " ", cell.strip().casefold()) for cell in header]
    _refuse_summaries(plain)
    for at, cell in enumerate(plain):
        what, _, unit = cell.partition(" ")
        unit = unit.strip()
        if what in ("left", "right"):
            if unit not in _UNITS_MM3:
                _refuse(
                    f"The unit of the column {what} is {'missing' if not unit else 'not known'}",
                    f"Name it {what}_mm3 or {what}_ml.",
                )
            factors[what] = _UNITS_MM3[unit]
        elif not (what == "age" and unit in _AGE_UNITS) and not (what == "sex" and not unit):
            continue
        if what in columns:
            _refuse(f"The table has two columns {what}", "Leave the one that is meant.")
        columns[what] = at
    missing = [what for what in ("age", "sex", "left", "right") if what not in columns]
    if missing:
        _refuse(
            f"The table has no column {' and no column '.join(missing)}",
            f"Its first row names the columns: {COLUMNS}.",
        )
    return columns, factors


def _refuse_summaries(header: Sequence[str]) -> None:
    """Refuse a table of medians and percentiles, such as are published, for what it is."""
    singles = {f"{what} {unit}" for what in ("left", "right") for unit in _UNITS_MM3}
    if singles & set(header):
        return
    if any(_SUMMARIES.search(cell) for cell in header if "age" not in cell.split()):
        _refuse(
            "The table has medians, means or percentiles of people, and no people",
            "A group is made of single people, a row each, so that the uncertainty of a percentile "
            "is known and a person's age is not rounded to a class. Ask the authors for the "
            f"single values ({COLUMNS}), or measure controls here. Published volumes of another "
            "protocol would not be comparable without conversion either.",
        )


def _person(
    cells: Mapping[str, str], factors: Mapping[str, float], *, has_decimal_comma: bool
) -> tuple[Person | None, list[str]]:
    """A person, or what is wrong with the row."""
    wrong = []
    numbers = {}
    for what in ("age", "left", "right"):
        text = cells[what].replace(",", ".") if has_decimal_comma else cells[what]
        if _NUMBER.fullmatch(text):
            numbers[what] = float(text)
        else:
            wrong.append(f"{what} is empty" if not text else f"{what} is no number above 0")
    sex = _SEXES.get(cells["sex"].casefold(), "")
    if not sex:
        wrong.append("sex is empty" if not cells["sex"] else "sex is neither F nor M")
    if wrong:
        return None, wrong
    person = Person(
        numbers["age"], sex,
        round(numbers["left"] * factors["left"], 3), round(numbers["right"] * factors["right"], 3),
    )  # fmt: skip
    return person, wrong_in(person)


def _refuse(message: str, hint: str) -> NoReturn:
    raise InputError(message, hint, code="bad_table")
