"""A series that is fetched on the Segment page takes the patient that was typed for it alone."""

from types import SimpleNamespace

from streamlit.testing.v1 import AppTest

from app.batch import Batch
from app.views import pacs, shared
from core.errors import InputError
from core.pacs.client import Pacs, Series, Study
from core.people.audit import lines
from core.people.permission import Guard
from core.settings import ROOT
from core.state.database import connect


class Archive:
    def studies(self, *, patient_id, **others):
        return [Study(f"1.{patient_id}", "20260101", "head", patient_id, "DOE^J", "")]

    def series(self, study_uid):
        return [Series(f"{study_uid}.1", study_uid, "MR", "t1", "1", 9)]


def test_the_patient_of_one_series_is_not_that_of_the_next(tmp_path, monkeypatch):
    given = []

    def work(source, name, caller, patient, series):
        given.append(patient)
        raise InputError("no scan", "Take another.")

    engine = connect(tmp_path / "data")
    settings = SimpleNamespace(pacs_url="http://archive", max_upload_mib=10)
    hospital = SimpleNamespace(
        settings=settings, incoming=tmp_path, lost=SimpleNamespace(files=0, at_s=0),
        predictors=SimpleNamespace(serving=1), accounts=SimpleNamespace(guard=Guard(engine)),
        cases=SimpleNamespace(
            patients=list, guard=Guard(engine), acts=SimpleNamespace(engine=engine)
        ),
    )  # fmt: skip
    monkeypatch.setattr(shared, "services", lambda: hospital)
    monkeypatch.setattr(Pacs, "of", lambda settings: Archive())
    monkeypatch.setattr(pacs, "fetching", lambda *of: lambda *how: None)
    batch = Batch(work, tmp_path, lambda: True)
    page = AppTest.from_file(str(ROOT / "pages" / "segment.py"), default_timeout=60)
    page.session_state["batch"] = batch
    page.run()
    page.text_input(key=f"patient-{batch.round}").set_value("QX-1").run()
    for patient_id in ("1", "2"):
        page.text_input(key="pacs-id").set_value(patient_id)
        next(each for each in page.button if each.label == "Search").click().run()
        page.button(key="pacs-fetch").click().run()
    assert not page.exception
    assert given == ["QX-1", ""]
    # Who searched, and by what; not for whom.
    told = [(line.what, line.note) for line in lines(engine, act="search")]
    assert told == [("PACS", "by patient id")] * 2
