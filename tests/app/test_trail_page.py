"""The page of the trail, the downloads that leave a line, and *Forget this patient*."""

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from app.views.recorded import recorded
from app.views.trail import case_marks, from_words, who_words
from core.errors import ForbiddenError, StorageError
from core.people.accounts import Accounts
from core.people.acting import SERVER, Actor, acting_as, actor
from core.people.audit import lines, mark, record_alone
from core.people.audit_table import export, lines_for
from core.people.permission import Guard
from core.people.sign_ins import SignIns
from tests.house import House
from tests.parts import Part
from tests.tiny import analysis

READER = Actor("u1", "Rita", "reader", address="10.0.0.7")
ADMINISTRATOR = Actor("u2", "Ada", "administrator")


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def test_a_download_leaves_its_line_before_it_leaves(house):
    case_id = house.cases.add(analysis(1), "1", owners=" memory ").id
    engine = house.cases.acts.engine
    accounts = Accounts(engine)
    with acting_as(SERVER):
        accounts.add("Ada", "administrator", (), "correct horse battery")
        rita = accounts.add("Rita", "reader", ["memory"])
    shared = SimpleNamespace(cases=house.cases, sign_ins=SignIns(engine))
    with acting_as(Actor(rita.id, "Rita", "reader", rita.groups)):
        content = recorded(shared, case_id, "mask.nii.gz", b"mask")
        other = recorded(shared, case_id, "surfaces.ply", lambda: actor().name.encode())
    assert lines(engine, act="export") == []  # a page that shows the button takes nothing out
    with ThreadPoolExecutor() as pool:  # a thread of Streamlit's, which knows nobody
        assert pool.submit(content).result() == b"mask"
        assert pool.submit(other).result() == b"Rita"
    found = lines(engine, act="export", what=mark(engine, "case", case_id))
    assert [(line.name, line.note) for line in found] == [
        ("Rita", "surfaces.ply"), ("Rita", "mask.nii.gz"),
    ]  # fmt: skip


def test_what_cannot_be_recorded_does_not_leave(house, monkeypatch):
    case_id = house.cases.add(analysis(1), "1").id

    def full(*_, **__):
        raise StorageError("The disk of the database is full")

    monkeypatch.setattr("core.cases.lines.record_alone", full)
    made = []
    shared = SimpleNamespace(cases=house.cases, sign_ins=SignIns(house.cases.acts.engine))
    content = recorded(shared, case_id, "mask", lambda: made.append(1) or b"")
    with pytest.raises(StorageError):
        content()
    assert made == []
    with acting_as(READER):
        house.cases.acts.lines.viewed(case_id)  # but reading goes on


def test_a_look_leaves_one_line_for_each_person_and_none_of_the_server(house):
    case_id = house.cases.add(analysis(1), "1").id
    for who in (READER, READER, ADMINISTRATOR, Actor("server", "server", "server")):
        with acting_as(who):
            house.cases.acts.lines.viewed(case_id)
    looks = lines(house.cases.acts.engine, act="view")
    assert [line.name for line in looks] == ["Ada", "Rita"]


def test_only_administrators_read_the_trail_and_that_they_took_it_out_is_in_it(house):
    engine = house.cases.acts.engine
    guard = Guard(engine)
    record_alone(engine, "settings", note="=1+1")
    with acting_as(READER), pytest.raises(ForbiddenError):
        lines_for(guard)
    with acting_as(ADMINISTRATOR):
        rows = list(csv.DictReader(io.StringIO(export(guard, act="settings").decode())))
    assert [row["note"] for row in rows] == ["'=1+1"]
    assert (lines(engine)[0].act, lines(engine)[0].name) == ("export", "Ada")


def test_the_page_names_the_case_that_a_line_is_about_and_who_was_refused(house):
    engine = house.cases.acts.engine
    there, gone = (house.cases.add(analysis(n), str(n)).id for n in (1, 2))
    house.cases.delete(there)  # in the trash it is still here
    shared = SimpleNamespace(cases=house.cases, accounts=SimpleNamespace(guard=Guard(engine)))
    marks = case_marks(shared)
    assert marks[mark(engine, "case", there)] == f"case {there}"
    assert marks[mark(engine, "case", gone)] == f"case {gone}"
    refused = Actor("u2", "", "nobody", address="10.0.0.9")
    record_alone(engine, "refused", mark(engine, "case", there), by=refused)
    line = lines(engine, act="refused")[0]
    assert (who_words(line, {"u2": "Ada"}), from_words(line)) == ("somebody as Ada", "10.0.0.9")
    record_alone(engine, "settings", by=ADMINISTRATOR)
    assert from_words(lines(engine, act="settings")[0]) == "this machine"
    record_alone(engine, "refused", by=Actor("", "", "nobody"))
    assert who_words(lines(engine, act="refused")[0], {}) == "somebody, not signed in"


@pytest.fixture
def form(house):
    house.cases.add(analysis(1), "1", "P-1")
    forgotten = []

    def page():
        import streamlit as st

        from app.views.forgetting import forget_form, show_receipt

        show_receipt()
        forget_form(st.session_state["shared"], "P-1", 1)

    def forget(patient):
        forgotten.append(patient)
        return SimpleNamespace(cases=("HV-1",), versions_trained_on_it=(3,), file=lambda: b"{}")

    guard = SimpleNamespace(may=lambda act: True)
    shared = SimpleNamespace(accounts=SimpleNamespace(guard=guard), forget_patient=forget)
    return Part(page, shared=shared), forgotten


def test_a_patient_is_forgotten_only_once_the_pseudonym_was_typed(form):
    part, forgotten = form
    assert part.at.button[0].disabled
    part.at.text_input[0].input("P-2")
    part.run()
    assert part.at.button[0].disabled
    part.at.text_input[0].input("P-1")
    part.run()
    part.at.button[0].click()
    part.run()
    assert forgotten == ["P-1"]
    assert "1 scan" in part.at.success[0].value
    assert "trained on them: 3" in part.at.success[0].value
    assert len(part.at.get("download_button")) == 1
