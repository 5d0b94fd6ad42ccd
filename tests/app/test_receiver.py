"""A scanner sends a study to the receiver's own process; its results arrive in the PACS."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from core.cases.store import Cases
from core.pacs.client import Pacs
from core.settings import ROOT
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.core.pacs.test_receiver import storescu
from tests.orthanc import PASSWORD, USER, Orthanc, running_orthanc
from tests.phantoms import BIRTH_DATE, NAME, PATIENT_ID, phantom_of, written
from tests.scans import example
from tests.server import Server, running
from tests.waiting import until

PEER = {"receiver_peers": "SCANNER@127.0.0.1", "receiver_quiet_s": "1"}


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("pacs") / "orthanc") as started:
        yield started


@pytest.fixture(scope="module")
def server(orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pacs = {"pacs_url": orthanc.url, "pacs_user": USER, "pacs_password": PASSWORD}
    folder = tmp_path_factory.mktemp("receiving")
    with running(folder, **PEER, **pacs, pacs_return="all") as started:
        yield started


@pytest.fixture(scope="module")
def port(server: Server) -> Iterator[int]:
    """Where ``python -m core receive`` listens."""
    variables = {f"HIPPOVIEW_{name.upper()}": value for name, value in PEER.items()}
    environment = {**os.environ, **variables, "HIPPOVIEW_DATA_DIR": str(server.data_dir)}
    with subprocess.Popen(
        [sys.executable, "-m", "core", "receive", "--port", "0"],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().split()[-1])
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_a_study_from_a_scanner_becomes_a_case_and_its_results_arrive_in_the_pacs(
    server: Server, port: int, orthanc: Orthanc, tmp_path: Path
) -> None:
    assert storescu(port, written(tmp_path / "sent", phantom_of(example()).datasets()))
    cases = Cases(connect(server.data_dir), LocalStorage(server.data_dir / "storage"))
    (case,) = until(cases.find)
    assert case.name == "Received, 35 files"
    received = server.data_dir / "received"
    until(lambda: not list((received / "ready").iterdir()))
    until(lambda: not list((received / "returns").iterdir()))
    pacs = Pacs(orthanc.url, USER, PASSWORD)
    (study,) = pacs.studies(patient_id=PATIENT_ID)
    assert study.patient_name == NAME
    assert sorted(one.modality for one in pacs.series(study.uid)) == ["DOC", "SEG", "SR"]
    counted = httpx.get(f"{server.url}/api/metrics").text
    assert 'hippoview_scans_total{origin="receiver",outcome="segmented"} 1.0' in counted
    for file in server.data_dir.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            for word in (NAME, PATIENT_ID, BIRTH_DATE):
                assert word.encode() not in content, file.name


def test_the_receiver_starts_for_nobody_where_no_peer_is_set(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "core", "receive", "--port", "0"],
        cwd=ROOT, env={**os.environ, "HIPPOVIEW_DATA_DIR": str(tmp_path)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "HIPPOVIEW_RECEIVER_PEERS" in done.stderr
    assert list(tmp_path.iterdir()) == []
