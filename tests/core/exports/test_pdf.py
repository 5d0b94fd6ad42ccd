"""The report of a case on one page: every figure of the case, and no name."""

import re
import shutil
import subprocess

import pytest

from core.cases.store import Cases
from core.exports.pdf import report_pdf
from core.pipeline import analyse
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.scans import as_bytes, example, stream, template_head

NAME = "Doe Jane"


def run(program, *arguments):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is missing: apt-get install poppler-utils")
    return subprocess.run([program, *arguments], capture_output=True, check=True, text=True).stdout


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    engine = connect(folder)
    yield Cases(engine, LocalStorage(folder / "storage"))
    engine.dispose()


@pytest.mark.parametrize("scan", [example, template_head], ids=["crop", "head"])
def test_every_figure_stands_on_one_page_and_no_name(cases, predictor, tmp_path, scan):
    kept = cases.add(analyse(stream(as_bytes(scan())), predictor, tmp_path), NAME).id
    cases.review(kept, "accepted", "Dr. Weiß", despite_doubts=True)
    case = cases.get(kept)
    file = tmp_path / "report.pdf"
    file.write_bytes(report_pdf(case, cases.images(kept)))
    words = run("pdftotext", "-layout", str(file), "-")
    measures = case.report["measures"]
    parts = [p for side in measures.get("sides", {}).values() for p in side.values()]
    for part in parts or [measures["anterior"], measures["posterior"]]:
        assert f"{part['volume_mm3']:,.0f}" in words
    for expected in (kept, "Research use only", "Dr. Weiß", case.report["model"]["sha256"]):
        assert expected in words
    assert "Jane" not in words
    fonts = run("pdffonts", str(file)).splitlines()[2:]
    assert fonts
    assert all(re.search(r"yes\s+yes\s+yes", line) for line in fonts)
    assert re.search(r"Pages:\s+1\b", run("pdfinfo", str(file)))
    assert report_pdf(case, cases.images(kept)) == file.read_bytes()


def test_many_and_long_warnings_leave_the_page_one_page(cases, predictor, tmp_path):
    kept = cases.add(analyse(stream(as_bytes(example())), predictor, tmp_path), NAME).id
    case = cases.get(kept)
    case.report["warnings"] += [
        {"level": "warning", "code": f"w{n}", "message": f"Number {n}. " + "Long words. " * 40}
        for n in range(30)
    ]
    file = tmp_path / "report.pdf"
    file.write_bytes(report_pdf(case, cases.images(kept)))
    assert "more stand on the case's page" in run("pdftotext", str(file), "-")
    assert re.search(r"Pages:\s+1\b", run("pdfinfo", str(file)))
