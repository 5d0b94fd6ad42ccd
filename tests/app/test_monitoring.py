"""What Prometheus reads: every metric that alerts and dashboard ask for, and nobody's data."""

import json
import re
import time
from dataclasses import replace

import numpy as np
import pytest
from loguru import logger
from prometheus_client.parser import text_string_to_metric_families

from app import background, metrics, monitoring
from app.services import build_services
from core.drift.watch import DriftWatch
from core.errors import StorageError
from core.models.registry import REFERENCE_NAME
from core.people.audit_watch import AuditWatch
from core.settings import Settings
from tests.core.drift.test_of_cases import reference_of
from tests.drift import analysis, table
from tests.house import Seconds
from tests.test_alerts import expressions
from tests.tiny_models import add, tiny_registry

_NAME = re.compile(r"\b(?:hippoview|process)_[a-z0-9_]+")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("var")
    made = build_services(Settings(
        data_dir=folder, webhook_url="http://127.0.0.1:1/x", webhook_secret="s" * 32
    ))  # fmt: skip
    registry = tiny_registry(folder)
    registry.prepare()
    rng = np.random.default_rng(0)
    content = json.dumps({"cases": reference_of(rng, crops=40)}).encode()
    registry.promote(add(registry, "1", {REFERENCE_NAME: content}).number)
    engine = made.cases.acts.engine
    drift = DriftWatch(engine, made.cases, registry, made.storage, 100, 40)
    made.cases.import_from_storage()
    time.sleep(0.002)  # cases are later than the promotion
    for number, values in enumerate(table(rng, 16, sharpness=-4)):
        made.cases.add(analysis(number, values, is_head=False), "DOE^JANE")
    drift.look(may_begin=True)
    made = replace(made, registry=registry, drift=drift)
    made.outside.audit_watch.check()
    yield made
    made.predictors.close()


def families(shared):
    text = (metrics.text() + monitoring.text(shared)).decode()
    return text, {f.name: f for f in text_string_to_metric_families(text)}


def values(family):
    return {
        tuple(s.labels.values()): s.value for s in family.samples if not s.name.endswith("_created")
    }


def test_it_has_what_alerts_and_dashboard_ask_for(shared):
    text, _ = families(shared)
    known = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    known |= {f"{name}_bucket" for name in known}
    for expression in expressions():
        asked = set(_NAME.findall(re.sub(r"\{.*?\}|\".*?\"", "", expression)))
        assert asked <= known, asked - known


def test_it_tells_the_state_of_drift_and_the_effect_of_each_feature(shared):
    _, found = families(shared)
    state = values(found["hippoview_drift_state"])
    assert state["crop", "act"] == 1
    assert sum(state.values()) == 2  # one state a kind
    assert state["head", "not followed"] == 1
    # In the text labels are in the order of their names.
    shift = values(found["hippoview_drift_shift_sd"])
    assert shift["sharpness", "crop"] < -2
    assert abs(shift["bias", "crop"]) < 1.5
    assert values(found["hippoview_drift_scans"])["crop",] == 16
    assert values(found["hippoview_model_version"])[()] == shared.registry.serving().number
    assert values(found["hippoview_audit_faults"])[()] == 0
    assert values(found["hippoview_notices_waiting"])["webhook",] == 0


def test_it_names_no_patient_and_no_case_and_its_series_are_bounded(shared):
    text, found = families(shared)
    assert "DOE" not in text
    assert not re.search(r"HV-[0-9A-Z]", text)
    for family in found.values():
        assert len(family.samples) < 200, family.name


def test_a_part_that_fails_is_told_and_the_others_stay(shared, monkeypatch):
    def fail():
        raise StorageError("gone", "wait")

    monkeypatch.setattr(shared.cases, "count", fail)
    _, found = families(shared)
    unknown = values(found["hippoview_part_unknown"])
    assert unknown["cases",] == 1
    assert sum(unknown.values()) == 1
    assert "hippoview_drift_state" in found
    assert "hippoview_cases" not in found


def test_warnings_and_errors_of_the_log_are_counted():
    def counted():
        return values(next(iter(metrics._LOGGED.collect())))

    before = counted()
    metrics.count_log_lines()
    logger.warning("one")
    logger.error("two")
    logger.info("none")
    assert counted() == {key: count + 1 for key, count in before.items()}


def test_the_background_writes_a_change_down_once(shared):
    for _ in range(2):
        background._follow_drift(shared)
    assert shared.outside.notices.waiting()["webhook"].count == 1
    _, found = families(shared)
    assert values(found["hippoview_notices_waiting"])["webhook",] == 1


def test_a_changed_trail_is_found_by_the_check_of_every_six_hours(shared):
    clock = Seconds()
    watch = AuditWatch(shared.cases.acts.engine, shared.storage, clock)
    watch.tick()
    assert watch.latest is None
    clock.now = 61
    watch.tick()
    assert watch.latest.faults == 0
    first = watch.latest
    clock.now += 3600
    watch.tick()
    assert watch.latest is first
    with shared.cases.acts.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER trail_changes_no_line")
        connection.exec_driver_sql("UPDATE trail SET name = 'x' WHERE number = 1")
    clock.now += 6 * 3600
    watch.tick()
    assert watch.latest.faults > 0
