"""Which case of a data set is in the frozen test set and which in a fold, patient by patient."""

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
    """Give every case its place.

    Parameters
    ----------
    cases
        What a source holds, with hashes; their patient and fold are not known yet.
    stay
        Cases that are in the data set and stay there. A case of them with other hashes in
        ``cases`` changed: it keeps its place, and gets a tag, for files of its own.
    former
        Cases that were in the data set and left. One that is back has its place again, as has
        another case of the same image.
    table
        Patient by case; see `core.training.data.patients`.

    Returns
    -------
    entries : dict of str to Entry
    words : list of str
        How they were grouped, and what is wrong with it.

    Raises
    ------
    InputError
        No case is left in the frozen test set.
    """
    every = patients.grouped(stay.keys() | cases.keys(), table)
    places = {entry.patient: entry.fold for entry in stay.values()}
    by_image = {entry.content_sha256: entry for entry in former.values()}
    of_case: dict[str, str] = {}
    back = {}
    for case, entry in cases.items():
        was = former.get(case) or by_image.get(entry.content_sha256)
        if case not in stay and was is not None:
            back[case] = was
            of_case[case] = was.patient
            places.setdefault(was.patient, was.fold)
    # Those of one group are of the patient that the first of them has in the split already.
    groups: dict[str, str] = {}
    for case in sorted(stay):
        groups.setdefault(every[case][0], stay[case].patient)
    for case in cases:
        if case not in stay and case not in of_case:
            of_case[case] = groups.setdefault(every[case][0], every[case][0])
    folds = assign(places, of_case.values())
    entries = dict(stay)
    for case, entry in cases.items():
        entries[case] = _placed(case, entry, stay, back, of_case, folds)
    entries = _without_empty_folds(entries)
    if not any(entry.is_test for entry in entries.values()):
        raise InputError(
            "No case is left in the frozen test set",
            "Add cases: new ones go there first.",
            code="no_test_set",
        )
    return entries, [*patients.words({c: every[c] for c in sorted(cases)}), *_said(entries, every)]


def _placed(
    case: str,
    entry: Entry,
    stay: Mapping[str, Entry],
    back: Mapping[str, Entry],
    of_case: Mapping[str, str],
    folds: Mapping[str, int],
) -> Entry:
    was = stay.get(case) or back.get(case)
    if was is None:
        return replace(entry, patient=of_case[case], fold=folds[of_case[case]])
    old, new = (e.image_sha256 + e.label_sha256 for e in (was, entry))
    fold = was.fold if case in stay else folds[was.patient]
    if old == new and fold == was.fold:
        return was
    tag = hashlib.sha256(new.encode()).hexdigest()[:_TAG_DIGITS]
    return replace(entry, patient=was.patient, fold=fold, tag=tag)


def _without_empty_folds(entries: dict[str, Entry]) -> dict[str, Entry]:
    """Fill a fold that the last patient left: a training that holds it out needs a case."""
    made = dict(entries)
    while True:
        held: list[list[str]] = [[] for _ in range(FOLDS)]
        for entry in made.values():
            if not entry.is_test:
                held[entry.fold].append(entry.patient)
        sizes = [len(set(one)) for one in held]
        if min(sizes) or max(sizes) < 2:
            return made
        moved = min(held[sizes.index(max(sizes))], key=_order)
        empty = sizes.index(0)
        made = {c: replace(e, fold=empty) if e.patient == moved else e for c, e in made.items()}


def _said(
    entries: Mapping[str, Entry], every: Mapping[str, tuple[str, patients.Rule]]
) -> list[str]:
    """What the split of an earlier preparation has torn apart, and what it lacks."""
    found: dict[str, set[int]] = {}
    for case, entry in entries.items():
        found.setdefault(every[case][0], set()).add(entry.fold)
    torn = sorted(patient for patient, folds in found.items() if len(folds) > 1)
    said = []
    if torn:
        were_put = counted(len(torn), "patient was put", "patients were put")
        said.append(
            f"{were_put} on two sides of the split by an earlier preparation, "
            f"which stays: {', '.join(torn)}. Prepare it under another name to have them together"
        )
    tested = len({entry.patient for entry in entries.values() if entry.is_test})
    if tested < limits.MIN_TEST_CASES:
        said.append(
            f"only {tested} are left in the frozen test set, fewer than {limits.MIN_TEST_CASES}: "
            "add cases, new ones go there first"
        )
    return said


def _order(patient: str) -> str:
    return hashlib.sha256(patient.encode()).hexdigest()
