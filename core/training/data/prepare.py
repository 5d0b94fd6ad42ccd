"""A folder or tar in the Decathlon's layout becomes a prepared data set.

It may hold crops around one hippocampus, and whole heads, which give cases of each side. Every
image and label goes through the same intake as an upload. What cannot be trained on is left out by
name, with its reason; the source is only read.
"""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from core import limits
from core.anatomy import LABELS
from core.errors import HippoViewError, InputError, NotFoundError
from core.image import nifti, volume
from core.image.intake import VettedFile, vetted
from core.state.storage import Storage
from core.training.data.dataset import (
    DATASET_NAME,
    REPORT_NAME,
    REVIEWED_NAME,
    SPLIT_NAME,
    Dataset,
    Datasets,
    Entry,
    dataset_file,
    file_names,
    files_key,
    key_of,
    split_file,
)
from core.training.data.heads import cut, kinds_in_words
from core.training.data.labels import on_grid_of, refuse_missing, whole_numbers
from core.training.data.names import is_extra_cut, is_from_head, source_of
from core.training.data.patients import rule_of
from core.training.data.preparation import Report, TooFewCasesError
from core.training.data.source import opened, pairs_of
from core.training.data.split import split
from core.training.heads.locator import HeadLocator
from core.training.heads.sides import HEAD_VALUES

# SimpleITK, which nnU-Net reads with, refuses axes that are not at right angles.
_LARGEST_SHEAR = 1e-3


@dataclass(frozen=True, eq=False)
class _Case:
    content_sha256: str
    image_file: bytes
    label_file: bytes

    @classmethod
    def of(
        cls, content_sha256: str, image: NDArray[Any], labels: NDArray[np.uint8],
        affine: NDArray[np.float64],
    ) -> "_Case":  # fmt: skip
        """The files of an image with its labels, both RAS+."""
        return cls(content_sha256, _nifti(image, affine), _nifti(labels, affine))

    def entry(self, patient: str, fold: int) -> Entry:
        """The entry of this case in the split."""
        image, label = (
            hashlib.sha256(file).hexdigest() for file in (self.image_file, self.label_file)
        )
        return Entry(patient, self.content_sha256, image, label, fold)


def prepare(
    source: Path,
    storage: Storage,
    name: str,
    on_case: Callable[[int, int], None] = lambda done, total: None,
    table: Mapping[str, str] | None = None,
    rule: str = "",
    *,
    of_cases: bool = False,
) -> tuple[Dataset, Report]:
    """Prepare a data set, or add to it. A second run with the same source changes nothing.

    Where its split changes, it gets another hash, and the earlier split stays readable.

    Parameters
    ----------
    source
        A folder or tar with ``imagesTr`` and ``labelsTr`` in it or in its only folder.
    storage, name
        Where the data set is stored. Cases of an earlier preparation keep their fold. The set
        `REVIEWED_NAME` follows its source: changed cases are replaced, missing ones removed.
    on_case
        Called with the number of cases done and their total.
    table
        Patient by case; see `core.training.data.patients`.
    rule
        One of `core.training.data.patients.RULES`. Otherwise the one that the source's
        ``dataset.json`` names, or that the data set was prepared by.
    of_cases
        As in `core.training.data.split.split`.

    Raises
    ------
    InputError
        The source does not have this layout, or too few patients.
    TooFewCasesError
        Its ``report`` says why each case could not be used.
    """
    report = Report()
    datasets = Datasets(storage)
    follows = name == REVIEWED_NAME
    try:
        old = datasets.get(name)
    except NotFoundError:
        old = None
    old_cases = old.cases if old else {}
    former = datasets.former(name) if old and follows else {}
    with opened(source) as root, TemporaryDirectory() as scratch, HeadLocator() as locator:
        pairs, report.left_out, report.rules = pairs_of(root)
        in_source = {case: e for case, e in old_cases.items() if source_of(case) in pairs}
        stay = in_source if follows else old_cases
        reader = _Reader(Path(scratch), locator)
        cases = dict(_usable(pairs, stay, reader, report, on_case, follows=follows))
        if follows:
            stay = {case: entry for case, entry in stay.items() if case in cases}
            report.gone = [case for case in old_cases if case not in in_source]
        count = sum(not is_extra_cut(case) for case in stay.keys() | cases.keys())
        if count < limits.MIN_DATASET_CASES:
            raise TooFewCasesError(count, report)
        new_entries = {case: prepared.entry("", 0) for case, prepared in cases.items()}
        described = _description(root)
        rule = rule or rule_of(described) or (old.rule if old else "")
        entries, grouped = split(
            new_entries, stay, former, table or {}, rule,
            earlier_rule=old.rule if old else rule, of_cases=of_cases,
        )  # fmt: skip
        cases = {case: prepared for case, prepared in cases.items() if case in entries}
        report.kept = [case for case in report.kept if case in entries]
        kinds = kinds_in_words(report.kept)
        report.rules += [kinds, *grouped] if kinds else grouped
        licence = described.get("licence") or described.get("license") or "not stated"
        for case, prepared in cases.items():
            image, label = file_names(case, entries[case])
            _write(storage, key_of(name, image), prepared.image_file)
            _write(storage, key_of(name, label), prepared.label_file)
    # One that changed sides has its files elsewhere.
    for case in (stay.keys() - cases.keys()) & entries.keys():
        for before, after in zip(
            file_names(case, stay[case]), file_names(case, entries[case]), strict=True
        ):
            if before != after:
                _write(storage, key_of(name, after), storage.read(key_of(name, before)))
    report.changed = [
        case for case in stay
        if case in entries and files_key(entries[case]) != files_key(stay[case])
    ]  # fmt: skip
    content = split_file(entries, rule)
    if old is not None and hashlib.sha256(content).hexdigest() != old.sha256:
        datasets.retire(old, entries)
    # Files of earlier splits lie beside those of this one.
    named = follows or bool(datasets.history(name))
    description = dataset_file(entries, str(licence)[:200], rule, named=named)
    _write(storage, key_of(name, DATASET_NAME), description)
    _write(storage, key_of(name, REPORT_NAME), json.dumps(report.as_dict(), indent=1).encode())
    # Last: once the split is written the data set exists.
    _write(storage, key_of(name, SPLIT_NAME), content)
    return datasets.get(name), report


