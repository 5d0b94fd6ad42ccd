"""A DICOM series goes back to its study: by page, API and command line, and nobody is named."""

import gzip
import io
import sqlite3
import subprocess
import sys
import zipfile
from datetime import UTC, datetime, timedelta

import nibabel as nib
import numpy as np
import pytest
from loguru import logger
from pydicom import dcmread
from starlette.testclient import TestClient

from app.http.api import make_api
from app.http.bodies import kinds_of_bodies
from app.services import build_services
from app.views.dicom_out import _file
from core.cases.origins import KEY_FILE
from core.errors import NewerVersionError
from core.exports.dicom_case import KINDS
from core.image.dicom.unpack import zipped
from core.limits import MIB, TRASH_DAYS
from core.pipeline import Caller
from core.settings import ROOT, Settings
from tests.core.cases.test_corrections import packed
from tests.dicom_volumes import numbers_in, volumes_of
from tests.parts import Part
from tests.phantoms import BIRTH_DATE, NAME, PATIENT_ID, phantom_of, written
from tests.scans import as_bytes, example, stream

SECRETS = (*NAME.split("^"), PATIENT_ID, BIRTH_DATE, "1961-02-04", "Secret-Referrer")


@pytest.fixture(scope="module")
def made():
    return phantom_of(example(), StudyDate="20261130", ReferringPhysicianName="Secret-Referrer")


@pytest.fixture(scope="module")
def datasets(made):
    return made.datasets()


@pytest.fixture(scope="module")
def folder(datasets, tmp_path_factory):
    return written(tmp_path_factory.mktemp("dicom"), datasets)


@pytest.fixture(scope="module")
def archive(folder):
    target = io.BytesIO()
    zipped(sorted(folder.iterdir()), target)
    return target.getvalue()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The parts of a server; its log lies in the data folder."""
    var = tmp_path_factory.mktemp("var")
    log = logger.add(var / "server.log", level="DEBUG", diagnose=False)
    parts = build_services(Settings(data_dir=var, mirroring="off", log_level="DEBUG"))
    parts.predictors.load(before=parts.registry.prepare)
    yield parts
    parts.shadow.close()
    parts.predictors.close()
    logger.remove(log)


@pytest.fixture(scope="module")
def case(shared, archive):
    return shared.segment_and_keep(io.BytesIO(archive), "Phantom-Invented.zip", Caller())


@pytest.fixture
def client(shared, tmp_path):
    with TestClient(make_api(kinds_of_bodies(64 * MIB, 4, tmp_path), shared)) as opened:
        yield opened


def sent(client, content, form):
    return client.post("/predict", files={"image": content}, params={"format": form})


def test_the_api_gives_each_object_and_the_mask_on_every_frame(client, made, datasets, archive):
    mask = np.asarray(
        nib.Nifti1Image.from_bytes(gzip.decompress(sent(client, archive, "nifti").content)).dataobj
    )
    answer = sent(client, archive, "zip")
    assert answer.headers["content-type"] == "application/zip"
    files = zipfile.ZipFile(io.BytesIO(answer.content))
    objects = {
        name.split("_")[-1][:-4]: dcmread(io.BytesIO(files.read(name)))
        for name in files.namelist() if name.endswith(".dcm")
    }  # fmt: skip
    assert {kind: read.Modality for kind, read in objects.items()} == {
        "seg": "SEG", "sr": "SR", "pdf": "DOC",
    }  # fmt: skip
    for read in objects.values():
        assert (read.StudyInstanceUID, read.PatientID) == (made.study_uid, PATIENT_ID)
        assert "research use only" in read.SeriesDescription
    alone = sent(client, archive, "seg")
    assert alone.headers["content-type"] == "application/dicom"
    seg = dcmread(io.BytesIO(alone.content))
    places = {d.SOPInstanceUID: k for k, d in enumerate(datasets)}
    back = np.zeros(mask.shape, np.uint8)
    for frame, group in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        image = group.DerivationImageSequence[0].SourceImageSequence[0]
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        back[:, :, places[image.ReferencedSOPInstanceUID]][frame.T > 0] = number
    assert np.array_equal(back, mask)
    assert float(alone.headers["X-Anterior-Mm3"]) == pytest.approx(
        volumes_of(seg)["anterior"], rel=1e-3
    )


def test_a_nifti_has_none_and_says_why(client):
    answer = sent(client, gzip.compress(as_bytes(example())), "seg")
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "no_origin"
    assert "came as NIfTI" in answer.json()["error"]["message"]
    assert sent(client, b"", "dicom").status_code == 422


def test_the_command_line_gives_them_too(folder, made, tmp_path):
    out = tmp_path / "mask.dcm"
    done = subprocess.run(
        [sys.executable, "-m", "core", "segment", str(folder), "-o", str(out), "--format", "seg"],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert dcmread(out).StudyInstanceUID == made.study_uid
    assert not any(secret in done.stdout + done.stderr for secret in SECRETS)


class Downloads(Part):
    """What the page of a case offers."""

    def __init__(self, shared, case):
        def page():
            import streamlit as st

            from app.views.dicom_out import dicom_downloads

            dicom_downloads(st.session_state["shared"], st.session_state["case"])

        super().__init__(page, shared=shared, case=case)

    @property
    def words(self):
        return " ".join(caption.value for caption in self.at.caption)


def test_the_page_offers_them_for_a_series_and_says_why_not_for_a_nifti(shared, case):
    offered = Downloads(shared, case)
    assert len(offered.at.get("download_button")) == 4
    plain = shared.segment_and_keep(stream(as_bytes(example())), "x", Caller())
    refused = Downloads(shared, plain)
    assert not refused.at.get("download_button")
    assert "came as NIfTI" in refused.words


def test_a_mask_that_nobody_has_seen_is_not_given_and_the_page_says_so(shared, archive):
    seen = shared.segment_and_keep(io.BytesIO(archive), "x", Caller())
    page = Downloads(shared, seen)
    assert not page.at.error
    fewer = shared.cases.images(seen.id).labels.copy()
    fewer[: fewer.shape[0] // 2] = 0
    shared.corrections.save(seen.id, packed(fewer), base=0, author="Dr B", comment="")
    for kind in KINDS:
        with pytest.raises(NewerVersionError, match="version 1"):
            _file(shared, seen, kind)
    page.run()
    (refusal,) = page.at.error
    assert "mask version 1 was saved after the page was drawn" in refusal.value
    now = shared.cases.get(seen.id)
    seg = volumes_of(dcmread(io.BytesIO(_file(shared, now, "seg"))))
    for label, mm3 in seg.items():
        assert mm3 == pytest.approx(now.report["measures"][label]["volume_mm3"], rel=1e-3)
        assert mm3 < seen.report["measures"][label]["volume_mm3"]


def test_the_volumes_of_the_segmentation_are_those_of_the_report_and_of_the_page(shared, case):
    from core.exports.dicom_case import objects_of

    objects = objects_of(shared.cases, case.id)
    volumes = volumes_of(dcmread(io.BytesIO(objects["seg"])))
    in_report = numbers_in(dcmread(io.BytesIO(objects["sr"])))
    for label, mm3 in volumes.items():
        on_page = case.report["measures"][label]["volume_mm3"]
        assert on_page > 300
        assert mm3 == pytest.approx(on_page, rel=1e-3)
        assert any(value == pytest.approx(on_page, rel=1e-3) for value in in_report)


def contents(path):
    """A file's bytes, and what is packed in them."""
    raw = path.read_bytes()
    yield raw
    if path.suffix == ".gz":
        yield gzip.decompress(raw)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            for name in packed.namelist():
                yield name.encode() + packed.read(name)
    if raw.startswith(b"SQLite format 3"):
        with sqlite3.connect(path) as database:
            yield "\n".join(database.iterdump()).encode()


