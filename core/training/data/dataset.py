"""A prepared data set: cleaned cases in nnU-Net's raw layout, a frozen test set, five folds.

In the storage below ``datasets/<name>``: ``imagesTr``, ``labelsTr`` (to train on), ``imagesTs``,
``labelsTs`` (the frozen test set), ``dataset.json``, ``split.json`` (each case's patient, fold and
hashes) and ``report.json`` (what was kept, mended and left out, and why).

A file that a split names is never overwritten. When a preparation changes the split, the old one is
kept as ``revisions/<sha256>.json``, and ``history.json`` says until when it was current and which
cases were in its test set: so a training always reads the split that it began with.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core import limits
from core.anatomy import LABELS
from core.errors import InputError, NotFoundError, TrainingError
from core.state.storage import Storage
from core.training.data import patients
from core.training.data.names import is_from_head, source_of

FOLDS = 5
NNUNET_NAME = "Dataset001_Hippocampus"
SPLIT_NAME, REPORT_NAME, DATASET_NAME = "split.json", "report.json", "dataset.json"
HISTORY_NAME = "history.json"
# The data set of this name follows its source: changed cases are replaced, cases that are no longer
# in the source are removed. Every other data set keeps its cases.
REVIEWED_NAME = "reviewed"
# nnU-Net's reader. Its default, SimpleITK, reads the same values and may hang
# (github.com/SimpleITK/SimpleITK/pull/2713).
READER = "NibabelIO"
_FOLDER = "datasets"
_REVISIONS = "revisions"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
TEST = -1  # the fold of the frozen test set
SPLIT_BY_FILE = (
    "is split by file: cases of one patient are on two sides of its split, so that its figures "
    "flatter every model. Prepare it again from its source; the Decathlon's Task04 without its "
    f"dataset.json: --patient-rule {patients.DECATHLON}"
)


@dataclass(frozen=True)
class Entry:
    """One case of a data set.

    Attributes
    ----------
    patient : str
        All cases of a patient are on the same side of the split.
    content_sha256 : str
        Hash of the image's voxels: `core.image.volume.Volume.content_sha256`.
    image_sha256, label_sha256 : str
        Hashes of the files in the storage.
    fold : int
        0 to 4, or -1 for the frozen test set.
    tag : str
        Part of its files' names, where files of an older mask are kept beside them.
    """

    patient: str
    content_sha256: str
    image_sha256: str
    label_sha256: str
    fold: int
    tag: str = ""

    @property
    def is_test(self) -> bool:
        """Whether it belongs to the frozen test set."""
        return self.fold == TEST


@dataclass(frozen=True)
class Dataset:
    """A prepared data set.

    Attributes
    ----------
    sha256 : str
        Hash of its split file, which names the hash of every file.
    rule : str
        Rule by which its names tell patients: one of `core.training.data.patients.RULES`, or
        nothing.
    """

    name: str
    cases: dict[str, Entry]
    sha256: str
    rule: str = ""

    @property
    def test(self) -> list[str]:
        """Names of the cases in the frozen test set."""
        return [name for name, entry in self.cases.items() if entry.is_test]

    @property
    def test_heads(self) -> set[str]:
        """Names of the heads whose sides are in the frozen test set."""
        return {source_of(name) for name in self.test if is_from_head(name)}

    @property
    def training(self) -> list[str]:
        """Names of all other cases."""
        return [name for name, entry in self.cases.items() if not entry.is_test]

    def splits(self) -> list[dict[str, list[str]]]:
        """The folds as nnU-Net's ``splits_final.json`` has them."""
        return [
            {
                "train": [n for n in self.training if self.cases[n].fold != fold],
                "val": [n for n in self.training if self.cases[n].fold == fold],
            }
            for fold in range(FOLDS)
        ]

    def known_to(self, seen: Collection[str]) -> set[str]:
        """Names of the cases whose patient a model knows.

        Parameters
        ----------
        seen
            ``content_sha256`` of every case that the model was trained on.
        """
        known = {e.patient for e in self.cases.values() if e.content_sha256 in seen}
        return {name for name, entry in self.cases.items() if entry.patient in known}

    @property
    def split_by_file(self) -> bool:
        """Whether cases of one patient are on two sides of its split, in test set or folds.

        So were the sets of earlier versions, which took the two sides of each person in the
        Decathlon's Task04 for two patients.
        """
        looks_like = patients.looks_like_decathlon(self.cases)
        rule = self.rule or (patients.DECATHLON if looks_like else "")
        folds: dict[str, set[int]] = {}
        for name, entry in self.cases.items():
            alone = entry.patient == name
            patient = patients.patient_of(name, rule) if alone else entry.patient
            folds.setdefault(patient, set()).add(entry.fold)
        return any(len(places) > 1 for places in folds.values())

    @property
    def test_key(self) -> str:
        """Identifies the frozen test set by content: figures with equal keys can be compared."""
        parts = sorted(
            entry.image_sha256 + entry.label_sha256
            for entry in self.cases.values()
            if entry.is_test
        )
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