def _usable(
    pairs: dict[str, tuple[Path, Path]],
    known: dict[str, Entry],
    reader: "_Reader",
    report: Report,
    on_case: Callable[[int, int], None],
    *,
    follows: bool,
) -> Iterator[tuple[str, _Case]]:
    contents = {entry.content_sha256: case for case, entry in known.items()}
    for number, (name, (image, label)) in enumerate(pairs.items()):
        on_case(number, len(pairs))
        if is_from_head(name):
            report.left_out[name] = "its name is kept for cases that are cut from a head"
            continue
        try:
            made, mended, left_out = reader.read(name, image, label)
        except HippoViewError as error:
            report.left_out[name] = error.message
            continue
        report.left_out |= left_out
        for case, content in made.items():
            twin = contents.setdefault(content.content_sha256, case)
            if twin != case:
                report.left_out[case] = f"the same image as case {twin}"
                continue
            if case in known and not follows and not _is_same(known[case], content):
                report.left_out[case] = "differs from the case of this name that is there already"
                continue
            if mended:
                report.mended[name] = mended
            report.kept.append(case)
            yield case, content
    on_case(len(pairs), len(pairs))


@dataclass(frozen=True)
class _Reader:
    """Reads an image and its label through the intake.

    Attributes
    ----------
    scratch : Path
        Where private copies lie meanwhile.
    locator : HeadLocator
        Finds the heads among the images.
    """

    scratch: Path
    locator: HeadLocator

    def read(
        self, name: str, image: Path, label: Path
    ) -> tuple[dict[str, _Case], str, dict[str, str]]:
        """The cases of a pair by name, what was mended, and why a side of a head gives none.

        Raises
        ------
        HippoViewError
            It cannot be used.
        """
        with _vetted(image, self.scratch) as file:
            loaded = volume.load(file)
        if not loaded.is_head and _shear(loaded.affine) > _LARGEST_SHEAR:
            raise InputError("the image's axes are not at right angles")
        with _vetted(label, self.scratch) as file:
            values = nifti.values_of(file.path.read_bytes(), file.header)
            header = file.header
        known = HEAD_VALUES if loaded.is_head else LABELS
        labels, mended = whole_numbers(on_grid_of(loaded, values, header), known)
        if header.orientation != loaded.header.orientation:
            turned = f"the label's axes ({header.orientation}) were turned to the image's"
            mended = "; ".join(filter(None, (turned, mended)))
        if not loaded.is_head:
            refuse_missing(labels)
            content = loaded.content_sha256
            return {name: _Case.of(content, loaded.data, labels, loaded.affine)}, mended, {}
        head = cut(name, loaded, labels, self.locator)
        cases = {
            case: _Case.of(head.content_of(case), crop.image, crop.labels, np.eye(4))
            for case, crop in head.crops.items()
        }
        return cases, mended, head.left_out


@contextmanager
def _vetted(path: Path, scratch: Path) -> Iterator[VettedFile]:
    with path.open("rb") as stream, vetted(stream, scratch) as file:
        yield file


def _is_same(entry: Entry, case: _Case) -> bool:
    return (
        entry.image_sha256 == hashlib.sha256(case.image_file).hexdigest()
        and entry.label_sha256 == hashlib.sha256(case.label_file).hexdigest()
    )


def _nifti(data: NDArray[Any], affine: NDArray[np.float64]) -> bytes:
    """An RAS+ image as ``.nii.gz`` without free text; equal images give equal bytes."""
    image = nib.Nifti1Image(data, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    return gzip.compress(bytes(image.to_bytes()), compresslevel=6, mtime=0)


def _shear(affine: NDArray[np.float64]) -> float:
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def _description(root: Path) -> dict[str, Any]:
    """The source's own ``dataset.json``; empty if there is none that can be read."""
    try:
        return dict(json.loads((root / DATASET_NAME).read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}


def _write(storage: Storage, key: str, data: bytes) -> None:
    try:
        if storage.read(key) == data:
            return
    except NotFoundError:
        pass
    storage.write(key, data)
