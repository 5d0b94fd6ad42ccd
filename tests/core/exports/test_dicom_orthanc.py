"""What a PACS gives back of our objects: the mask on its frames, and left stays left."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from nibabel.affines import apply_affine
from pydicom import dcmread

from core.exports.dicom_case import written_objects
from core.exports.dicom_seg import read_segmentation
from core.pacs.client import Pacs
from tests import dicom_sources as sources
from tests.orthanc import PASSWORD, USER, running_orthanc


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    with running_orthanc(tmp_path_factory.mktemp("pacs") / "orthanc") as orthanc:
        yield Pacs(orthanc.url, USER, PASSWORD)


def test_a_marker_on_the_left_is_on_the_left_after_orthanc(pacs: Pacs, tmp_path: Path) -> None:
    origin, labels = sources.source_of("oblique"), sources.labels_on("oblique", ("left",))
    case = sources.case_of(labels, "oblique", sides=("left",))
    objects = written_objects(origin, labels, case, sources.images_of())
    pacs.send(list(objects.values()))
    (study,) = pacs.studies(patient_id=sources.ID)
    assert study.uid == origin.study_uid
    came = {}
    for series in pacs.series(study.uid):
        assert "research use only" in series.description
        (file,) = pacs.retrieve(series, tmp_path).iterdir()
        came[series.modality] = file.read_bytes()
    assert set(came) == {"SEG", "SR", "DOC"}
    read = read_segmentation(came["SEG"])
    assert [s.SegmentLabel.split()[0] for s in read.SegmentSequence] == ["Left", "Left"]
    volume = read.get_volume(combine_segments=True)
    points_lps = apply_affine(volume.affine, np.argwhere(volume.array > 0))
    assert points_lps[:, 0].min() > 0  # L is positive
    assert len(points_lps) == (labels > 0).sum()
    report = str(dcmread(io.BytesIO(came["SR"])))
    assert "7771000" in report
    assert "24028007" not in report
    assert read.SOPInstanceUID in report
