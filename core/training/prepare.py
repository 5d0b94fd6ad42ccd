"""A folder or tar in the Decathlon's layout becomes a prepared data set.

Every image and label goes through the same intake as an upload. What cannot be trained on is
left out by name, with its reason; the source is only read.
"""

import gzip
import hashlib
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from core import limits, nifti, volume
from core.errors import HippoViewError, InputError, NotFoundError
from core.intake import VettedFile, vetted
from core.segmentation import LABELS
from core.storage import Storage
from core.training.dataset import (
    DATASET_NAME,
    REPORT_NAME,
    SPLIT_NAME,
    Dataset,
    Datasets,
    Entry,
    assign,
    dataset_file,
    file_names,
    key_of,
    split_file,
)

_SUFFIXES = (".nii.gz", ".nii")
_CASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_BIDS_PATIENT = re.compile(r"sub-[A-Za-z0-9]+")
# SimpleITK, which nnU-Net reads with, refuses axes that are not at right angles.
_LARGEST_SHEAR = 1e-3
# A label's grid may differ from its image's by this share of a voxel, from rounding.
_GRID_TOLERANCE = 0.1


@dataclass
class Report:
    """What a preparation came to.

    Attributes
    ----------
    kept : list of str
        Names of the cases in the data set that the source holds.
    mended, left_out : dict of str to str
        By file or case, what was done or why not.
    """

    kept: list[str] = field(default_factory=list)
    mended: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As it is written beside the data set."""
        return {
            "kept": sorted(self.kept),
            "mended": dict(sorted(self.mended.items())),
            "left_out": dict(sorted(self.left_out.items())),
        }

    def lines(self) -> list[str]:
        """As a person reads it."""
        return [
            f"{len(self.kept)} cases kept, {len(self.mended)} mended, "
            f"{len(self.left_out)} left out",
            *(f"  mended    {name}: {what}" for name, what in sorted(self.mended.items())),
            *(f"  left out  {name}: {why}" for name, why in sorted(self.left_out.items())),
        ]


@dataclass(frozen=True, eq=False)
class _Case:
    content_sha256: str
    image_file: bytes
    label_file: bytes


def prepare(
    source: Path,
    storage: Storage,
    name: str,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Dataset, Report]:
    """Prepare a data set, or add to it. A second run with the same source changes nothing.

    Parameters
    ----------
    source
        A folder or tar with ``imagesTr`` and ``labelsTr`` in it or in its only folder.
    storage, name
        Where it goes. Cases of an earlier preparation keep their place in the split.
    on_case
        Told how many cases of how many are done.

    Raises
    ------
    InputError
        The source is not in that layout.
    TooFewCasesError
        Its ``report`` says what was wrong with each case.
    """
    report = Report()
    try:
        known = dict(Datasets(storage).get(name).cases)
    except NotFoundError:
        known = {}
    with _opened(source) as root, tempfile.TemporaryDirectory() as scratch:
        pairs = _pairs(root, report)
        cases = dict(_usable(pairs, known, Path(scratch), report, on_case))
        entries = _entries(cases, known)
        if len(entries) < limits.MIN_DATASET_CASES:
            raise TooFewCasesError(len(entries), report)
        licence = _licence(root)
        for case, made in cases.items():
            image, label = file_names(case, entries[case])
            _write(storage, key_of(name, image), made.image_file)
            _write(storage, key_of(name, label), made.label_file)
    _write(storage, key_of(name, DATASET_NAME), dataset_file(entries, licence))
    _write(storage, key_of(name, REPORT_NAME), json.dumps(report.as_dict(), indent=1).encode())
    # Last: with it the data set is there.
    _write(storage, key_of(name, SPLIT_NAME), split_file(entries))
    return Datasets(storage).get(name), report


class TooFewCasesError(InputError):
    """Too little is left of a data set to train on; its report says why."""

    code = "too_few_cases"

    def __init__(self, count: int, report: Report) -> None:
        super().__init__(
            f"Only {count} cases can be used; {limits.MIN_DATASET_CASES} are needed for a test "
            "set and five folds",
            "See the reasons for each case, correct the files and prepare it again.",
        )
        self.report = report


@contextmanager
def _opened(source: Path) -> Iterator[Path]:
    """The folder that holds ``imagesTr``."""
    if source.is_dir():
        yield _root_of(source)
        return
    if not source.is_file() or not tarfile.is_tarfile(source):
        raise InputError(
            "The source is neither a folder nor a tar archive",
            "Give the folder or the .tar with imagesTr and labelsTr in it.",
            code="bad_source",
        )
    with tempfile.TemporaryDirectory(prefix="hippoview-") as folder:
        _unpack(source, Path(folder))
        yield _root_of(Path(folder))


def _root_of(folder: Path) -> Path:
    for root in (folder, *sorted(p for p in folder.iterdir() if p.is_dir())):
        if (root / "imagesTr").is_dir() and (root / "labelsTr").is_dir():
            return root
    raise InputError(
        "The source has no folders imagesTr and labelsTr",
        "Lay it out as the Medical Segmentation Decathlon does.",
        code="bad_source",
    )


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack the plain files of a tar, never more than the limit and never outside."""
    left = limits.MAX_UNPACKED_MIB * limits.MIB
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if not member.isfile():
                    continue
                left -= member.size
                if left < 0:
                    raise InputError(
                        f"The archive unpacks to more than {limits.MAX_UNPACKED_MIB} MiB",
                        "Split it into two data sets.",
                        code="too_large",
                    )
                _write_member(tar, member, folder)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(
            "The archive is damaged or holds names that lead outside of it",
            "Pack it again: tar -cf dataset.tar FOLDER",
            code="bad_source",
        ) from error