class Datasets:
    """The prepared data sets of one installation."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def find(self) -> list[Dataset]:
        """All data sets, by name."""
        datasets = []
        for name in self.storage.folders(_FOLDER):
            try:
                datasets.append(self.get(name))
            except NotFoundError:  # its preparation was interrupted
                continue
        return datasets

    def get(self, name: str, sha256: str | None = None) -> Dataset:
        """One data set: the current one, or the revision with a hash.

        Raises
        ------
        NotFoundError
        """
        try:
            content = self.storage.read(key_of(name, SPLIT_NAME))
            if sha256 not in (None, _sha256(content)):
                content = self.storage.read(key_of(name, _REVISIONS, f"{sha256}.json"))
        except NotFoundError as error:
            raise NotFoundError(
                f"There is no data set {name!r}" + (f" of the hash {sha256}" if sha256 else ""),
                "Prepare it: python -m core data prepare SRC",
            ) from error
        return _dataset(name, content)

    def former(self, name: str) -> dict[str, Entry]:
        """The cases that were removed from a data set, in their last state."""
        present = self.get(name).cases
        former: dict[str, Entry] = {}
        for revision in self.history(name):
            former |= self.get(name, revision["sha256"]).cases
        return {case: entry for case, entry in former.items() if case not in present}

    def history(self, name: str) -> list[dict[str, Any]]:
        """The earlier revisions of a data set, the oldest first.

        Returns
        -------
        list of dict
            ``sha256``; ``until``, UTC; ``test_key`` and ``test``, the cases of its frozen test
            set; ``joined``, ``changed`` and ``left``, the cases in which the next one differs.
        """
        try:
            return list(json.loads(self.storage.read(key_of(name, HISTORY_NAME))))
        except NotFoundError:
            return []

    def retire(self, old: Dataset, cases: Mapping[str, Entry]) -> None:
        """Keep the current split as a revision, before another one replaces it."""
        content = self.storage.read(key_of(old.name, SPLIT_NAME))
        self.storage.write(key_of(old.name, _REVISIONS, f"{_sha256(content)}.json"), content)
        both = old.cases.keys() & cases.keys()
        revision = {
            "sha256": old.sha256,
            "until": datetime.now(UTC).isoformat(timespec="seconds"),
            "test_key": old.test_key,
            "test": sorted(old.test),
            "joined": sorted(cases.keys() - old.cases.keys()),
            "changed": sorted(case for case in both if cases[case] != old.cases[case]),
            "left": sorted(old.cases.keys() - cases.keys()),
        }
        # A preparation that was killed before it wrote the split may have listed this one already.
        revisions = self.history(old.name)
        if revisions and revisions[-1]["sha256"] == old.sha256:
            revisions.pop()
        file = json.dumps([*revisions, revision], indent=1).encode()
        self.storage.write(key_of(old.name, HISTORY_NAME), file)

    def report(self, name: str) -> dict[str, Any]:
        """The report of a data set's last preparation."""
        return dict(json.loads(self.storage.read(key_of(name, REPORT_NAME))))

    @staticmethod
    def verify(dataset: Dataset, folder: Path, on_case: Callable[[], None] = lambda: None) -> None:
        """Check every file of a data set against its hash.

        Parameters
        ----------
        folder
            The data set's files on this machine.
        on_case
            Called before each case.

        Raises
        ------
        TrainingError
            A file is missing or has changed since it was prepared.
        """
        for name, entry in dataset.cases.items():
            on_case()
            image, label = file_names(name, entry)
            for path, expected in ((image, entry.image_sha256), (label, entry.label_sha256)):
                file = folder / path
                if not file.is_file() or _sha256(file.read_bytes()) != expected:
                    raise TrainingError(
                        f"Case {name} of data set {dataset.name} is missing a file or has "
                        "changed since it was prepared",
                        "Restore it, or prepare the data set again under another name.",
                        code="dataset_changed",
                    )


