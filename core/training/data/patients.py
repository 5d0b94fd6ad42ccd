"""Groups cases by patient, so that no patient is on two sides of a split.

In this order: the table that was given (``case,patient``); the rule (`RULES`) that the data set's
description names; ``sub-XX`` anywhere in the name (BIDS); a side at the end of the name (``_L``,
``_R``, ``_left``, ``_right``, ``_lh``, ``_rh``, in capitals or not, ``-`` as well); else the case
is a patient of its own. What is cut from a head has the patient of the head, by the head's name.
What an earlier split had as one patient stays one.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from core.errors import InputError
from core.image.header import stem_of
from core.training.data.names import is_from_head, source_of
from core.wording import counted

# Names of rules, as ``dataset.json`` has them under `RULE_KEY`.
DECATHLON = "decathlon-hippocampus"
NAMES_ONLY = "names"
RULES = {
    DECATHLON: "hippocampus_NNN of the Decathlon's Task04: 2k-1 and 2k are the left and the right "
    "side of person k",
    NAMES_ONLY: "nothing but sub-XX and the side at the end of a name",
}
RULE_KEY = "patient_rule"
Rule = Literal["table", "named", "earlier", "sub-", "side", "head", "alone"]
# The first of them gives a patient its name.
_RULES: dict[Rule, str] = {
    "table": "by the table of patients",
    "named": f"by the rule {DECATHLON} (2k-1 and 2k are one person)",
    "earlier": "as an earlier preparation had them",
    "sub-": "by sub-XX in the name",
    "side": "by the name without its side (_L, _R, _left, _right)",
    "head": "by the head that they were cut from",
}
_BIDS = re.compile(r"sub-[A-Za-z0-9]+")
_SIDE = re.compile(r"(.+)[_-](?:l|r|lh|rh|left|right)", re.IGNORECASE)
_DECATHLON_CASE = re.compile(r"hippocampus_(\d{3})")
# How the Decathlon's own dataset.json describes its Task04.
_DECATHLON_IS = {"name": "hippocampus", "reference": "vanderbilt university medical center"}
_COLUMNS = ("case", "patient")
_LARGEST_TABLE_BYTES = 8 * 1024 * 1024


def patient_of(case: str, rule: str = "") -> str:
    """The patient of a case by its name alone.

    Parameters
    ----------
    case
    rule
        One of `RULES`, or nothing.

    >>> patient_of("sub-01_ses-02_left"), patient_of("P07_L"), patient_of("hippocampus_001")
    ('sub-01', 'P07', 'hippocampus_001')
    >>> [patient_of(f"hippocampus_{n:03}", DECATHLON) for n in (1, 2, 3)]
    ['Task04-001', 'Task04-001', 'Task04-002']
    """
    return _by_name(case, rule)[0]


def first_cases(patients: Mapping[str, str]) -> dict[str, str]:
    """For each case the first one of its patient, by name.

    It tells patients apart and names none: a pseudonym must not leave, and its hash can be guessed.

    >>> first_cases({"b": "P-7", "a": "P-7", "c": "P-8"})
    {'a': 'a', 'b': 'a', 'c': 'c'}
    """
    first: dict[str, str] = {}
    return {case: first.setdefault(patients[case], case) for case in sorted(patients)}


def rule_of(description: Mapping[str, Any]) -> str:
    """The rule that a data set's description (``dataset.json``) names, or nothing.

    The description that the Decathlon publishes with its Task04 counts as naming `DECATHLON`.

    Raises
    ------
    InputError
        It names a rule that does not exist.
    """
    rule = description.get(RULE_KEY)
    if rule is not None:
        if rule not in RULES:
            raise InputError(
                f"The description names a rule of patients that is not known: {str(rule)[:60]!r}",
                f"Write one of {', '.join(RULES)} as {RULE_KEY} into dataset.json, or remove it.",
                code="bad_patients",
            )
        return str(rule)
    words = {key: str(description.get(key, "")).strip().lower() for key in _DECATHLON_IS}
    return DECATHLON if words == _DECATHLON_IS else ""


def looks_like_decathlon(cases: Iterable[str]) -> bool:
    """Whether all names are such as the Decathlon's Task04 has."""
    names = list(cases)
    return bool(names) and all(map(_DECATHLON_CASE.fullmatch, names))


