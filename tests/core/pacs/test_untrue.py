"""A PACS that says it kept what it did not, sends what nobody asked for, or is not who it says."""

import gzip
import io
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydicom import dcmread

from core import limits
from core.errors import PacsError
from core.pacs.client import Pacs, Series
from tests.orthanc import slices

SERIES = Series("1.3", "1.2", "MR", "", "1", 2)


@contextmanager
def answering(
    *instances: str, body: bytes = b"", kind: str = "", certificate: Path | None = None
) -> Iterator[str]:
    """A server that lists these instances, gives ``body`` for a series, and takes all; its URL."""
    listed = json.dumps([{"00080018": {"vr": "UI", "Value": [uid]}} for uid in instances])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.split("?")[0].endswith("/series/1.3"):
                self._say(body, kind)
            else:
                self._say(listed.encode(), "application/dicom+json")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))  # never in chunks
            self._say(b"{}", "application/dicom+json")

        def _say(self, content: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http{'s' * (certificate is not None)}://127.0.0.1:{server.server_port}/dicom-web"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def multipart(*files: bytes) -> tuple[bytes, str]:
    parts = b"".join(b"\r\n--x\r\nContent-Type: application/dicom\r\n\r\n" + file for file in files)
    return parts + b"\r\n--x--", 'multipart/related; type="application/dicom"; boundary=x'


def code_of(url: str, folder: Path) -> str:
    with pytest.raises(PacsError) as failed:
        Pacs(url).retrieve(SERIES, folder)
    assert list(folder.iterdir()) == []
    return failed.value.code


def test_success_without_anything_kept_is_not_believed():
    with answering() as url, pytest.raises(PacsError) as lost:
        Pacs(url).send(slices(2))
    assert lost.value.code == "pacs_lost"
    assert "does not have 2 of them" in lost.value.message


def test_a_file_of_another_series_refuses_all(tmp_path):
    body, kind = multipart(*slices(2))
    with answering("1.4", "1.5", body=body, kind=kind) as url:
        assert code_of(url, tmp_path) == "pacs_answer"


def test_a_last_file_that_is_cut_off_is_not_taken_for_whole(tmp_path):
    files = slices(2, study=SERIES.study_uid, series=SERIES.uid)
    uids = [str(dcmread(io.BytesIO(file)).SOPInstanceUID) for file in files]
    body, kind = multipart(*files)
    with answering(*uids, body=body, kind=kind) as url:
        shutil.rmtree(Pacs(url).retrieve(SERIES, tmp_path))
    for cut in (3, 9, 1000, len(files[1]) + 20):
        with answering(*uids, body=body[:-cut], kind=kind) as url:
            assert code_of(url, tmp_path) == "pacs_unavailable"


@pytest.mark.parametrize(
    "body", [multipart()[0], b"\r\n--x\r\nno end of a head\r\n--x--", multipart(b"no DICOM")[0]]
)
def test_what_is_no_dicom_is_refused_and_leaves_nothing(body, tmp_path):
    with answering("1.4", body=body, kind=multipart()[1]) as url:
        assert code_of(url, tmp_path) in ("pacs_answer", "pacs_incomplete")
    with answering("1.4", body=body, kind="text/html") as url:
        assert code_of(url, tmp_path) == "pacs_answer"


def test_only_a_certificate_of_the_named_authority_is_trusted(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=pacs", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    with answering(certificate=both) as url:
        with pytest.raises(PacsError) as refused:
            Pacs(url).studies(name="Doe*")
        assert refused.value.code == "pacs_certificate"
        assert Pacs(url, ca=str(certificate)).series("1.2") == []


def test_a_file_of_another_study_is_not_taken_under_the_name_of_one_that_was_asked_for(tmp_path):
    file = slices(1, study="9.9", series=SERIES.uid, patient_id="SOMEBODY-ELSE")[0]
    body, kind = multipart(file)
    uid = str(dcmread(io.BytesIO(file)).SOPInstanceUID)
    with answering(uid, body=body, kind=kind) as url:
        assert code_of(url, tmp_path) == "pacs_answer"


class _Elsewhere(BaseHTTPRequestHandler):
    """Sends everybody somewhere else, or answers a STOW with far too much."""

    place = ""
    heard: list[bytes] = []

    def do_POST(self) -> None:
        self.heard.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(307 if self.place else 200)
        content = b"" if self.place else gzip.compress(bytes(64 * limits.MIB), 1)
        for name, value in (
            ("Location", self.place), ("Content-Encoding", "gzip" if content else "identity"),
            ("Content-Type", "application/dicom+json"), ("Content-Length", str(len(content))),
        ):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.mark.parametrize(
    ("place", "code"), [("{url}/elsewhere", "pacs_refused"), ("", "pacs_too_large")]
)
def test_what_is_sent_follows_no_redirect_and_its_answer_has_a_bound(monkeypatch, place, code):
    monkeypatch.setattr(_Elsewhere, "heard", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere)
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(_Elsewhere, "place", place.format(url=url))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with pytest.raises(PacsError) as failed:
            Pacs(url).send(slices(1))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert failed.value.code == code
    assert len(_Elsewhere.heard) == 1
