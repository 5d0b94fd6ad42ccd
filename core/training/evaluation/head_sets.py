"""Whole heads with reference labels to evaluate on: of a folder, of the reviews, or made here."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core import limits
from core.anatomy import SIDES
from core.cases.store import Cases
from core.errors import HippoViewError, InputError, NotFoundError
from core.image import nifti, volume
from core.image.header import stem_of
from core.image.intake import vetted
from core.state.storage import Storage, write_whole
from core.training.data.dataset import REVIEWED_NAME, Dataset, Datasets
from core.training.data.heads import content_of
from core.training.data.labels import on_grid_of
from core.training.data.names import case_name, is_from_head, source_of
from core.training.data.patients import first_cases, patient_of
from core.training.data.reviewed import usable
from core.training.data.source import opened, paired, pairs_of
from core.training.evaluation.head_figures import BY_LABEL, key_of
from core.training.evaluation.references import Protocol, SideReference, references_in
from core.training.heads.phantom import PhantomMaker

SYNTHETIC, REVIEWED = "synthetic", "reviewed"
# Of every installation, so that figures of its versions are of the same heads.
_SEED = 20261130
OnHead = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class LabelledHead:
    """One head to evaluate on.

    Attributes
    ----------
    name : str
    image : Path
        The file as a user would send it.
    affine : ndarray, shape (4, 4)
        From its voxels, RAS+ in memory, to mm.
    references : dict of str to SideReference
        By side, the patient's.
    image_sha256 : str
        Of the file.
    known_by : frozenset of str
        A model that was trained on a case with one of these ``content_sha256`` knows the patient.
    patient : str
        The first head of the same patient, itself where there is no other: figures, which leave
        the installation, have no pseudonym.
    """

    name: str
    image: Path
    affine: NDArray[np.float64]
    references: dict[str, SideReference]
    image_sha256: str
    known_by: frozenset[str] = frozenset()
    patient: str = ""

    def files_of(self, side: str) -> str:
        """Identifies the head and a side's reference by content."""
        reference = self.references[side]
        digest = hashlib.sha256(f"{self.image_sha256}/{side}/{reference.box}".encode())
        digest.update(reference.labels.tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class HeadSet:
    """Heads to evaluate on.

    Attributes
    ----------
    source : str
        `SYNTHETIC`, `REVIEWED` or the name of a folder.
    protocol : str
        One of `core.training.evaluation.head_figures.PROTOCOLS`.
    heads : tuple of LabelledHead
    left_out : dict of str to str
        By name, why a head is not used.
    """

    source: str
    protocol: str
    heads: tuple[LabelledHead, ...]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def test_key(self) -> str:
        """Identifies heads and references: the key of a version's figures on them."""
        return key_of([head.files_of(side) for head in self.heads for side in head.references])


def read_head(
    name: str, image: Path, reference: Path, protocol: Protocol, scratch: Path
) -> tuple[LabelledHead, str]:
    """A head and its reference, and the hash of its voxels.

    Raises
    ------
    InputError
        One of the files cannot be read, it is no whole head, or the reference does not fit.
    """
    with image.open("rb") as stream, vetted(stream, scratch) as file:
        scan = volume.load(file)
        if not scan.is_head:
            raise InputError("it is a crop, not a whole head")
        content, image_sha256 = scan.content_sha256, file.sha256
    with reference.open("rb") as stream, vetted(stream, scratch) as file:
        stored = nifti.values_of(file.path.read_bytes(), file.header)
        values = on_grid_of(scan, stored, file.header)
    references = references_in(values, scan.affine, protocol)
    return LabelledHead(name, image, scan.affine, references, image_sha256), content


@contextmanager
def folder_set(
    folder: Path, references: Path | None, protocol: Protocol, scratch: Path
) -> Iterator[HeadSet]:
    """The heads of a folder, for as long as the block lasts.

    Parameters
    ----------
    folder
        A folder or tar in the Decathlon's layout, as `core.training.data.prepare.prepare` takes it;
        with ``references`` a folder of images.
    references
        A folder of label files of the same names.

    Raises
    ------
    InputError
        It does not have this layout, or no head can be used.
    """
    if references is not None:
        yield _of_folder(folder.resolve().name, *paired(folder, references)[:2], protocol, scratch)
        return
    with opened(folder) as root:
        name = stem_of(folder.resolve().name).removesuffix(".tar")
        yield _of_folder(name, *pairs_of(root)[:2], protocol, scratch)


def _of_folder(
    source: str, pairs: Mapping[str, tuple[Path, Path]], left_out: dict[str, str],
    protocol: Protocol, scratch: Path,
) -> HeadSet:  # fmt: skip
    heads: list[LabelledHead] = []
    contents: dict[str, set[str]] = {}
    for name, (image, reference) in pairs.items():
        try:
            head, content = read_head(name, image, reference, protocol, scratch)
        except HippoViewError as error:
            left_out[name] = error.message
            continue
        heads.append(head)
        contents.setdefault(patient_of(name), set()).update(_cases_of(content))
    if not heads:
        raise InputError(
            "No head of the folder can be evaluated on: "
            + "; ".join(f"{name}: {why}" for name, why in left_out.items()),
            "Correct the files, or say what their labels mean: --protocol.",
            code="bad_source",
        )
    patients = {head.name: patient_of(head.name) for head in heads}
    first = first_cases(patients)
    known = tuple(
        replace(
            head, known_by=frozenset(contents[patients[head.name]]), patient=first[head.name],
        )
        for head in heads
    )  # fmt: skip
    return HeadSet(source, protocol.name, known, left_out)


def _cases_of(content_sha256: str) -> Iterator[str]:
    """``content_sha256`` of the cases that a data set cuts from a head."""
    for side, cut in product(SIDES, range(limits.HEAD_CUTS)):
        yield content_of(content_sha256, case_name("", side, cut))


def reviewed_set(cases: Cases, storage: Storage, folder: Path, scratch: Path) -> HeadSet | None:
    """The heads of the reviewed cases whose patients are in the frozen test set.

    Image and mask come from the cases' store, the mask as it was reviewed last.

    Parameters
    ----------
    folder
        Where the images are written to.

    Returns
    -------
    HeadSet or None
        None where there are no such heads.
    """
    try:
        dataset = Datasets(storage).get(REVIEWED_NAME)
    except NotFoundError:
        return None
    tested = {
        source_of(name): dataset.cases[name].patient for name in dataset.test if is_from_head(name)
    }
    first = first_cases(tested)
    heads: list[LabelledHead] = []
    left_out: dict[str, str] = {}
    for row in usable(cases):
        if row.id not in tested:
            continue
        image, mask = (folder / f"{row.id}{part}.nii.gz" for part in ("", "_labels"))
        try:
            write_whole(image, cases.image_file(row.id))
            write_whole(mask, cases.sides_file(row.id, row.mask_version))
            head, _ = read_head(row.id, image, mask, Protocol(BY_LABEL, sided=True), scratch)
        except HippoViewError as error:  # deleted meanwhile, or not readable
            left_out[row.id] = error.message
            continue
        heads.append(replace(head, known_by=_of_patient(dataset, row.id), patient=first[row.id]))
    if not heads:
        return None
    return HeadSet(REVIEWED, BY_LABEL, tuple(heads), left_out)


def _of_patient(dataset: Dataset, head: str) -> frozenset[str]:
    """``content_sha256`` of all cases of a head's patient."""
    patients = {e.patient for name, e in dataset.cases.items() if source_of(name) == head}
    return frozenset(e.content_sha256 for e in dataset.cases.values() if e.patient in patients)


def synthetic_set(count: int, folder: Path, on_head: OnHead = lambda done, total: None) -> HeadSet:
    """Synthetic heads, always the same ones on one machine: see `core.training.heads.phantom`.

    Parameters
    ----------
    count
        How many; the first of more are the same.
    folder
        Where the images are written to.
    """
    maker = PhantomMaker()
    heads = []
    for number in range(count):
        on_head(number, count)
        phantom = maker.make(_SEED + number)
        name = f"{SYNTHETIC}-{number + 1}"
        file = phantom.image_file()
        references = {
            side: reference
            for side, labels in phantom.labels.items()
            if (reference := SideReference.of(labels)) is not None
        }
        write_whole(folder / f"{name}.nii", file)
        heads.append(
            LabelledHead(
                name, folder / f"{name}.nii", phantom.affine,
                references,
                hashlib.sha256(file).hexdigest(),
            )
        )  # fmt: skip
    on_head(count, count)
    return HeadSet(SYNTHETIC, BY_LABEL, tuple(heads))