def forms(secret):
    for text in (secret, secret.upper(), secret.lower()):
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            yield text.encode(encoding)


def test_no_file_of_the_data_folder_names_the_patient(shared, case):
    from core.exports.dicom_case import case_object

    shared.viewer_files.images(case.id, case.mask_version)
    assert case_object(shared.cases, case.id, "zip")
    var = shared.settings.data_dir
    assert (var / KEY_FILE).is_file()
    assert shared.cases.origin(case.id).patient_name == NAME
    assert case.report["study"] == {"date": "2026-11-30", "sex": "F", "age_years": 65}
    assert (case.name, case.patient[:2]) == (case.id, "P-")
    files = [path for path in var.rglob("*") if path.is_file()]
    assert any(path.suffix == ".gz" for path in files)
    assert any(path.parent.name == "origins" for path in files)
    assert (var / "server.log").stat().st_size > 0
    for path in files:
        for content in contents(path):
            for secret in SECRETS:
                assert not any(form in content for form in forms(secret)), (path, secret)


def test_a_case_that_is_removed_for_good_takes_its_origin_along(shared, archive):
    case = shared.segment_and_keep(io.BytesIO(archive), "x", Caller())
    shared.delete_case(case.id)
    assert f"origins/{case.id}" in shared.storage.keys("origins")
    later = datetime.now(UTC) + timedelta(days=TRASH_DAYS + 1)
    shared.cases.caretaker._now = lambda: later
    shared.cases.caretaker.purge_deleted()
    assert f"origins/{case.id}" not in shared.storage.keys("origins")


def test_a_server_starts_without_highdicom():
    """Its import takes seconds and 100 MiB: only who asks for an object waits for it."""
    names = "[name for name in sys.modules if name.split('.')[0] == 'highdicom']"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, app.server, app.views.case; print({names})"],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr
