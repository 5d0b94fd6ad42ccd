"""Names that lead out of their folder, run as formulas or as scripts: at every door."""

import csv
import io
import itertools
import socket
import zipfile

import pytest

from core.cases.case import clean_text
from core.exports.tables import Outcome, archive, summary_csv
from tests.server import Server

# What a path that leads out would show.
SECRETS = (b"root:", b"[theme", b"SQLite format", b"[project]")
WAYS = [
    "../../../../../../etc/passwd", "..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "..%5c..%5c..%5cetc%5cpasswd",
    "..%252f..%252fetc/passwd",
    "%2fetc%2fpasswd", "//etc/passwd", "....//....//etc/passwd", "..%c0%afetc/passwd",
    "..%00/etc/passwd", "../pyproject.toml", "..%2f.streamlit%2fconfig.toml", "../hippoview.db",
]  # fmt: skip
DOORS = [
    "/{}", "/static/{}", "/media/{}", "/component/{}", "/component/a.b/{}", "/app/static/{}",
    "/_stcore/bidi-components/{}", "/_stcore/bidi-components/slices/{}",
    "/api/{}", "/api/viewer/{}", "/api/viewer/{}.js", "/api/viewer/cases/{}/x/scan.nii.gz",
    "/api/viewer/cases/HV-ABCDEF/{}/scan.nii.gz", "/api/viewer/cases/HV-ABCDEF/x/masks/{}.nii.gz",
    "/api/viewer/cases/HV-ABCDEF/x/about/{}.json", "/api/static-offline-docs/{}",
    "/api/admin/versions/{}/gate", "/api/admin/jobs/{}/log", "/sign-in?next={}",
]  # fmt: skip
FORMULAS = [
    "=HYPERLINK(\"http://evil.example\")", "+1+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+9)*cmd|' /C calc'!A0", "\t=1+1", "\r=1+1", "\n=1+1", "  =1+1", "\uff1d1+1", "\uff0b1",
]  # fmt: skip
NAMES = [
    "../../evil.nii", "/etc/passwd", "C:\\evil.nii", "a\0b.nii", "con", "a\r\nX-Evil: 1.nii",
    "<img src=x onerror=alert(1)>.nii", "\u202egpj.nii", "x" * 5000,
]  # fmt: skip


def sent(server: Server, line: str, host: str = "") -> tuple[int, bytes]:
    """What a request line is answered with that no client's library has made harmless."""
    address, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((address, int(port)), timeout=60) as connection:
        head = f"{line} HTTP/1.1\r\nHost: {address}:{port}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode("latin-1"))
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    answer = b"".join(parts)
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize("door", DOORS)
def test_no_path_leads_out_of_its_folder(door, server):
    for way in WAYS:
        status, answer = sent(server, "GET " + door.format(way))
        assert status < 500, way
        assert not any(secret in answer for secret in SECRETS), way


def test_a_name_breaks_no_header(server):
    for way in ("%0d%0aX-Evil:%201", "%0aSet-Cookie:%20a=b", "%e5%98%8d%e5%98%8aX-Evil:1"):
        for door in DOORS:
            head = sent(server, "GET " + door.format(way))[1].partition(b"\r\n\r\n")[0].lower()
            assert b"\r\nx-evil" not in head
            assert b"\r\nset-cookie: a=b" not in head


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_cell_is_a_formula(formula):
    table = summary_csv([Outcome(formula, None, f"{formula} was refused")], with_names=True)
    (row,) = itertools.islice(csv.reader(io.StringIO(table.decode(), newline="")), 1, None)
    assert [cell for cell in row if formula in cell] == [f"'{formula}", f"'{formula} was refused"]


def test_numbers_stay_numbers():
    table = summary_csv([Outcome("-12.5", None, "")], with_names=True)
    assert table.decode().splitlines()[1].startswith("-12.5,")


@pytest.mark.parametrize("name", NAMES + FORMULAS)
def test_an_archive_names_its_files_itself(name):
    content = archive([Outcome(name, None, "refused")], [], with_names=True)
    assert zipfile.ZipFile(io.BytesIO(content)).namelist() == ["README.txt", "summary.csv"]


@pytest.mark.parametrize("name", NAMES + FORMULAS)
def test_a_name_is_kept_as_one_short_line(name):
    kept = clean_text(name)
    assert kept.isprintable()
    assert len(kept) <= 120
