"""PostgreSQL, a bucket, two servers and a worker: any of them is killed while clients work."""

import gzip
import os
import random
import signal
import subprocess
import sys
import threading
import time

import httpx
import nibabel as nib
import numpy as np
import psutil
import pytest

from core.cases.store import Cases
from core.models.registry import Registry
from core.people.acting import SERVER, acting_as
from core.people.audit import lines, set_up
from core.settings import ROOT, Settings
from core.state.database import connect
from core.state.storage import open_storage
from core.training.config import TrainingRequest
from core.training.data.prepare import prepare
from core.training.jobs import Jobs
from tests.buckets import BUCKET, emulator
from tests.datasets import made
from tests.postgresql import cluster, programs
from tests.scans import as_bytes, example
from tests.server import free_port, wait_for_health
from tests.waiting import until

CLIENTS, TRAININGS = 8, 2
KILLS = int(os.environ.get("HIPPOVIEW_TEST_KILLS", "30"))
# From one kill to the next (s): long enough that something is done in between.
PAUSE_S = (2.0, 12.0)
SHORT = ["epochs=3", "iterations=1", "validation_iterations=1"]
SECRET = "k" * 40
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(programs() is None, reason="apt-get install postgresql"),
]


class Part:
    """One process of the installation, begun anew as a service manager does when it dies."""

    def __init__(self, folder, settings, *command):
        self.folder, self.command = folder, command
        folder.mkdir()
        self.environment = os.environ | {
            f"HIPPOVIEW_{name.upper()}": str(value) for name, value in settings.items()
        }
        self.start()

    def start(self):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.command], cwd=ROOT, env=self.environment,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def fail(self):
        for child in psutil.Process(self.process.pid).children(recursive=True):
            child.kill()
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(120) in (0, -signal.SIGTERM)


class Server(Part):
    """One of the two."""

    def __init__(self, folder, settings):
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        super().__init__(folder, settings | {"data_dir": folder}, "app", "--port", str(port))
        wait_for_health(self.url, self.process, folder / "log", ready=True)


class Database:
    """The PostgreSQL, as a part that can fail."""

    def __init__(self, started):
        self.fail, self.start = started.stop, started.start


class Clients:
    """Each sends scans that nobody else sends, to whichever server, and never one twice."""

    def __init__(self, urls):
        self.urls = urls
        self.kept: dict[str, int] = {}  # by id of the case: the number of the scan
        self.refused, self.odd = 0, []
        self.answered_at_s: list[float] = []
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(number,)) for number in range(CLIENTS)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _work(self, client):
        chosen = random.Random(client)  # noqa: S311
        number = client
        while not self._ended.is_set():
            number += CLIENTS
            try:
                answer = httpx.post(
                    f"{chosen.choice(self.urls)}/api/predict", timeout=120,
                    files={"image": ("a.nii", scan(number))},
                )  # fmt: skip
            except httpx.TransportError:  # nobody there, or it went in the middle
                self._ended.wait(0.5)
                continue
            if answer.status_code == 200:
                self.kept[answer.headers["X-Kept"].split()[1].rstrip(";")] = number
                self.answered_at_s.append(time.monotonic())
            elif answer.status_code == 503:
                self.refused += 1
                self._ended.wait(1)
            else:
                self.odd.append((answer.status_code, answer.text))


def scan(number):
    """The example, and in its corner a number."""
    values = np.asarray(example().dataobj, np.float32).copy()
    values[0, 0, 0] = number
    return as_bytes(nib.Nifti1Image(values, example().affine))


def number_of(content):
    found = nib.Nifti1Image.from_bytes(gzip.decompress(content))
    return round(float(np.asarray(found.dataobj[0, 0, 0])))


