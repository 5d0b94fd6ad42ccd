"""Groups cases by patient, by a table or by name, so that no patient is on two sides of a split.

The rule, in this order: the table that was given (``case,patient``); ``sub-XX`` anywhere in the
name (BIDS); a side at the end of the name (``_L``, ``_R``, ``_left``, ``_right``, ``_lh``, ``_rh``,
in capitals or not, ``-`` as well); else the case is a patient of its own. What is cut from a head
has the patient of the head, by the head's name.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from core.errors import InputError
from core.image.header import stem_of
from core.training.data.names import is_from_head, source_of
from core.wording import counted

Rule = Literal["table", "sub-", "side", "head", "alone"]
_RULES: dict[Rule, str] = {
    "table": "by the table of patients",
    "sub-": "by sub-XX in the name",
    "side": "by the name without its side (_L, _R, _left, _right)",
    "head": "by the head that they were cut from",
}
_BIDS = re.compile(r"sub-[A-Za-z0-9]+")
_SIDE = re.compile(r"(.+)[_-](?:l|r|lh|rh|left|right)", re.IGNORECASE)
_COLUMNS = ("case", "patient")
_LARGEST_TABLE_BYTES = 8 * 1024 * 1024


def patient_of(case: str) -> str:
    """The patient of a case by its name alone.

    >>> patient_of("sub-01_ses-02_left"), patient_of("P07_L"), patient_of("hippocampus_001")
    ('sub-01', 'P07', 'hippocampus_001')
    """
    return _by_name(case)[0]


def grouped(
    cases: Iterable[str], table: Mapping[str, str] | None = None
) -> dict[str, tuple[str, Rule]]:
    """Patient and rule of each case.

    A case that is not in the table belongs to the patient of those cases in the table that its
    name puts it together with, if that is one patient.
    """
    named = table or {}
    by_name: dict[str, set[str]] = {}
    for case, patient in named.items():
        by_name.setdefault(patient_of(case), set()).add(patient)
    groups: dict[str, tuple[str, Rule]] = {}
    for case in cases:
        key = case if case in named else source_of(case)
        if key in named:
            groups[case] = (named[key], "table")
            continue
        patient, rule = _by_name(case)
        others = by_name.get(patient, set())
        groups[case] = (next(iter(others)), "table") if len(others) == 1 else (patient, rule)
    return groups


def words(groups: Mapping[str, tuple[str, Rule]]) -> list[str]:
    """How the cases were grouped, and which could not be, in sentences."""
    counts = Counter(rule for _, rule in groups.values())
    how = ", ".join(f"{counts[rule]} {by}" for rule, by in _RULES.items() if counts[rule])
    patients = len({patient for patient, _ in groups.values()})
    grouped = f": grouped {how}" if how else ""
    lines = [f"{counted(len(groups), 'case')} of {counted(patients, 'patient')}{grouped}"]
    if counts["alone"]:
        alone = counted(counts["alone"], "case")
        lines.append(
            f"{alone} could not be grouped by patient (no sub-XX, no side at the end of the name, "
            "not in a table): each counts as a patient of its own. If some are of one person, say "
            "so: --patients TABLE.csv with the columns case,patient"
        )
    return lines


def read_table(file: Path) -> dict[str, str]:
    """Patient by case, of a CSV file with the columns ``case`` and ``patient``.

    Cases may be given with their files' suffix. The separator is a comma, semicolon or tab.

    Raises
    ------
    InputError
        It cannot be read, or a case has no patient or two.
    """
    try:
        raw = file.read_bytes()
        if len(raw) > _LARGEST_TABLE_BYTES:
            raise _bad("is larger than 8 MiB")
        lines = raw.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _bad("cannot be read as text") from error
    separator = next((s for s in ",;\t" if lines and s in lines[0]), ",")
    rows = list(csv.reader(lines, delimiter=separator))
    heads = [head.strip().lower() for head in rows[0]] if rows else []
    if not set(_COLUMNS) <= set(heads):
        raise _bad(f"has the columns {', '.join(heads) or 'none'}")
    indices = [heads.index(column) for column in _COLUMNS]
    table: dict[str, str] = {}
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        case, patient = (row[index].strip() if index < len(row) else "" for index in indices)
        case = stem_of(case)
        if not case or not patient:
            raise _bad(f"has no case or no patient in line {number}")
        if table.setdefault(case, patient) != patient:
            raise _bad(f"gives a case two patients, in line {number}")
    return table


def _by_name(case: str) -> tuple[str, Rule]:
    if is_from_head(case):
        patient, rule = _by_name(source_of(case))
        return patient, "head" if rule == "alone" else rule
    if match := _BIDS.search(case):
        return match.group(), "sub-"
    if match := _SIDE.fullmatch(case):
        return match[1], "side"
    return case, "alone"


def _bad(what: str) -> InputError:
    return InputError(
        f"The table of patients {what}",
        "Give a CSV file whose first line is case,patient, and a line for each case.",
        code="bad_patients",
    )
