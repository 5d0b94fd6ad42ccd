import threading

import pytest

from core.errors import BusyError
from core.image import intake
from core.image.intake import vetted
from core.image.room import Unpacked
from tests.scans import as_bytes, example, stream


def test_copies_together_take_no_more_than_they_may(tmp_path):
    unpacked = Unpacked(100)
    with unpacked.place(tmp_path, 60), unpacked.place(tmp_path, 40):
        with pytest.raises(BusyError) as refused, unpacked.place(tmp_path, 1):
            pass
        assert refused.value.retry_after_s > 0
    with unpacked.place(tmp_path, 60):
        pass


def test_one_alone_is_always_let_in(tmp_path):
    unpacked = Unpacked(100)
    with unpacked.place(tmp_path, 1000), pytest.raises(BusyError), unpacked.place(tmp_path, 1):
        pass


def test_what_fails_gives_its_place_back(tmp_path):
    unpacked = Unpacked(100)
    with pytest.raises(ZeroDivisionError), unpacked.place(tmp_path, 60):
        raise ZeroDivisionError
    with unpacked.place(tmp_path, 100):
        pass


def test_a_scan_that_has_no_place_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    scan = as_bytes(example())
    monkeypatch.setattr(intake, "_UNPACKED", Unpacked(len(scan)))
    with vetted(stream(scan), tmp_path) as first:
        with pytest.raises(BusyError), vetted(stream(scan), tmp_path):
            pass
        assert list(tmp_path.iterdir()) == [first.path]
    with vetted(stream(scan), tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_places_are_counted_rightly_by_many_threads(tmp_path):
    unpacked = Unpacked(3)
    inside, most, lock = [0], [0], threading.Lock()

    def work() -> None:
        for _ in range(200):
            try:
                with unpacked.place(tmp_path, 1):
                    with lock:
                        inside[0] += 1
                        most[0] = max(most[0], inside[0])
                    with lock:
                        inside[0] -= 1
            except BusyError:
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most[0] <= 3
    with unpacked.place(tmp_path, 3):
        pass
