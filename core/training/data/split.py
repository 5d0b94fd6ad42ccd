"""Divides the cases of a data set into the frozen test set and five folds, patient by patient."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from core import limits
from core.errors import InputError
from core.training.data import patients
from core.training.data.dataset import FOLDS, TEST, Entry, assign, tested_of
from core.training.data.names import is_extra_cut
from core.wording import counted

_TAG_DIGITS = 12
_LEAST_TRAINED = 2  # patients: one to learn from, one to hold out
_NAMED_AT_MOST = 10


def split(
    cases: Mapping[str, Entry],
    stay: Mapping[str, Entry],
    former: Mapping[str, Entry],
    table: Mapping[str, str],
    rule: str = "",
    *,
    earlier_rule: str = "",
    of_cases: bool = False,
) -> tuple[dict[str, Entry], list[str]]:
    """Give every case its patient and its fold. No patient is on two sides.

    Patients stay where they are. Where cases that an earlier split had apart turn out to be of one
    patient, all of them go to the fold in which one was trained on. If it is the rule that says
    so, and the earlier split had another, or if less than half of a test set would be left, the
    earlier split was by file, and a new one is made of all patients.

    Further cuts of a head are left out of the frozen test set.

    Parameters
    ----------
    cases
        The source's cases, with hashes; their patient and fold are not set yet.
    stay
        Cases that are in the data set and stay there. One with other hashes in ``cases`` changed:
        it gets a tag, so that its new files have names of their own.
    former
        Cases that were removed from the data set. One that returns gets its patient's place back,
        and so do another case with the same image and another case of the same patient.
    table, rule
        Patient by case, and the rule of the names; see `core.training.data.patients`.
    earlier_rule
        The rule that the earlier split was made by.
    of_cases
        Whether the table is what the cases of this installation have as their patients: then it
        alone counts, and no patient of an earlier split.

    Returns
    -------
    entries : dict of str to Entry
    words : list of str
        How the cases were grouped, and problems of the split.

    Raises
    ------
    InputError
        No case is left in the frozen test set, or too few patients to train on.
    """
    by_image = {entry.content_sha256: entry for entry in former.values()}
    twins = {
        case: by_image[entry.content_sha256].patient
        for case, entry in cases.items()
        if case not in stay and case not in former and entry.content_sha256 in by_image
    }
    earlier = {} if of_cases else {case: entry.patient for case, entry in stay.items()}
    earlier |= {case: patient for case, patient in twins.items() if case not in table}
    groups_of = patients.grouped(sorted(stay.keys() | cases.keys()), table, rule, earlier)
    of_case = {case: patient for case, (patient, _) in groups_of.items()}
    folds, remarks = _places(of_case, stay, former, twins, by_file=rule != earlier_rule)
    entries = {}
    for case, patient in of_case.items():
        was = stay.get(case) or former.get(case)
        entry = _files(cases[case], was) if case in cases else stay[case]
        entries[case] = replace(entry, patient=patient, fold=folds[patient])
    # The further cuts of a head are there to learn from: a test counts each side once.
    entries = {c: e for c, e in entries.items() if not (e.is_test and is_extra_cut(c))}
    entries = _without_empty_folds(entries)
    trained = {entry.patient for entry in entries.values() if not entry.is_test}
    if len(trained) == len({entry.patient for entry in entries.values()}):
        raise InputError(
            "No case is left in the frozen test set",
            "Add cases: new ones go there first.",
            code="no_test_set",
        )
    if len(trained) < _LEAST_TRAINED:
        raise InputError(
            f"The cases are of {counted(len(set(of_case.values())), 'patient')} only: "
            f"{limits.MIN_TEST_CASES} go to the frozen test set, and too few are left to train on",
            f"Add cases of other patients: {limits.MIN_TEST_CASES + _LEAST_TRAINED} are needed.",
            code="too_few_patients",
        )
    grouping = {case: groups_of[case] for case in sorted(cases.keys() & entries.keys())}
    return entries, [
        *patients.words(grouping, of_cases=of_cases), *remarks, *_few_tested(entries)
    ]  # fmt: skip


def _places(
    of_case: Mapping[str, str],
    stay: Mapping[str, Entry],
    former: Mapping[str, Entry],
    twins: Mapping[str, str],
    *,
    by_file: bool,
) -> tuple[dict[str, int], list[str]]:
    """Fold of each patient, and what had to be moved, in sentences."""
    present: dict[str, list[int]] = {}
    for case in sorted(stay):
        present.setdefault(of_case[case], []).append(stay[case].fold)
    folds = {patient: _one_of(places) for patient, places in present.items()}
    gone: dict[str, list[int]] = {}
    for case in sorted(former):
        # By name where it returns: it may have been given another patient meanwhile.
        patient = of_case.get(case, former[case].patient)
        gone.setdefault(patient, []).append(former[case].fold)
    for case, patient in twins.items():
        gone.setdefault(of_case[case], []).extend(
            entry.fold for entry in former.values() if entry.patient == patient
        )
    for patient in set(of_case.values()) - folds.keys():
        if patient in gone:
            folds[patient] = _one_of(gone[patient])
    torn = sorted(patient for patient, places in present.items() if len(set(places)) > 1)
    everyone = set(of_case.values())
    if not torn:
        return assign(folds, everyone), []
    were = counted(len(torn), "patient was", "patients were")
    tested = sum(fold == TEST for fold in folds.values())
    if by_file or 2 * tested < tested_of(len(everyone)):
        remark = (
            f"The earlier split was by file: {were} on two sides of it. A new one was made of all "
            "patients; the earlier one stays readable, and models trained on it know cases of the "
            "new test set"
        )
        return assign({}, everyone), [remark]
    named = ", ".join(torn[:_NAMED_AT_MOST]) + (", ..." if len(torn) > _NAMED_AT_MOST else "")
    remark = f"{were} on two sides of the earlier split; all cases of them are to train on: {named}"
    return assign(folds, everyone), [remark]


def _one_of(places: list[int]) -> int:
    """Where all cases of a patient go: to the first fold, if any of them was trained on."""
    return next((fold for fold in places if fold != TEST), TEST)


def _files(entry: Entry, was: Entry | None) -> Entry:
    """A case as the source has it, with a tag if it had other files before."""
    if was is None:
        return entry
    old, new = (e.image_sha256 + e.label_sha256 for e in (was, entry))
    if old == new:
        return was
    return replace(entry, tag=hashlib.sha256(new.encode()).hexdigest()[:_TAG_DIGITS])


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


def _few_tested(entries: Mapping[str, Entry]) -> list[str]:
    """Whether too few patients are in the frozen test set, in a sentence."""
    tested = len({entry.patient for entry in entries.values() if entry.is_test})
    if tested >= limits.MIN_TEST_CASES:
        return []
    return [
        f"only {tested} are left in the frozen test set, fewer than {limits.MIN_TEST_CASES}: "
        "add cases, new ones go there first"
    ]


def _order(patient: str) -> str:
    return hashlib.sha256(patient.encode()).hexdigest()
