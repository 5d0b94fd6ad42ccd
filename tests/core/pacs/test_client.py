"""The PACS client against a real Orthanc, also one that is killed midway."""

import io
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from core import limits
from core.errors import GoneError, HippoViewError, InputError, PacsError
from core.pacs.client import Pacs, Progress, Series
from tests.buckets import refusing
from tests.orthanc import PASSWORD, USER, Orthanc, ending, running_orthanc, slices
from tests.server import free_port

COUNT = 12


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    return slices(COUNT)


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory, files: list[bytes]) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("pacs") / "orthanc") as started:
        client(started.url).send(files)
        yield started


def client(url: str, **more: int) -> Pacs:
    return Pacs(url, USER, PASSWORD, **more)


def head(pacs: Pacs) -> Series:
    return pacs.series(pacs.studies(patient_id="P-1")[0].uid)[0]


def test_a_study_is_found_by_id_name_date_and_accession(orthanc):
    pacs = client(orthanc.url)
    study = pacs.studies(patient_id="P-1")[0]
    assert (study.date, study.description, study.accession) == ("20261130", "Head", "A-7")
    assert study.patient_name == "Doe^Jane"
    for search in (
        {"name": "Doe*"},
        {"name": "DOE^J*"},
        {"name": "doe jane"},
        {"date": "20261101-20261130"},
        {"accession": "A-7"},
    ):
        assert pacs.studies(**search) == [study]
    assert pacs.studies(patient_id="P-2") == []
    assert pacs.studies(patient_id="P-1", date="20251130") == []
    series = head(pacs)
    assert (series.modality, series.description, series.instances) == ("MR", "T1", COUNT)


@pytest.mark.parametrize("search", [{}, {"name": "  "}, {"date": "30.11.2026"}])
def test_a_search_that_means_nothing_is_refused_before_the_pacs_is_asked(search):
    with pytest.raises(InputError):
        client("http://127.0.0.1:1").studies(**search)


def test_a_series_comes_whole_with_progress(orthanc, files, tmp_path):
    pacs, told = client(orthanc.url), list[Progress]()
    folder = pacs.retrieve(head(pacs), tmp_path, told.append)
    came = {dcmread(path).SOPInstanceUID: path.read_bytes() for path in folder.iterdir()}
    sent = {dcmread(io.BytesIO(file)).SOPInstanceUID: file for file in files}
    assert {u: dcmread(io.BytesIO(f)).PixelData for u, f in came.items()} == {
        u: dcmread(io.BytesIO(f)).PixelData for u, f in sent.items()
    }
    assert {one.of for one in told} == {COUNT}
    assert [one.bytes for one in told] == sorted(one.bytes for one in told)
    assert told[-1].bytes > sum(len(file) for file in files)


def test_a_cancelled_series_leaves_nothing(orthanc, tmp_path):
    pacs, told = client(orthanc.url), list[Progress]()
    with pytest.raises(GoneError):
        pacs.retrieve(head(pacs), tmp_path, told.append, lambda: len(told) > 1)
    assert list(tmp_path.iterdir()) == []


def test_a_series_above_a_limit_is_refused_and_leaves_nothing(orthanc, tmp_path, monkeypatch):
    small = client(orthanc.url, most_bytes=100_000)
    with pytest.raises(PacsError) as refused:
        small.retrieve(head(small), tmp_path)
    assert refused.value.code == "pacs_too_large"
    monkeypatch.setattr(limits, "PACS_FILES", COUNT - 1)
    with pytest.raises(PacsError, match="files"):
        small.retrieve(head(client(orthanc.url)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_results_are_sent_found_and_sent_again_without_doubles(orthanc):
    pacs, results = client(orthanc.url), slices(3, patient_id="P-3")
    for _ in range(2):
        pacs.send(results)
        assert head_of(pacs, "P-3").instances == 3


def head_of(pacs: Pacs, patient_id: str) -> Series:
    (study,) = pacs.studies(patient_id=patient_id)
    (series,) = pacs.series(study.uid)
    return series


def test_orthanc_killed_within_a_series_keeps_nothing_and_a_retry_works(orthanc, tmp_path):
    series = head(client(orthanc.url))
    with (
        ending(orthanc.url, orthanc.kill, came=150_000) as way,
        pytest.raises(PacsError) as broken,
    ):
        client(way).retrieve(series, tmp_path)
    assert "try again" in broken.value.hint
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(PacsError, match="failed or broke off"):
        client(orthanc.url).retrieve(series, tmp_path)
    orthanc.start()
    folder = client(orthanc.url).retrieve(series, tmp_path)
    assert len(list(folder.iterdir())) == COUNT


def test_orthanc_killed_within_a_send_is_said_and_a_retry_works(orthanc):
    results = slices(6, patient_id="P-4")
    with (
        ending(orthanc.url, orthanc.kill, sent=80_000) as way,
        pytest.raises(PacsError) as broken,
    ):
        client(way).send(results)
    assert "send again" in broken.value.hint
    orthanc.start()
    pacs = client(orthanc.url)
    assert pacs.studies(patient_id="P-4") == []
    pacs.send(results)
    assert head_of(pacs, "P-4").instances == 6


def test_wrong_credentials_are_said_without_them(orthanc):
    with pytest.raises(PacsError) as refused:
        Pacs(orthanc.url, USER, "wrong").studies(patient_id="P-1")
    assert refused.value.code == "pacs_denied"
    assert "wrong" not in str(refused.value.as_dict())


def test_what_is_no_pacs_is_said_in_words(tmp_path):
    series = Series("1.2", "1.3", "MR", "", "1", 1)
    with refusing(500) as broken, refusing(200) as empty:
        for url, code in (
            (f"{broken}/dicom-web", "pacs_refused"), (f"{empty}/dicom-web", "pacs_missing"),
            (f"http://127.0.0.1:{free_port()}/dicom-web", "pacs_unavailable"),
        ):  # fmt: skip
            with pytest.raises(HippoViewError) as failed:
                client(url).retrieve(series, tmp_path)
            assert failed.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_a_pacs_that_says_nothing_does_not_hold_a_reader_for_ever(monkeypatch):
    monkeypatch.setattr(limits, "PACS_ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pacs = client(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(PacsError) as late:
            pacs.studies(patient_id="P-1")
    assert late.value.code == "pacs_timeout"


def test_an_address_within_a_uid_goes_nowhere(orthanc, tmp_path: Path):
    with pytest.raises(PacsError):
        client(orthanc.url).retrieve(Series("../../x", "1.2", "", "", "", 0), tmp_path)
