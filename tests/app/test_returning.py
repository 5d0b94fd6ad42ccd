"""The results of received cases wait until the PACS has them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.returning import Returning
from core.cases.origins import Origins
from core.cases.store import Cases
from core.errors import PacsError
from core.pacs.client import Pacs
from core.pacs.ready import Returns
from core.state.database import connect
from core.state.storage import LocalStorage
from tests import dicom_sources as sources
from tests.orthanc import PASSWORD, USER, running_orthanc


class Ward:
    """What the way back needs of a server, with a clock of its own."""

    def __init__(self, folder: Path, url: str, rule: str) -> None:
        storage = LocalStorage(folder / "storage")
        origins = Origins(storage, lambda: b"k" * 32)
        self.cases = Cases(connect(folder), storage, origins=origins)
        self.now_s = 0.0
        self.settings = SimpleNamespace(
            received_dir=folder / "received", pacs_return=rule, seg_frames="filled", pacs_url=url,
            pacs_user=USER, pacs_password=PASSWORD, pacs_ca="",
        )  # fmt: skip
        self.waiting = Returns(self.settings.received_dir)

    def returning(self) -> Returning:
        shared: Any = self
        return Returning(shared, lambda: self.now_s)


def test_results_wait_for_a_pacs_that_is_down_also_over_a_restart(tmp_path: Path) -> None:
    with running_orthanc(tmp_path / "orthanc") as orthanc:
        ward = Ward(tmp_path, orthanc.url, "all")
        orthanc.kill()
        case = ward.cases.add(sources.analysis_of("axial"), "Received, 26 files")
        before = ward.returning()
        before.add(case)
        before.tick()
        assert ward.waiting.cases() == [case.id]
        orthanc.start()
        before.tick()  # not again at once
        assert ward.waiting.cases() == [case.id]
        ward.returning().tick()
        assert ward.waiting.cases() == []
        pacs = Pacs(orthanc.url, USER, PASSWORD)
        (study,) = pacs.studies(patient_id=sources.ID)
        assert [one.modality for one in pacs.series(study.uid)].count("SEG") == 1


@pytest.mark.parametrize(
    ("rule", "confidence", "goes"),
    [("off", "high", False), ("usable", "high", True), ("usable", "check", True),
     ("usable", "unreliable", False), ("all", "unreliable", True)],
)  # fmt: skip
def test_the_rule_says_which_results_go_back(
    tmp_path: Path, rule: str, confidence: str, goes: bool
) -> None:
    ward = Ward(tmp_path, "http://127.0.0.1:1", rule)
    case = ward.cases.add(sources.analysis_of("axial"), "a head")
    case.report["head"]["confidence"] = confidence
    case.report["warnings"] = []
    ward.returning().add(case)
    assert ward.waiting.cases() == [case.id] * goes


def test_a_case_without_results_stops_no_other(tmp_path: Path) -> None:
    ward = Ward(tmp_path, "http://127.0.0.1:1", "all")
    ward.waiting.add("HV-000000")
    ward.returning().tick()
    assert ward.waiting.cases() == []


@pytest.mark.parametrize("failure", [PacsError("refused", code="pacs_refused"), ValueError("odd")])
def test_a_case_that_never_goes_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    ward = Ward(tmp_path, "http://127.0.0.1:1", "all")
    gone, tried = [], []

    def send(shared: Any, pacs: Pacs, case_id: str) -> None:
        tried.append(case_id)
        if case_id == "HV-AAAAAA":
            raise failure
        gone.append(case_id)

    monkeypatch.setattr("app.returning.send_results", send)
    for case_id in ("HV-AAAAAA", "HV-BBBBBB", "HV-CCCCCC"):
        ward.waiting.add(case_id)
    returning = ward.returning()
    for _ in range(10):
        returning.tick()
        ward.now_s += 31
    assert gone == ["HV-BBBBBB", "HV-CCCCCC"]
    assert ward.waiting.cases() == ["HV-AAAAAA"]
    assert tried.count("HV-AAAAAA") == 4  # after 30 s, then twice as long each time
    ward.waiting.add("HV-DDDDDD")
    returning.tick()
    assert gone[-1] == "HV-DDDDDD"
