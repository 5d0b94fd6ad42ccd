"""A drift report by the week or the month, written once into the storage."""

import json
import threading
from datetime import date, timedelta

import pytest

from core.drift.of_cases import CaseDrift
from core.errors import InputError
from core.exports.drift_reports import FOLDER, DriftReports
from core.state.storage import LocalStorage
from tests.app.test_drift_page import crops, learning
from tests.house import Seconds


class Place:
    def __init__(self, folder):
        self.storage = LocalStorage(folder)
        self.seconds = Seconds()
        self.day = date(2026, 11, 30)
        self.asked = []

    def another(self, every="weekly"):
        return DriftReports(self.storage, every, self.seconds, lambda: self.day)

    def compare(self, last):
        self.asked.append(last)
        return CaseDrift(1, crops(0), learning(3))


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_a_week_has_one_report_as_a_page_and_as_figures(place):
    reports = place.another()
    for _ in range(3):
        reports.write_if_due(place.compare)
        place.another().write_if_due(place.compare)  # after a restart
        place.seconds.now += 1000
    assert reports.names() == ["2026-W49.json", "2026-W49.html"]
    assert len(place.asked) == 1
    assert json.loads(reports.read("2026-W49.json"))["crops"]["state"] == "not enough yet"
    page = reports.read("2026-W49.html").decode()
    assert "Crops" in page
    assert "http" not in page
    place.day += timedelta(days=7)
    reports.write_if_due(place.compare)
    assert reports.names()[0] == "2026-W50.json"


def test_a_month_has_one_and_off_has_none(place):
    place.another("off").write_if_due(place.compare)
    assert place.another().names() == []
    place.another("monthly").write_if_due(place.compare)
    assert place.another().names() == ["2026-11.json", "2026-11.html"]


def test_of_two_processes_one_writes_and_what_a_killed_one_left_out_is_made_up_for(place):
    ready = threading.Barrier(2, timeout=120)

    def compare(last):
        ready.wait()
        return place.compare(last)

    each = [place.another(), place.another()]
    threads = [threading.Thread(target=one.write_if_due, args=(compare,)) for one in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = place.another().read("2026-W49.json")
    place.storage.delete(f"{FOLDER}/2026-W49.html")  # as if killed between both
    place.another().write_if_due(place.compare)
    assert place.another().names() == ["2026-W49.json", "2026-W49.html"]
    assert place.another().read("2026-W49.json") == first


def test_only_what_is_listed_is_read(place):
    with pytest.raises(InputError):
        place.another().read("../../hippoview.sqlite")