def grouped(
    cases: Iterable[str],
    table: Mapping[str, str] | None = None,
    rule: str = "",
    known: Mapping[str, str] | None = None,
) -> dict[str, tuple[str, Rule]]:
    """Patient and rule of each case.

    A case that is not in the table belongs to the patient of those cases in the table that its
    name puts it together with, if that is one patient.

    Parameters
    ----------
    cases
    table
        Patient by case.
    rule
        One of `RULES`, or nothing.
    known
        Patient by case in an earlier split: its patients are joined where the rest says so, and
        never parted.
    """
    named = table or {}
    by_name: dict[str, set[str]] = {}
    for case, patient in named.items():
        by_name.setdefault(patient_of(case, rule), set()).add(patient)
    groups: dict[str, tuple[str, Rule]] = {}
    for case in cases:
        key = case if case in named else source_of(case)
        if key in named:
            groups[case] = (named[key], "table")
            continue
        patient, how = _by_name(case, rule)
        others = by_name.get(patient, set())
        groups[case] = (next(iter(others)), "table") if len(others) == 1 else (patient, how)
    return _joined(groups, known) if known else groups


def words(groups: Mapping[str, tuple[str, Rule]], *, of_cases: bool = False) -> list[str]:
    """How the cases were grouped, and which could not be, in sentences.

    Parameters
    ----------
    groups
    of_cases
        Whether the table is what the cases of this installation have as their patients.
    """
    counts = Counter(rule for _, rule in groups.values())
    texts = _RULES | {"table": "by the patient of the case"} if of_cases else _RULES
    how = ", ".join(f"{counts[rule]} {by}" for rule, by in texts.items() if counts[rule])
    patients = len({patient for patient, _ in groups.values()})
    grouped = f": grouped {how}" if how else ""
    lines = [f"{counted(len(groups), 'case')} of {counted(patients, 'patient')}{grouped}"]
    without = {source_of(c) for c, (_, rule) in groups.items() if rule in ("alone", "head")}
    if without and of_cases:
        have = counted(len(without), "case has", "cases have")
        lines.append(
            f"{have} no patient: each counts as a patient of its own. If some are of one person, "
            "give them their patient on the Cases page"
        )
    elif counts["alone"] and not of_cases:
        alone = counted(counts["alone"], "case")
        lines.append(
            f"{alone} could not be grouped by patient (no sub-XX, no side at the end of the name, "
            "not in a table): each counts as a patient of its own. If some are of one person, say "
            "so: --patients TABLE.csv with the columns case,patient"
        )
        if looks_like_decathlon(case for case, (_, rule) in groups.items() if rule == "alone"):
            lines.append(
                "The names are like those of the Decathlon's Task04, where 2k-1 and 2k are the two "
                f"sides of one person. If these are its cases: --patient-rule {DECATHLON}"
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


def _joined(
    groups: Mapping[str, tuple[str, Rule]], known: Mapping[str, str]
) -> dict[str, tuple[str, Rule]]:
    """Groups, where the cases of a patient in ``known`` are in one group."""
    parents: dict[str, str] = {}

    def root(patient: str) -> str:
        while patient in parents:
            patient = parents[patient]
        return patient

    order = list(_RULES)
    of_case = dict(groups)
    for case, (patient, rule) in groups.items():
        earlier = known.get(case, case)
        if earlier == case:
            continue
        if rule == "alone":
            of_case[case] = (patient, "earlier")
        a, b = root(patient), root(earlier)
        if a != b:
            parents[b] = a
    names: dict[str, tuple[int, str]] = {}
    for case, (patient, rule) in groups.items():
        name = (order.index(rule) if rule in order else len(order), patient)
        earlier = known.get(case, case)
        if earlier != case:
            name = min(name, (order.index("earlier"), earlier))
        group = root(patient)
        names[group] = min(names.get(group, name), name)
    return {case: (names[root(patient)][1], rule) for case, (patient, rule) in of_case.items()}


def _by_name(case: str, rule: str) -> tuple[str, Rule]:
    if is_from_head(case):
        patient, how = _by_name(source_of(case), rule)
        return patient, "head" if how == "alone" else how
    if rule == DECATHLON and (match := _DECATHLON_CASE.fullmatch(case)):
        return f"Task04-{(int(match[1]) + 1) // 2:03}", "named"
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
