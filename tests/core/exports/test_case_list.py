"""What leaves with the list of cases, and the line that says so."""

import csv
import io

import pytest

from core.cases.store import Cases
from core.errors import StorageError
from core.exports.case_list import export_list
from core.people.acting import Actor, acting_as
from core.people.audit import lines, set_up
from core.settings import Settings
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.tiny import analysis


@pytest.fixture
def cases(tmp_path):
    engine = connect(tmp_path)
    set_up(engine, Settings(data_dir=tmp_path))
    yield Cases(engine, LocalStorage(tmp_path / "storage"))
    engine.dispose()


def test_the_list_has_the_figures_of_the_cases_no_formula_and_leaves_a_line(cases):
    first, second = (cases.add(analysis(n), name).id for n, name in ((3, "=1+1"), (5, "two")))
    cases.add(analysis(7), "not shown")
    table = export_list(cases, {first, second}).decode()
    rows = {row["case_id"]: row for row in csv.DictReader(io.StringIO(table, newline=""))}
    assert {key: row["name"] for key, row in rows.items()} == {first: "'=1+1", second: "two"}
    measured = cases.get(first).report["measures"]
    assert rows[first]["anterior_mm3"] == f"{measured['anterior']['volume_mm3']:.1f}"
    assert "diagnosis" in rows[first]["notice"]
    (line,) = lines(cases.acts.engine, act="export")
    assert (line.what, line.note) == ("cases", "csv, 2 cases")


def test_who_no_longer_sees_a_case_gets_no_row_of_it(cases):
    own, others = (cases.add(analysis(n), f"scan {n}").id for n in (3, 5))
    cases.set_owners(own, ["memory"])
    cases.set_owners(others, ["ward-3"])
    with acting_as(Actor("r", "Rita", "reader", frozenset({"memory"}))):
        table = export_list(cases, {own, others}).decode()
    assert own in table
    assert others not in table


def test_nothing_leaves_without_its_line(cases):
    kept = cases.add(analysis(3), "one").id
    with cases.acts.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON trail "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    with pytest.raises(StorageError):
        export_list(cases, {kept})
