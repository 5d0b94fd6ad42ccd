"""All DICOM objects of a scan: of a kept case, or of an analysis of which nothing is kept."""

import io
import zipfile
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.anatomy import NOTICE
from core.cases.case import Case, CaseImages
from core.cases.seen import case_as_seen
from core.cases.side_labels import sides_file
from core.cases.store import Cases
from core.errors import InputError
from core.exports.dicom import present_segments
from core.exports.dicom_pdf import no_origin, pdf_file
from core.exports.dicom_seg import empty_mask, segmentation_file
from core.exports.dicom_sr import report_file
from core.image import nifti
from core.image.dicom.origin import Origin
from core.pipeline import Analysis

Kind = Literal["seg", "sr", "pdf", "zip"]
KINDS: tuple[Kind, ...] = ("seg", "sr", "pdf", "zip")
_OBJECTS: tuple[Kind, ...] = ("seg", "sr", "pdf")
_ID_LETTERS = 8


def objects_of(
    cases: Cases,
    case_id: str,
    kinds: Collection[Kind] = _OBJECTS,
    *,
    empty_frames: bool = False,
    seen: int | None = None,
) -> dict[str, bytes]:
    """The DICOM objects of a case's current mask.

    Parameters
    ----------
    kinds
        Which are written.
    empty_frames
        See `core.exports.dicom_seg.segmentation_file`.
    seen
        The version of the mask that somebody looked at; by default whichever it is.

    Returns
    -------
    dict of str to bytes
        By kind a DICOM file: ``seg`` (missing if the mask is empty), ``sr`` and ``pdf``. Made
        twice, they are the same instances with the same bytes.

    Raises
    ------
    NotFoundError
        There is no such case, or it did not come as DICOM (``no_origin``).
    NewerVersionError
        Another mask than the one that was seen is the current one.
    StorageError
        Its origin cannot be read.
    """
    case = case_as_seen(cases, case_id, seen)
    origin = cases.origin(case.id)
    if origin is None:
        raise no_origin(case.id)
    images = cases.images(case.id, case.mask_version)
    labels = labels_on_source(cases, case)
    return written_objects(origin, labels, case, images, kinds, empty_frames=empty_frames)


def case_object(
    cases: Cases,
    case_id: str,
    kind: Kind,
    *,
    empty_frames: bool = False,
    seen: int | None = None,
) -> bytes:
    """One of the objects of `objects_of`, or a zip of all.

    Raises
    ------
    NotFoundError, NewerVersionError, StorageError
        See `objects_of`.
    InputError
        The Segmentation of an empty mask was asked for.
    """
    objects = objects_of(cases, case_id, _kinds(kind), empty_frames=empty_frames, seen=seen)
    return _chosen(objects, case_id, kind)


def analysis_object(analysis: Analysis, kind: Kind, *, empty_frames: bool = False) -> bytes:
    """The same of an analysis that is no case.

    Raises
    ------
    InputError
        It did not come as DICOM (``no_origin``), or the Segmentation of an empty mask was asked
        for.
    """
    name = f"scan-{analysis.sha256[:_ID_LETTERS]}"
    if analysis.origin is None:
        why = no_origin("This scan")
        raise InputError(why.message, why.hint, code=why.code)
    segmentation = analysis.segmentation
    volume = segmentation.volume
    mask = analysis.mask_file
    if segmentation.head is not None:
        head = segmentation.head.as_dict()
        mask = sides_file(segmentation.labels, volume.affine, volume.header, head)
    case = Case(name, "", datetime.now(UTC).isoformat(timespec="milliseconds"), analysis.as_dict())
    images = CaseImages(volume.voxels, segmentation.labels, volume.affine)
    labels = nifti.read_mask(mask)
    objects = written_objects(
        analysis.origin, labels, case, images, _kinds(kind), empty_frames=empty_frames
    )
    return _chosen(objects, name, kind)


def zip_of(objects: Mapping[str, bytes], case_id: str) -> bytes:
    """The objects of a case as a zip; of an empty mask there is no SEG, and a text says so."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        for kind, content in sorted(objects.items()):
            zipped.writestr(zipfile.ZipInfo(f"{case_id}_{kind}.dcm"), content)
        empty = "" if "seg" in objects else "\nThe mask is empty: there is no Segmentation."
        zipped.writestr(zipfile.ZipInfo("README.txt"), f"HippoView. {NOTICE}{empty}\n")
    return out.getvalue()


def labels_on_source(cases: Cases, case: Case) -> NDArray[np.uint8]:
    """The case's mask, shape (columns, rows, slices): 1 to 4 of a head, 1 and 2 of a crop."""
    read = cases.sides_file if case.report.get("head") else cases.mask_file
    return nifti.read_mask(read(case.id, case.mask_version))


def written_objects(
    origin: Origin,
    labels: NDArray[np.uint8],
    case: Case,
    images: CaseImages,
    kinds: Collection[Kind] = _OBJECTS,
    *,
    empty_frames: bool = False,
) -> dict[str, bytes]:
    """Write SEG, SR and PDF of a mask; see `objects_of`.

    Parameters
    ----------
    labels : ndarray, shape (columns, rows, slices)
        See `core.exports.dicom.present_segments`.
    """
    objects = {}
    if "seg" in kinds and present_segments(labels, case):
        objects["seg"] = segmentation_file(origin, labels, case, empty_frames=empty_frames)
    if "sr" in kinds:
        objects["sr"] = report_file(
            origin, labels, case, empty_frames=empty_frames, segmentation_bytes=objects.get("seg")
        )
    if "pdf" in kinds:
        objects["pdf"] = pdf_file(origin, case, images)
    return objects


def _kinds(kind: Kind) -> Collection[Kind]:
    return _OBJECTS if kind == "zip" else (kind,)


def _chosen(objects: dict[str, bytes], case_id: str, kind: Kind) -> bytes:
    if kind == "zip":
        return zip_of(objects, case_id)
    if kind not in objects:
        raise empty_mask()
    return objects[kind]