def key_of(name: str, *parts: str) -> str:
    """Key of a data set's file in the storage.

    Raises
    ------
    InputError
        The name is not a valid one.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"A data set cannot be called {name!r}",
            "Use up to 64 letters, digits, - and _, a letter or digit first.",
            code="bad_name",
        )
    return "/".join((_FOLDER, name, *parts))


def file_names(case: str, entry: Entry) -> tuple[str, str]:
    """Where a case's image and label lie within its data set, as nnU-Net names them."""
    part = "Ts" if entry.is_test else "Tr"
    name = f"{case}-{entry.tag}" if entry.tag else case
    return f"images{part}/{name}_0000.nii.gz", f"labels{part}/{name}.nii.gz"


def files_key(entry: Entry) -> str:
    """Identifies a case by the content of its image and label."""
    return _sha256((entry.image_sha256 + entry.label_sha256).encode())[:16]


def assign(known: Mapping[str, int], everyone: Iterable[str]) -> dict[str, int]:
    """Put patients into the test set or a fold. Those that have one keep it.

    New ones are ordered by a hash of their names, which looks random and is reproducible.

    Parameters
    ----------
    known
        Patients that have a fold already, -1 for the test set.
    everyone
        All patients, with or without a fold.
    """
    folds = dict(known)
    new = sorted(set(everyone) - set(known), key=lambda patient: _sha256(patient.encode()))
    test_patients = tested_of(len(folds) + len(new))
    for patient in new:
        if sum(fold == TEST for fold in folds.values()) < test_patients:
            folds[patient] = TEST
        else:
            sizes = [sum(f == fold for f in folds.values()) for fold in range(FOLDS)]
            folds[patient] = sizes.index(min(sizes))
    return folds


def tested_of(total: int) -> int:
    """How many of so many patients belong in the frozen test set."""
    return max(limits.MIN_TEST_CASES, round(limits.TEST_SHARE * total))


def split_file(cases: Mapping[str, Entry], rule: str = "") -> bytes:
    """The content of ``split.json``; the same cases and rule give the same bytes."""
    entries = {name: asdict(cases[name]) for name in sorted(cases)}
    for entry in entries.values():
        if not entry["tag"]:
            del entry["tag"]  # the same bytes as before there were any
    named = {patients.RULE_KEY: rule} if rule else {}
    return (json.dumps({"format": 1, **named, "cases": entries}, indent=1) + "\n").encode()


def dataset_file(
    cases: Mapping[str, Entry], licence: str, rule: str = "", *, named: bool = False
) -> bytes:
    """The content of nnU-Net's ``dataset.json``.

    Parameters
    ----------
    named
        Whether to list every file, because other files lie beside them.
    """
    content = {
        "name": "Hippocampus",
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, **LABELS},
        "numTraining": sum(not entry.is_test for entry in cases.values()),
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": READER,
        "licence": licence,
    }
    if rule:
        content[patients.RULE_KEY] = rule
    if named:
        files = {name: file_names(name, e) for name, e in sorted(cases.items()) if not e.is_test}
        content["dataset"] = {
            name: {"images": [image], "label": label} for name, (image, label) in files.items()
        }
    return (json.dumps(content, indent=1) + "\n").encode()


def _dataset(name: str, content: bytes) -> Dataset:
    split = json.loads(content)
    entries = {case: Entry(**entry) for case, entry in split["cases"].items()}
    return Dataset(name, entries, _sha256(content), split.get(patients.RULE_KEY, ""))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
