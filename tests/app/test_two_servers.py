"""Two servers, data folders of their own, one PostgreSQL and one bucket: one HippoView."""

import gzip
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from sqlalchemy import select

from app.http.viewer_files import files_url
from app.http.visitor import COOKIE
from app.services import build_services
from core.cases.store import Cases
from core.errors import StorageError
from core.models.registry import Registry
from core.people.accounts import Accounts
from core.people.acting import SERVER, acting_as
from core.people.audit import lines, set_up
from core.people.audit_verify import verify
from core.people.sign_ins import SignIns
from core.settings import Settings
from core.state.database import connect, reading
from core.state.storage import open_storage
from core.state.tables import DRIFT_STEPS
from core.training.jobs import Jobs
from tests.buckets import BUCKET, emulator
from tests.postgresql import PASSWORD, cluster, programs
from tests.scans import as_bytes, example
from tests.server import running
from tests.waiting import until

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(programs() is None, reason="apt-get install postgresql"),
]
LETTERS = "a long enough password"
SECRET = "k" * 40
SHARED = {
    "storage": f"gs://{BUCKET}/two", "audit_key": SECRET, "origins_key": SECRET,
    "admin_password": LETTERS, "keep_api": "cases",
}  # fmt: skip


class Two:
    """Both servers, and a third look at what they share."""

    def __init__(self, servers, settings):
        self.servers = servers
        self.clients = [httpx.Client(base_url=server.url, timeout=120) for server in servers]
        self.engine = connect(settings.data_dir, url=settings.database_url)
        self.trail = set_up(self.engine, settings)
        self.storage = open_storage(settings)
        self.cases = Cases(self.engine, self.storage)
        self.sign_ins = SignIns(self.engine)
        with acting_as(SERVER):
            self.service = Accounts(self.engine).add("scripts", "service", (), None)
        self.bearer = {"Authorization": f"Bearer {self.token('segment')}"}

    def token(self, scope):
        with acting_as(SERVER):
            return self.sign_ins.new_token(self.service.id, [scope], 1)

    def predict(self, number):
        """A scan sent to one of them; the id of its case."""
        answer = self.clients[number].post(
            "/api/predict", headers=self.bearer, files={"image": ("a.nii", as_bytes(example()))}
        )
        assert answer.status_code == 200, answer.text
        return answer.headers["X-Kept"].split()[1].rstrip(";")


def ids_of(two):
    with acting_as(SERVER):
        return {row.id for row in two.cases.find()}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    with cluster() as started, emulator() as address:
        os.environ["STORAGE_EMULATOR_HOST"] = address
        shared = SHARED | {"database_url": started.database()}
        try:
            with (
                running(folder / "one", **shared) as first,
                running(folder / "two", **shared) as second,
            ):
                settings = Settings(data_dir=folder / "look", **shared)
                made = Two((first, second), settings)
                made.cluster = started
                yield made
                for server in (first, second):
                    assert "ss-word" not in server.log.read_text()
                    assert PASSWORD not in server.log.read_text()
                made.engine.dispose()
                for client in made.clients:
                    client.close()
        finally:
            os.environ.pop("STORAGE_EMULATOR_HOST")


def test_who_signs_in_at_one_has_signed_in_at_the_other(two):
    one, other = two.clients
    form = {"name": "administrator", "password": LETTERS}
    assert one.post("/sign-in", data=form).status_code == 303
    other.cookies.update(one.cookies)
    assert other.get("/api/me").json()["role"] == "administrator"
    assert other.post("/sign-out").status_code == 303
    assert one.get("/api/me").status_code == 401 or one.get("/api/me").json()["role"] == "nobody"
    assert one.post("/sign-in", data=form).status_code == 303
    other.cookies.update(one.cookies)


