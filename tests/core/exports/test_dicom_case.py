"""A kept case's objects carry the mask that the store gives, on the source's grid."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread

from core.cases.origins import Origins
from core.cases.store import Cases
from core.errors import InputError, NewerVersionError, NotFoundError
from core.exports.dicom_case import analysis_object, case_object, labels_on_source, objects_of
from core.pipeline import Analysis, analyse
from core.predictor.predictor import Predictor
from core.state.database import connect
from core.state.storage import LocalStorage
from tests import dicom_sources as sources
from tests.phantoms import PATIENT_ID, phantom_of
from tests.scans import example, stream


@pytest.fixture
def cases(tmp_path: Path) -> Cases:
    storage = LocalStorage(tmp_path / "storage")
    return Cases(connect(tmp_path), storage, origins=Origins(storage, lambda: b"k" * 32))


@pytest.mark.parametrize("axes", ["sagittal", "oblique"])
def test_a_kept_case_gives_its_mask_by_side_on_the_sources_grid(cases: Cases, axes: str) -> None:
    case = cases.add(sources.analysis_of(axes), "a head")
    assert np.array_equal(labels_on_source(cases, cases.get(case.id)), sources.labels_on(axes))
    objects = objects_of(cases, case.id)
    modalities = {kind: dcmread(io.BytesIO(file)).Modality for kind, file in objects.items()}
    assert modalities == {"seg": "SEG", "sr": "SR", "pdf": "DOC"}
    zipped = zipfile.ZipFile(io.BytesIO(case_object(cases, case.id, "zip")))
    assert {*zipped.namelist()} == {"README.txt", *(f"{case.id}_{k}.dcm" for k in modalities)}
    assert {kind: zipped.read(f"{case.id}_{kind}.dcm") for kind in objects} == objects


def test_a_mask_that_nobody_saw_is_not_written_in_place_of_the_one_that_was_seen(
    cases: Cases,
) -> None:
    case = cases.add(sources.analysis_of("axial"), "a head")
    assert objects_of(cases, case.id, ("seg",), seen=0)
    with pytest.raises(NewerVersionError):
        objects_of(cases, case.id, ("seg",), seen=1)


def test_a_case_that_came_as_nifti_says_why_it_has_none(cases: Cases) -> None:
    case = cases.add(sources.analysis_of("axial", dicom=False), "a head")
    with pytest.raises(NotFoundError, match="came as NIfTI") as refused:
        case_object(cases, case.id, "zip")
    assert refused.value.code == "no_origin"


def test_an_analysis_that_is_not_kept_has_them_too(
    segmented: Callable[[nib.Nifti1Image], Analysis], predictor: Predictor, tmp_path: Path
) -> None:
    made, file = phantom_of(example()), io.BytesIO()
    made.enhanced().save_as(file, enforce_file_format=True)
    analysis = analyse(stream(file.getvalue()), predictor, tmp_path)
    seg = dcmread(io.BytesIO(analysis_object(analysis, "seg")))
    assert (seg.PatientID, seg.StudyInstanceUID) == (PATIENT_ID, made.study_uid)
    with pytest.raises(InputError, match="came as NIfTI"):
        analysis_object(segmented(example()), "seg")
