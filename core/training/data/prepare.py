"""A folder or tar in the Decathlon's layout becomes a prepared data set.

Every image and label goes through the same intake as an upload. What cannot be trained on is
left out by name, with its reason; the source is only read.
"""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray

from core import limits
from core.anatomy import LABELS
from core.errors import HippoViewError, InputError, NotFoundError
from core.image import nifti, volume
from core.image.header import Header
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
from core.training.data.patients import rule_of
from core.training.data.source import opened, pairs_of
from core.training.data.split import split
from core.wording import counted

# SimpleITK, which nnU-Net reads with, refuses axes that are not at right angles.
_LARGEST_SHEAR = 1e-3
# A label's grid may differ from its image's by this share of a voxel, from rounding.
_GRID_TOLERANCE = 0.1
# Labels 0 to 2 in 8 bits with a slope miss their whole number by at most 2 / 255 / 2.
_SLOPE_TOLERANCE = 0.005
_ROUNDING = 1e-3


@dataclass
class Report:
    """Report of a preparation.

    Attributes
    ----------
    kept : list of str
        Names of the cases in the data set that the source holds.
    mended, left_out : dict of str to str
        By file or case, what was changed, or why it is not used.
    changed, gone : list of str
        Of a data set that follows its source: cases with new files, and cases that are no longer
        in the source.
    rules : list of str
        Sentences: by which rules files were paired and cases grouped by patient, and which could
        not be grouped.
    """

    kept: list[str] = field(default_factory=list)
    mended: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For ``report.json``."""
        return {
            "kept": sorted(self.kept),
            "mended": dict(sorted(self.mended.items())),
            "left_out": dict(sorted(self.left_out.items())),
            "changed": sorted(self.changed),
            "gone": sorted(self.gone),
            "rules": self.rules,
        }

    def lines(self) -> list[str]:
        """Lines for a person to read."""
        return [
            f"{counted(len(self.kept), 'case')} kept, {len(self.mended)} mended, "
            f"{len(self.left_out)} left out",
            *(f"  mended    {name}: {what}" for name, what in sorted(self.mended.items())),
            *(f"  left out  {name}: {why}" for name, why in sorted(self.left_out.items())),
            *(f"  changed   {name}: taken anew" for name in sorted(self.changed)),
            *(f"  gone      {name}: no longer in the source" for name in sorted(self.gone)),
            *(f"  {rule}" for rule in self.rules),
        ]


@dataclass(frozen=True, eq=False)
class _Case:
    content_sha256: str
    image_file: bytes
    label_file: bytes

    def entry(self, patient: str, fold: int) -> Entry:
        """As the split names it."""
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
    with opened(source) as root, TemporaryDirectory() as scratch:
        pairs, report.left_out, report.rules = pairs_of(root)
        stay = {case: e for case, e in old_cases.items() if case in pairs} if follows else old_cases
        cases = dict(_usable(pairs, stay, Path(scratch), report, on_case, follows=follows))
        if follows:
            stay = {case: entry for case, entry in stay.items() if case in cases}
            report.gone = [case for case in old_cases if case not in pairs]
        if len(stay.keys() | cases.keys()) < limits.MIN_DATASET_CASES:
            raise TooFewCasesError(len(stay.keys() | cases.keys()), report)
        new_entries = {case: prepared.entry("", 0) for case, prepared in cases.items()}
        described = _description(root)
        rule = rule or rule_of(described) or (old.rule if old else "")
        entries, words = split(
            new_entries, stay, former, table or {}, rule,
            earlier_rule=old.rule if old else rule, of_cases=of_cases,
        )  # fmt: skip
        report.rules += words
        licence = described.get("licence") or described.get("license") or "not stated"
        for case, prepared in cases.items():
            image, label = file_names(case, entries[case])
            _write(storage, key_of(name, image), prepared.image_file)
            _write(storage, key_of(name, label), prepared.label_file)
    for case in stay.keys() - cases.keys():  # one that changed sides has its files elsewhere
        for before, after in zip(
            file_names(case, stay[case]), file_names(case, entries[case]), strict=True
        ):
            if before != after:
                _write(storage, key_of(name, after), storage.read(key_of(name, before)))
    report.changed = [case for case in stay if files_key(entries[case]) != files_key(stay[case])]
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


class TooFewCasesError(InputError):
    """Too few cases of a data set can be used; its report says why."""

    code = "too_few_cases"

    def __init__(self, count: int, report: Report) -> None:
        super().__init__(
            f"Only {counted(count, 'case')} can be used; {limits.MIN_DATASET_CASES} are needed for "
            "a test set and five folds",
            "See the reasons for each case, correct the files and prepare it again.",
        )
        self.report = report


def _usable(
    pairs: dict[str, tuple[Path, Path]],
    known: dict[str, Entry],
    scratch: Path,
    report: Report,
    on_case: Callable[[int, int], None],
    *,
    follows: bool,
) -> Iterator[tuple[str, _Case]]:
    contents = {entry.content_sha256: case for case, entry in known.items()}
    for number, (name, (image, label)) in enumerate(pairs.items()):
        on_case(number, len(pairs))
        try:
            case, mended = _read(image, label, scratch)
        except HippoViewError as error:
            report.left_out[name] = error.message
            continue
        twin = contents.setdefault(case.content_sha256, name)
        if twin != name:
            report.left_out[name] = f"the same image as case {twin}"
            continue
        if name in known and not follows and not _is_same(known[name], case):
            report.left_out[name] = "differs from the case of this name that is there already"
            continue
        if mended:
            report.mended[name] = mended
        report.kept.append(name)
        yield name, case
    on_case(len(pairs), len(pairs))


def _read(image: Path, label: Path, scratch: Path) -> tuple[_Case, str]:
    with _vetted(image, scratch) as file:
        loaded = volume.load(file)
    if loaded.is_head:
        raise InputError("it is a whole head; only crops around one hippocampus train a model")
    if _shear(loaded.affine) > _LARGEST_SHEAR:
        raise InputError("the image's axes are not at right angles")
    with _vetted(label, scratch) as file:
        values = nifti.values_of(file.path.read_bytes(), file.header)
        header = file.header
    labels, mended = _labels(_on_grid_of(loaded, values, header))
    if header.orientation != loaded.header.orientation:
        turned = f"the label's axes ({header.orientation}) were turned to the image's"
        mended = "; ".join(filter(None, (turned, mended)))
    return (
        _Case(
            loaded.content_sha256,
            _nifti(loaded.data, loaded.affine),
            _nifti(labels, loaded.affine),
        ),
        mended,
    )


def _on_grid_of(
    scan: volume.Volume, values: NDArray[np.float64], header: Header
) -> NDArray[np.float64]:
    """A label's values along the axes of its scan in memory: swapped and flipped, not resampled.

    Raises
    ------
    InputError
        Its grid is not that of the scan.
    """
    turn = io_orientation(np.linalg.inv(scan.affine) @ header.affine)
    if not np.isnan(turn).any():
        turned = np.asarray(apply_orientation(values, turn))
        if turned.shape == scan.data.shape:
            affine = header.affine @ inv_ornt_aff(turn, header.shape)
            offset = _largest_offset_mm(affine, scan.affine, turned.shape)
            if offset > _GRID_TOLERANCE * min(scan.spacing_mm):
                raise InputError(f"the label lies up to {offset:.1f} mm beside the image")
            return turned
    shapes = (" x ".join(map(str, h.shape)) for h in (header, scan.header))
    raise InputError("the label's grid is {} voxels, the image's {}".format(*shapes))


@contextmanager
def _vetted(path: Path, scratch: Path) -> Iterator[VettedFile]:
    with path.open("rb") as stream, vetted(stream, scratch) as file:
        yield file


def _labels(values: NDArray[np.float64]) -> tuple[NDArray[np.uint8], str]:
    """Label values as integers, and what was mended, in words."""
    if not np.isfinite(values).all():
        raise InputError("the label has values that are not numbers")
    distinct = np.unique(values)
    off = float(np.abs(distinct - np.round(distinct)).max())
    # A slope moves each label as a whole; interpolation makes many values of one.
    is_scaled = off <= _SLOPE_TOLERANCE and len(np.unique(np.round(distinct))) == len(distinct)
    if off > _ROUNDING and not is_scaled:
        raise InputError("the label has values between the labels: it was interpolated")
    values_there = {int(v) for v in np.round(distinct)}
    unknown = sorted(values_there - {0, *LABELS.values()})
    if unknown:
        names = ", ".join(f"{value} {name}" for name, value in LABELS.items())
        raise InputError(f"the label has the value {unknown[0]}; known are 0 background, {names}")
    for name, value in LABELS.items():
        if value not in values_there:
            raise InputError(f"the label has no voxel of {name} ({value})")
    mended = ""
    if off > _ROUNDING:
        read = ", ".join(f"{v:.4f} as {v:.0f}" for v in distinct if abs(v - round(v)) > _ROUNDING)
        mended = f"a slope in the header moved the label's values; read {read}"
    elif off:
        mended = "label values were rounded to whole numbers"
    return np.ascontiguousarray(np.round(values).astype(np.uint8)), mended


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


def _largest_offset_mm(
    a: NDArray[np.float64], b: NDArray[np.float64], shape: tuple[int, ...]
) -> float:
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1)
    points = np.vstack([corners, np.ones(corners.shape[1])])
    return float(np.linalg.norm(((a - b) @ points)[:3], axis=0).max())


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