def test_cases_that_both_take_in_at_once_are_at_both_with_one_trail(two):
    kept, failed = [], []

    def send(number):
        try:
            kept.append(two.predict(number))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=send, args=(number % 2,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(set(kept)) == 8
    assert ids_of(two) == set(kept)
    assert len(lines(two.engine, act="upload")) == 8
    assert verify(two.engine, two.storage).faults == []

    def counted():
        with reading(two.engine) as connection:
            return sorted(connection.scalars(select(DRIFT_STEPS.c.case_id)))

    # One chain counts each scan once, though both servers watch.
    until(lambda: counted() == sorted(kept))


def test_a_link_and_a_draft_are_good_at_both(two):
    case_id, visitor = two.predict(0), "v" * 43
    link = files_url(two.trail.derived("links of the viewer"), visitor, case_id)
    for client in two.clients:
        client.cookies.set(COOKIE, visitor)
        answer = client.get(f"{link}/about/0.json")
        assert answer.status_code == 200, answer.text
    told = answer.json()
    one, other = two.clients
    with acting_as(SERVER):
        labels = np.ones_like(two.cases.images(case_id).labels)
    packed = gzip.compress(labels.tobytes(order="F"))
    sent = one.put(
        f"{link}/draft", params={"base": 0, "case": told["case"], "grid": told["grid"]},
        content=packed, headers={"Content-Type": "application/gzip"},
    )  # fmt: skip
    assert sent.status_code == 204, sent.text
    assert other.get(f"{link}/draft").content == packed
    assert other.delete(f"{link}/draft", params={"case": told["case"]}).status_code == 204
    assert one.get(f"{link}/draft").content == b""


def test_a_training_is_started_by_one_of_them_alone(two):
    with acting_as(SERVER):
        job = Jobs(two.engine, two.servers[0].data_dir).submit({"dataset": "there is none"})

    def ended():
        told = [client.get(f"/api/admin/jobs/{job.id}").json() for client in two.clients]
        return told if {each["state"] for each in told} == {"failed"} else None

    first, second = until(ended, 240)
    assert first == second
    folders = [server.data_dir / "jobs" / job.uid for server in two.servers]
    assert sorted(folder.exists() for folder in folders) == [False, True]
    assert [line.note for line in lines(two.engine, act="training")] == ["queued"]


def test_a_promotion_at_one_reaches_the_other(two):
    one, other = two.clients
    registry = Registry(two.engine, two.storage, Settings().model_dir)
    with registry.open(1) as model:
        files = {name: (model.folder / name).read_bytes() for name in model.card["files"]}
        number = registry.add(model.card | {"summary": "again"}, files, {}, {}).number
    done = one.post(
        f"/api/admin/versions/{number}/promote", json={"reason": "it is to be tried here"}
    )
    assert done.status_code == 200, done.text
    began = time.monotonic()
    until(lambda: other.get("/api/health").json()["model"]["version"] == str(number), 30, 0.05)
    took_s = time.monotonic() - began
    assert took_s < 10  # a look a second, and the loading of the model: 3 s where others compute


def test_a_database_that_hangs_holds_up_only_who_asks_it(two):
    first, second = two.clients
    began_s = time.monotonic()
    with two.cluster.hanging(), ThreadPoolExecutor(40) as pool:
        # More than it has threads for: by pages, by the API, by tokens.
        asked = [pool.submit(first.get, path, timeout=60) for path in ["/api/me", "/"] * 19]
        asked.append(pool.submit(second.get, "/api/me", timeout=60))
        asked.append(pool.submit(httpx.get, f"{two.servers[0].url}/api/cases",
                                 headers=two.bearer, timeout=60))  # fmt: skip
        while not all(each.done() for each in asked):
            for server in two.servers:
                for path in ("/api/live", "/api/health", "/static/index.css"):
                    answer = httpx.get(f"{server.url}{path}", timeout=5)
                    assert answer.status_code in (200, 404), answer.text
            assert first.get("/api/live", timeout=5).status_code == 200
        took_s = time.monotonic() - began_s
        for each in asked:
            answer = each.result()
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
            assert answer.json()["error"]["code"] == "database_unavailable"
    assert took_s < 20  # ten of patience, and what two processes share of the cores
    for client in two.clients:
        until(lambda c=client: c.get("/api/me").status_code == 200, 60)


def test_a_database_that_goes_and_comes_back_needs_no_restart(two):
    two.cluster.stop()
    for client in two.clients:
        answer = client.get("/api/admin/jobs")
        assert answer.status_code == 503, answer.text
        assert answer.json()["error"]["code"] == "database_unavailable"
        assert int(answer.headers["Retry-After"]) > 0
        assert "ss-word" not in answer.text
        assert client.get("/api/live").status_code == 200
    two.cluster.start()
    for client in two.clients:
        until(lambda c=client: c.get("/api/admin/jobs").status_code == 200, 60)
    assert {two.predict(0), two.predict(1)} <= ids_of(two)
    assert verify(two.engine, two.storage).faults == []


def test_a_third_server_with_another_key_is_refused(two, tmp_path):
    url = two.cluster.url(two.engine.url.database)
    settings = Settings(data_dir=tmp_path, **SHARED | {"database_url": url, "audit_key": "x" * 40})
    with pytest.raises(StorageError, match="HIPPOVIEW_AUDIT_KEY"):
        build_services(settings)
