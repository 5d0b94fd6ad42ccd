"""Studies that have come to the receiver become cases, or go, and stop nobody."""

import subprocess
import sys
import threading
import zipfile
from types import SimpleNamespace

import pytest

from app.receiving import Receiving
from core.errors import ComputeError, InputError, ModelError, StorageError
from core.pacs.inbox import Inbox, Rule
from core.pacs.ready import ReadyStudies
from core.settings import ROOT
from tests.orthanc import slices


class Hospital:
    """Segments what it is given, or fails as it is told; has a clock and a folder of its own."""

    def __init__(self, folder):
        self.received_dir, self.incoming = folder / "received", folder / "incoming"
        self.incoming.mkdir()
        self.now_s = 0.0
        self.failure = None
        self.tried = 0
        self.kept = []
        self.cannot_queue = None
        self.cases = SimpleNamespace(get=lambda case_id: SimpleNamespace(id=case_id, name="again"))
        self.shared = SimpleNamespace(
            settings=self, incoming=self.incoming, segment_and_keep=self.segment, cases=self.cases
        )
        self.receiving = Receiving(self.shared, self.keep, lambda: self.now_s)
        self.inbox = Inbox(self.received_dir, Rule(), 30, lambda: self.now_s)
        self.ready = ReadyStudies(self.received_dir)

    def segment(self, source, name, caller, *, origin):
        self.tried += 1
        if self.failure is not None:
            raise self.failure
        copy = self.incoming / "copy"
        copy.write_bytes(source.read())
        count = len(zipfile.ZipFile(copy).namelist())
        copy.unlink()
        assert f"{count} files" in name
        return SimpleNamespace(id=f"HV-{self.tried}", name=name)

    def keep(self, case):
        if self.cannot_queue is not None:
            raise self.cannot_queue
        self.kept.append(case.id)

    def receive(self, study="1.2"):
        for number, file in enumerate(slices(9)):
            self.inbox.add(study, f"1.2.{number}", file)
        self.now_s += 30
        self.inbox.settle()

    def wait(self):
        self.now_s += 60
        self.receiving.tick()


@pytest.fixture
def hospital(tmp_path):
    made = Hospital(tmp_path)
    yield made
    made.inbox.close()


def test_a_study_becomes_a_case_once_and_leaves_nothing(hospital):
    hospital.receive("1.2")
    hospital.receive("1.3")
    hospital.receiving.tick()
    hospital.receiving.tick()
    assert hospital.kept == ["HV-1", "HV-2"]
    assert hospital.ready.studies() == []
    assert list(hospital.incoming.iterdir()) == []


def test_a_study_that_cannot_be_segmented_goes_and_the_next_one_is_a_case(hospital):
    hospital.receive("1.2")
    hospital.failure = InputError("no T1", code="no_t1_series")
    hospital.receiving.tick()
    assert hospital.ready.studies() == []
    hospital.failure = None
    hospital.receive("1.3")
    hospital.receiving.tick()
    assert len(hospital.kept) == 1


@pytest.mark.parametrize("failure", [ModelError("loading"), StorageError("the disk is full")])
def test_a_study_waits_for_as_long_as_the_server_cannot(hospital, failure):
    hospital.receive()
    hospital.failure = failure
    for _ in range(6):
        hospital.wait()
    assert len(hospital.ready.studies()) == 1
    hospital.receiving.tick()
    assert hospital.tried == 6  # not again at once
    hospital.failure = None
    hospital.wait()
    assert len(hospital.kept) == 1


def test_a_study_is_one_case_however_often_its_results_cannot_be_queued(hospital):
    hospital.receive()
    hospital.cannot_queue = StorageError("the disk is full")
    for _ in range(5):
        hospital.wait()
    assert len(hospital.ready.studies()) == 1
    hospital.cannot_queue = None
    hospital.wait()
    assert hospital.tried == 1
    assert hospital.kept == ["HV-1"]
    assert hospital.ready.studies() == []


@pytest.mark.parametrize("failure", [RuntimeError("a bug"), ComputeError("no memory")])
def test_a_study_that_the_server_fails_on_is_tried_three_times_and_dropped(hospital, failure):
    hospital.receive("1.2")
    hospital.failure = failure
    for _ in range(6):
        hospital.wait()
    assert hospital.tried == 3
    assert hospital.ready.studies() == []


def test_a_study_that_kills_the_server_does_not_kill_it_for_ever(hospital):
    hospital.receive()
    (study,) = hospital.ready.studies()
    for _ in range(3):  # as a server does that is killed before it ends
        hospital.ready.begin(study)
    hospital.receiving.tick()
    assert hospital.tried == 0
    assert hospital.ready.studies() == []


def test_of_two_servers_on_one_folder_one_takes_a_study(hospital):
    hospital.receive("1.2")
    hospital.receive("1.3")
    begun, may_end, alone = threading.Semaphore(0), threading.Event(), threading.Lock()
    segment = hospital.shared.segment_and_keep

    def slow(*given, **more):
        begun.release()
        assert may_end.wait(60)
        with alone:
            return segment(*given, **more)

    hospital.shared.segment_and_keep = slow
    servers = [Receiving(hospital.shared, hospital.keep, lambda: 0.0) for _ in range(3)]
    threads = [threading.Thread(target=server.tick) for server in servers[:2]]
    for thread in threads:
        thread.start()
        assert begun.acquire(timeout=60)
    servers[2].tick()
    assert len(hospital.ready.studies()) == 2
    may_end.set()
    for thread in threads:
        thread.join()
    assert sorted(hospital.kept) == ["HV-1", "HV-2"]
    assert hospital.ready.studies() == []


_CLAIMS = """
import sys
from pathlib import Path
from core.pacs.ready import ReadyStudies
from core.settings import ROOT
with ReadyStudies(Path(sys.argv[1])).claimed(Path(sys.argv[2])) as is_ours:
    print(is_ours, flush=True)
    sys.stdin.read()
"""


def test_a_process_that_is_killed_gives_its_study_back(hospital):
    hospital.receive()
    (study,) = hospital.ready.studies()
    with subprocess.Popen(
        [sys.executable, "-c", _CLAIMS, str(hospital.received_dir), str(study)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "True\n"
        hospital.receiving.tick()
        assert hospital.tried == 0
        process.kill()
    hospital.receiving.tick()
    assert hospital.kept == ["HV-1"]


def test_a_study_that_another_server_is_done_with_is_nobodys(hospital):
    hospital.receive()
    (study,) = hospital.ready.studies()
    hospital.receiving.tick()
    with hospital.ready.claimed(study) as is_ours:
        assert not is_ours


def test_nothing_is_looked_for_where_nothing_was_received(tmp_path):
    shared = SimpleNamespace(settings=SimpleNamespace(received_dir=tmp_path / "no"), incoming=None)
    Receiving(shared).tick()
    assert not (tmp_path / "no").exists()
