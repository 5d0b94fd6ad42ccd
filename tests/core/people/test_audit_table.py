"""Lines of the trail as somebody looks for them, and as a table."""

import csv
import io

import pytest

from core.people.acting import Actor, acting_as
from core.people.audit import lines, record_alone
from core.people.audit_table import table_of
from core.state.database import connect

READER = Actor("u1", "Rita Reader", "reader", address="10.0.0.7")

READER = Actor("u1", "Rita Reader", "reader", address="10.0.0.7")


@pytest.fixture
def engine(tmp_path):
    opened = connect(tmp_path / "data")
    yield opened
    opened.dispose()


def test_lines_are_found_by_day_person_address_and_act(engine):
    with acting_as(READER):
        record_alone(engine, "view", "case 1")
    record_alone(engine, "settings")
    day = lines(engine)[0].at[:10]
    assert [line.act for line in lines(engine, who="rita")] == ["view", "begin"]
    assert [line.act for line in lines(engine, who="10.0.0.7", act="view")] == ["view"]
    assert len(lines(engine, since=day, until=day)) == 3
    assert lines(engine, since="2999-01-01") == lines(engine, until="2000-01-01") == []
    assert len(lines(engine, most=2)) == 2


@pytest.mark.parametrize(
    "name", ['=cmd|"/C calc"!A0', " =1+1", "\uff1d1+1", "\uff20SUM(1)", "+1+cmd|x"]
)
def test_a_spreadsheet_takes_no_cell_for_a_formula(name, engine):
    with acting_as(Actor("u2", name, "reader")):
        record_alone(engine, "view", "case 1")
    table = table_of(lines(engine)).decode()
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    assert rows[0]["name"] == f"'{name}"
    assert rows[0]["number"] == "2"
