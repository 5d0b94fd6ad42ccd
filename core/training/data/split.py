"""Divides the cases of a data set into the frozen test set and five folds, patient by patient."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from core import limits
from core.errors import InputError
from core.training.data import patients
from core.training.data.dataset import FOLDS, Entry, assign
from core.wording import counted

_TAG_DIGITS = 12


def split(
    cases: Mapping[str, Entry],
    stay: Mapping[str, Entry],
    former: Mapping[str, Entry],
    table: Mapping[str, str],
) -> tuple[dict[str, Entry], list[str]]:
    """Give every case its fold.

    Parameters
    ----------
    cases
        The source's cases, with hashes; their patient and fold are not set yet.
    stay
        Cases that are in the data set and stay there. One with other hashes in ``cases`` changed:
        it keeps its fold, and gets a tag, so that its new files have names of their own.
    former
        Cases that were removed from the data set. One that returns gets its fold back, and so does
        another case with the same image.
    table
        Patient by case; see `core.training.data.patients`.

    Returns
    -------
    entries : dict of str to Entry
    words : list of str
        How the cases were grouped, and problems of the split.

    Raises
    ------
    InputError
        No case is left in the frozen test set.
    """
    groups_of = patients.grouped(stay.keys() | cases.keys(), table)
    fold_of_patient = {entry.patient: entry.fold for entry in stay.values()}
    by_image = {entry.content_sha256: entry for entry in former.values()}
    of_case: dict[str, str] = {}
    returning = {}
    for case, entry in cases.items():
        was = former.get(case) or by_image.get(entry.content_sha256)
        if case not in stay and was is not None:
            returning[case] = was
            of_case[case] = was.patient
            fold_of_patient.setdefault(was.patient, was.fold)
    # A group of cases belongs to the patient that its first case has in the split already.
    groups: dict[str, str] = {}
    for case in sorted(stay):
        groups.setdefault(groups_of[case][0], stay[case].patient)
    for case in cases:
        if case not in stay and case not in of_case:
            of_case[case] = groups.setdefault(groups_of[case][0], groups_of[case][0])
    folds = assign(fold_of_patient, of_case.values())
    entries = dict(stay)
    for case, entry in cases.items():
        entries[case] = _placed(case, entry, stay, returning, of_case, folds)
    entries = _without_empty_folds(entries)
    if not any(entry.is_test for entry in entries.values()):
        raise InputError(
            "No case is left in the frozen test set",
            "Add cases: new ones go there first.",
            code="no_test_set",
        )
    return entries, [
        *patients.words({c: groups_of[c] for c in sorted(cases)}),
        *_remarks(entries, groups_of),
    ]


def _placed(
    case: str,
    entry: Entry,
    stay: Mapping[str, Entry],
    returning: Mapping[str, Entry],
    of_case: Mapping[str, str],
    folds: Mapping[str, int],
) -> Entry:
    was = stay.get(case) or returning.get(case)
    if was is None:
        return replace(entry, patient=of_case[case], fold=folds[of_case[case]])
    old, new = (e.image_sha256 + e.label_sha256 for e in (was, entry))
    fold = was.fold if case in stay else folds[was.patient]
    if old == new and fold == was.fold:
        return was
    tag = hashlib.sha256(new.encode()).hexdigest()[:_TAG_DIGITS]
    return replace(entry, patient=was.patient, fold=fold, tag=tag)


def _without_empty_folds(entries: dict[str, Entry]) -> dict[str, Entry]:
    """Move patients into folds that became empty: a training that holds one out needs a case."""
    filled = dict(entries)
    while True:
        by_fold: list[list[str]] = [[] for _ in range(FOLDS)]
        for entry in filled.values():
            if not entry.is_test:
                by_fold[entry.fold].append(entry.patient)
        sizes = [len(set(patients_of_fold)) for patients_of_fold in by_fold]
        if min(sizes) or max(sizes) < 2:
            return filled
        moved = min(by_fold[sizes.index(max(sizes))], key=_order)
        empty = sizes.index(0)
        filled = {c: replace(e, fold=empty) if e.patient == moved else e for c, e in filled.items()}


def _remarks(
    entries: Mapping[str, Entry], groups_of: Mapping[str, tuple[str, patients.Rule]]
) -> list[str]:
    """Problems of the split: patients on two sides, and too few tested patients."""
    folds_of: dict[str, set[int]] = {}
    for case, entry in entries.items():
        folds_of.setdefault(groups_of[case][0], set()).add(entry.fold)
    torn = sorted(patient for patient, folds in folds_of.items() if len(folds) > 1)
    remarks = []
    if torn:
        were_put = counted(len(torn), "patient was put", "patients were put")
        remarks.append(
            f"{were_put} on two sides of the split by an earlier preparation, "
            f"which stays: {', '.join(torn)}. Prepare it under another name to have them together"
        )
    tested = len({entry.patient for entry in entries.values() if entry.is_test})
    if tested < limits.MIN_TEST_CASES:
        remarks.append(
            f"only {tested} are left in the frozen test set, fewer than {limits.MIN_TEST_CASES}: "
            "add cases, new ones go there first"
        )
    return remarks


def _order(patient: str) -> str:
    return hashlib.sha256(patient.encode()).hexdigest()