def _write_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write one plain file of a tar; ``extract(filter=...)`` is not in every Python 3.11."""
    target = (folder / member.name.lstrip("/")).resolve()
    content = tar.extractfile(member)
    if content is None or folder.resolve() not in target.parents:
        raise tarfile.ExtractError(f"{member.name!r} leads outside of the archive")
    target.parent.mkdir(parents=True, exist_ok=True)
    with content, target.open("wb") as out:
        shutil.copyfileobj(content, out)


def _pairs(root: Path, report: Report) -> dict[str, tuple[Path, Path]]:
    """Image and label by case name; what has no partner goes into the report."""
    images = _files(root / "imagesTr", report)
    labels = _files(root / "labelsTr", report)
    for name in images.keys() - labels.keys():
        report.left_out[f"imagesTr/{images[name].name}"] = "an image without a label"
    for name in labels.keys() - images.keys():
        report.left_out[f"labelsTr/{labels[name].name}"] = "a label without an image"
    return {name: (images[name], labels[name]) for name in sorted(images.keys() & labels.keys())}


def _files(folder: Path, report: Report) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        where = f"{folder.name}/{path.name}"
        suffix = next((s for s in _SUFFIXES if path.name.endswith(s)), None)
        if path.name.startswith("._"):
            report.left_out[where] = "a stray of macOS (AppleDouble), not a scan"
        elif path.name.startswith("."):
            report.left_out[where] = "a hidden file"
        elif suffix is None or not path.is_file():
            report.left_out[where] = "not a .nii or .nii.gz file"
        else:
            name = path.name.removesuffix(suffix)
            name = name.removesuffix("_0000") if folder.name == "imagesTr" else name
            if not _CASE.fullmatch(name):
                report.left_out[where] = "its name has other than letters, digits, . _ and -"
            elif name in found:
                report.left_out[where] = f"case {name} is there twice"
            else:
                found[name] = path
    return found


def _usable(
    pairs: dict[str, tuple[Path, Path]],
    known: dict[str, Entry],
    scratch: Path,
    report: Report,
    on_case: Callable[[int, int], None],
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
        if name in known and not _is_same(known[name], case):
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
    if header.shape != loaded.header.shape:
        shapes = (" x ".join(map(str, h.shape)) for h in (header, loaded.header))
        raise InputError("the label's grid is {} voxels, the image's {}".format(*shapes))
    offset = _largest_offset_mm(header.affine, loaded.header.affine, header.shape)
    if offset > _GRID_TOLERANCE * min(loaded.spacing_mm):
        raise InputError(f"the label lies up to {offset:.1f} mm beside the image")
    labels, mended = _labels(values)
    labels = np.ascontiguousarray(volume.to_ras(labels, loaded.header))
    return (
        _Case(
            loaded.content_sha256,
            _nifti(loaded.data, loaded.affine),
            _nifti(labels, loaded.affine),
        ),
        mended,
    )


@contextmanager
def _vetted(path: Path, scratch: Path) -> Iterator[VettedFile]:
    with path.open("rb") as stream, vetted(stream, scratch) as file:
        yield file


def _labels(values: NDArray[np.float64]) -> tuple[NDArray[np.uint8], str]:
    """Label values as integers, and what had to be mended."""
    rounded = np.round(values)
    if not np.isfinite(values).all():
        raise InputError("the label has values that are not numbers")
    off = float(np.abs(values - rounded).max())
    if off > 1e-3:
        raise InputError("the label has values between the labels: it was interpolated")
    found = {int(v) for v in np.unique(rounded)}
    unknown = sorted(found - {0, *LABELS.values()})
    if unknown:
        names = ", ".join(f"{value} {name}" for name, value in LABELS.items())
        raise InputError(f"the label has the value {unknown[0]}; known are 0 background, {names}")
    for name, value in LABELS.items():
        if value not in found:
            raise InputError(f"the label has no voxel of {name} ({value})")
    return rounded.astype(np.uint8), "label values were rounded to whole numbers" if off else ""


def _entries(cases: dict[str, _Case], known: dict[str, Entry]) -> dict[str, Entry]:
    patients = {case: patient_of(case) for case in cases}
    folds = assign({e.patient: e.fold for e in known.values()}, patients.values())
    made = {
        name: Entry(
            patients[name],
            case.content_sha256,
            hashlib.sha256(case.image_file).hexdigest(),
            hashlib.sha256(case.label_file).hexdigest(),
            folds[patients[name]],
        )
        for name, case in cases.items()
    }
    return known | made


def patient_of(case: str) -> str:
    """The patient of a case: ``sub-XX`` where its name has it (BIDS), else the whole name.

    >>> patient_of("sub-01_ses-02_left"), patient_of("hippocampus_001")
    ('sub-01', 'hippocampus_001')
    """
    found = _BIDS_PATIENT.search(case)
    return found.group() if found else case


def _is_same(entry: Entry, case: _Case) -> bool:
    return (
        entry.image_sha256 == hashlib.sha256(case.image_file).hexdigest()
        and entry.label_sha256 == hashlib.sha256(case.label_file).hexdigest()
    )


def _nifti(data: NDArray[Any], affine: NDArray[np.float64]) -> bytes:
    """RAS+, no free text; the same image gives the same bytes."""
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


def _licence(root: Path) -> str:
    """What the source's own ``dataset.json`` says of its licence."""
    try:
        content = json.loads((root / DATASET_NAME).read_bytes())
        return str(content.get("licence") or content.get("license") or "not stated")[:200]
    except (OSError, ValueError, AttributeError):
        return "not stated"


def _write(storage: Storage, key: str, data: bytes) -> None:
    try:
        if storage.read(key) == data:
            return
    except NotFoundError:
        pass
    storage.write(key, data)
