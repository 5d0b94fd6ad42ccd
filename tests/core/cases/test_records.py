"""A record in the storage that others wrote is taken in whole, or left alone with words."""

import json
from copy import deepcopy
from functools import reduce
from operator import getitem

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from loguru import logger

from core.cases.records import record_key, record_of
from core.cases.worklist import Filter
from core.errors import NotFoundError, StorageError
from core.exports.tables import Outcome, report_csv, report_json, summary_csv
from core.measures.measure import measure
from core.state.tables import CASES, FEATURES, MASK_VERSIONS
from tests.house import House
from tests.tiny import analysis, labels_of, packed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def whole_report(number):
    """As a head has it."""
    measures = json.loads(json.dumps(measure(labels_of(number), np.eye(4)).as_dict()))
    side = {"confidence": "high", "centre_mm": [1.0, 2.0, 3.0], "pointed": False}
    parts = {name: measures[name] for name in ("anterior", "posterior", "total")}
    return {
        "notice": "", "measures": measures | {"sides": {"left": parts},
                                              "too_small": {"total": {"cut": "cut"}}},
        "warnings": [{"level": "warning", "code": "check", "message": "Look"}],
        "input": {"sha256": "a", "shape": [8, 9, 10], "spacing_mm": [1.0, 1.0, 1.0],
                  "orientation": "RAS"},
        "head": {"confidence": "check", "reasons": ["why"], "brain_ml": 1200.0,
                 "sides": {"left": side}},
        "model": {"version": "1", "name": "tiny", "sha256": "b"}, "device": "cpu",
        "timings_s": {"total": 1.0},
    }  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    return House(tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="module")
def whole(house):
    """A record with all that one may have; the texts that hold JSON are read."""
    case_id = house.cases.add(analysis(1), "x").id
    house.corrections.save(case_id, packed(2), base=0, author="A", comment="why")
    house.cases.review(case_id, "accepted", "B")
    record = json.loads(house.inner.read(record_key(case_id)))
    mask = record["masks"][0]
    mask["content"] = json.loads(mask["content"]) | {
        "report": whole_report(2) | {"mask": {"version": 1, "author": "A"}}
    }
    return record | {"report": whole_report(1) | {"case_id": case_id}}


def file_of(record):
    def packed(place, name):
        content = place.get(name) if isinstance(place, dict) else None
        return place | {name: json.dumps(content)} if isinstance(content, dict) else place

    masks = record["masks"]
    if isinstance(masks, list):
        masks = [packed(mask, "content") for mask in masks]
    return json.dumps(packed(record | {"masks": masks}, "report")).encode()


def places_in(value, path=()):
    """Paths of all that a record holds, at any depth."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in items:
        yield (*path, name)
        if isinstance(inner, dict | list):
            yield from places_in(inner, (*path, name))


def changed(record, path, value):
    record = deepcopy(record)
    inner = record
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return record


def show(house, record):
    """Do with it what pages do."""
    with house.cases.acts.engine.begin() as connection:
        for table in (MASK_VERSIONS, FEATURES, CASES):
            connection.execute(table.delete())
    house.cases.acts.update_rows([record])
    rows = house.cases.find() + house.cases.find(deleted=True)
    assert [row.id for row in rows] == [record["id"]]
    Filter("accepted", least_mm3=1.0).admits(rows[0])
    house.cases.features()
    if record["deleted_at"] is not None:
        return
    for version in (None, 0, 1):
        case = house.cases.get(record["id"], version)
        report_json(case)
        report_csv(case)
        summary_csv([Outcome("x", case)])
    house.corrections.versions(record["id"])


@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_a_field_holds_pages_show_it_or_it_is_refused(data, house, whole):
    path = data.draw(st.sampled_from(list(places_in(whole))))
    value = data.draw(JSON)
    before = reduce(getitem, path, whole)
    assume(
        not isinstance(before, dict) or not isinstance(value, dict)
    )  # older ones have less in it
    content = file_of(changed(whole, path, value))
    try:
        record = record_of(house.inner, whole["id"], content)
    except StorageError:
        return
    show(house, record)


def test_a_whole_record_is_shown(house, whole):
    show(house, record_of(house.inner, whole["id"], file_of(whole)))


WRONG = [
    ("report", "no JSON"), ("report", "[]"), ("report", '{"measures": 5}'),
    ("report", "[" * 99_999), ("name", 5), ("name", None), ("created_at", "soon"),
    ("deleted_at", "0"), ("deleted_at", 7), ("model_version", 1), ("anterior_mm3", "much"),
    ("anterior_mm3", float("nan")), ("posterior_mm3", True), ("warning_count", 1.5),
    ("warning_count", 10**30), ("review", "odd"), ("reviewer", ["B"]),
    ("reviewed_at", "yesterday"), ("reason", {}), ("confidence", 1), ("too_small", None),
    ("revision", -1), ("mask_version", "1"), ("features", [1]), ("features", {"noise": "loud"}),
    ("masks", ["a"]), ("masks", None),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_a_field_of_another_kind_is_refused_in_words_and_keeps_no_other_case(
    field, value, tmp_path, log
):
    house = House(tmp_path)
    ids = [house.cases.add(analysis(n), str(n)).id for n in range(3)]
    record = json.loads(house.inner.read(record_key(ids[1])))
    house.inner.write(record_key(ids[1]), json.dumps(record | {field: value}).encode())
    lost, _ = house.opened("lost")
    assert lost.import_from_storage() == 2
    assert lost.caretaker.progress.damaged == 1
    assert f"{ids[1]}: it was left alone, its record is damaged" in log()
    with pytest.raises(NotFoundError):
        lost.get(ids[1])
    with pytest.raises(StorageError, match="damaged"):
        house.cases.rename(ids[1], "other")
    house.inner.write(record_key(ids[1]), json.dumps(record).encode())
    assert lost.import_from_storage() == 1
    assert lost.caretaker.progress.damaged == 0


@pytest.fixture
def log():
    """What was logged so far."""
    lines = []
    handle = logger.add(lines.append, format="{message}")
    yield lambda: "".join(lines)
    logger.remove(handle)
