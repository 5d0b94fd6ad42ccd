"""The command line against a real Orthanc."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.__main__ import main
from tests.orthanc import PASSWORD, USER, Orthanc, running_orthanc, slices


@pytest.fixture
def orthanc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path / "orthanc") as started:
        monkeypatch.setenv("HIPPOVIEW_PACS_URL", started.url)
        monkeypatch.setenv("HIPPOVIEW_PACS_USER", USER)
        monkeypatch.setenv("HIPPOVIEW_PACS_PASSWORD", PASSWORD)
        yield started


def test_files_are_sent_found_and_fetched_again(orthanc, tmp_path, capsys):
    paths = [tmp_path / f"{number}.dcm" for number in range(3)]
    for path, file in zip(paths, slices(3), strict=True):
        path.write_bytes(file)
    assert main(["pacs", "send", *map(str, paths)]) == 0
    assert "3 objects sent, and found" in capsys.readouterr().out
    assert main(["pacs", "find", "--name", "Doe*"]) == 0
    study, date, *_ = capsys.readouterr().out.split("\t")
    assert date == "20261130"
    assert main(["pacs", "series", study]) == 0
    series = capsys.readouterr().out.split("\t")[0]
    out = tmp_path / "fetched"
    assert main(["pacs", "fetch", study, series, "-o", str(out)]) == 0
    assert len(list(out.iterdir())) == 3
    assert main(["pacs", "fetch", study, series, "-o", str(out)]) == 1
    assert "exists already" in capsys.readouterr().err


def test_what_is_no_dicom_is_not_sent(orthanc, tmp_path, capsys):
    (tmp_path / "text.dcm").write_text("no DICOM")
    assert main(["pacs", "send", str(tmp_path / "text.dcm")]) == 1
    assert "DICOM" in capsys.readouterr().err
    assert orthanc.call("/instances") == []


def test_without_a_pacs_the_setting_is_named(capsys):
    assert main(["pacs", "find", "--name", "Doe*"]) == 1
    assert "HIPPOVIEW_PACS_URL" in capsys.readouterr().err