def test_whichever_process_is_killed_nothing_is_lost_and_nothing_done_twice(tmp_path):
    with cluster() as started, emulator() as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", address)
        shared = {
            "database_url": started.database(), "storage": f"gs://{BUCKET}/cloud",
            "audit_key": SECRET, "origins_key": SECRET, "keep_api": "cases",
            "engine": "workers", "lease_s": "20", "test_heads": "0",
        }  # fmt: skip
        servers = [Server(tmp_path / name, shared) for name in ("one", "two")]
        look = Settings(
            data_dir=tmp_path / "look", database_url=shared["database_url"],
            storage=shared["storage"], audit_key=SECRET, origins_key=SECRET,
        )  # fmt: skip
        engine, storage = connect(look.data_dir, url=look.database_url), open_storage(look)
        set_up(engine, look)
        prepare(made(tmp_path / "source", 10), storage, "one")
        jobs = Jobs(engine, tmp_path / "one", trains=False)
        with acting_as(SERVER):
            request = TrainingRequest("one", "quick", SHORT).as_dict()
            numbers = [jobs.submit(request).id for _ in range(TRAININGS)]
        place = tmp_path / "worker"
        command = ("core", "worker", "--folder", place / "jobs")
        worker = Part(place, shared | {"data_dir": place}, *command)
        parts = {"one": servers[0], "two": servers[1], "worker": worker,
                 "database": Database(started)}  # fmt: skip
        luck, killed = random.Random(23), []  # noqa: S311
        with Clients([server.url for server in servers]) as clients:
            while len(killed) < KILLS:
                time.sleep(luck.uniform(*PAUSE_S))  # so that work is under way
                name = luck.choice(list(parts))
                parts[name].fail()
                killed.append(name)
                for server in servers:  # the rest answers
                    if server is not parts[name]:
                        assert httpx.get(f"{server.url}/api/live", timeout=30).status_code == 200
                if name in ("one", "two"):  # and takes scans in
                    since_s = time.monotonic()
                    until(lambda s=since_s: clients.answered_at_s[-1:] > [s], 120)
                parts[name].start()
                if name in ("one", "two"):
                    again = parts[name]
                    wait_for_health(again.url, again.process, again.folder / "log", ready=True)
        until(lambda: not any(jobs.get(number).active for number in numbers), 1800, 1)
        for part in (worker, *servers):
            part.stop()
        assert clients.odd == []
        check(look, engine, storage, clients, numbers, jobs)
        sys.stdout.write(f"killed {killed}; {len(clients.kept)} scans kept, "
                         f"{clients.refused} refused\n")  # fmt: skip
        engine.dispose()


def check(look, engine, storage, clients, numbers, jobs):
    """Cases, trainings and trail, as they have to be in the end."""
    cases = Cases(engine, storage)
    cases.import_from_storage()
    with acting_as(SERVER):
        rows = [row.id for row in cases.find()]
        assert len(rows) == len(set(rows))
        scans = {}
        for case_id in rows:
            scans[case_id] = number_of(cases.image_file(case_id))
            assert cases.get(case_id).report["measures"]["anterior"]["voxels"] > 0
            cases.mask_file(case_id)
    assert len(set(scans.values())) == len(scans), "a scan is there twice"
    assert {case_id: scans.get(case_id) for case_id in clients.kept} == clients.kept
    assert len(lines(engine, act="upload")) == len(rows)
    registry = Registry(engine, storage, Settings().model_dir)
    versions = [version for version in registry.find() if "job_uid" in version.lineage]
    for number in numbers:
        job = jobs.get(number)
        assert job.state == "succeeded", (job, jobs.log(number))
        assert [v.number for v in versions if v.lineage["job_uid"] == job.uid] == [job.version]
    assert len(versions) == len(numbers)
    command = [sys.executable, "-m", "core", "audit", "verify"]
    environment = os.environ | {
        "HIPPOVIEW_DATA_DIR": str(look.data_dir), "HIPPOVIEW_DATABASE_URL": look.database_url,
        "HIPPOVIEW_STORAGE": look.storage, "HIPPOVIEW_AUDIT_KEY": SECRET,
        "HIPPOVIEW_ORIGINS_KEY": SECRET,
    }  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
