"""Who may train a job: one, whoever is killed, asleep or late. Nothing is trained here."""

import hashlib
import multiprocessing

import pytest

from core import limits
from core.errors import ConflictError
from core.state.database import connect
from core.state.storage import LocalStorage
from core.state.tables import JOBS
from core.training import job_logs
from core.training.jobs import Jobs
from core.training.kept import FINAL, FOLDER, LATEST, Kept, purge
from core.training.leases import Leases, alive, claim
from core.training.work import Work

VALUES = dict.fromkeys(
    ("train_loss", "val_loss", "dice_anterior", "dice_posterior", "seconds"), 0.5
)
LEASE_S = 15


class Clock:
    """Seconds that pass when a test says so."""

    now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def engine(tmp_path):
    return connect(tmp_path)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def jobs(engine, tmp_path, clock):
    """Of a server that leaves its trainings to workers."""
    return Jobs(engine, tmp_path, clock, LEASE_S, trains=False)


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "storage")


def taken(engine, worker, job_id=None):
    row = claim(engine, worker, job_id)
    work = Work(engine, row.id, attempt=row.attempt)
    assert work.begin()
    return work


def look_for(clock, seconds, *lookers):
    """Look each heartbeat; longer gaps between two looks count as one of these."""
    for _ in range(round(seconds / limits.HEARTBEAT_S)):
        clock.now_s += limits.HEARTBEAT_S
        for looker in lookers:
            looker.tick()


def sha(letter):
    return letter * 64


def digest(content):
    return hashlib.sha256(content).hexdigest()


def _claim_all(folder, name, start, results):
    engine = connect(folder)
    start.wait()
    while row := claim(engine, name):
        results.put((row.id, row.attempt, name))


def test_workers_that_ask_at_once_get_each_job_once(jobs, tmp_path):
    numbers = [jobs.submit({}).id for _ in range(20)]
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    workers = [
        context.Process(target=_claim_all, args=(tmp_path, f"w{n}", start, results))
        for n in range(4)
    ]
    for worker in workers:
        worker.start()
    start.set()
    got = [results.get(timeout=60) for _ in numbers]
    for worker in workers:
        worker.join(60)
    assert results.empty()
    assert sorted(job_id for job_id, _, _ in got) == numbers
    assert {attempt for _, attempt, _ in got} == {1}
    jobs.tick()  # the server starts none of its own
    assert {job.state for job in jobs.find()} == {"running"}


def test_a_silent_worker_loses_its_job_and_can_write_nothing_more(jobs, engine, clock):
    job = jobs.submit({})
    asleep = taken(engine, "first")
    asleep.epoch(sha("a"), epoch=0, **VALUES)
    look_for(clock, LEASE_S, jobs)
    assert asleep.still_mine()
    look_for(clock, LEASE_S, jobs)
    assert jobs.get(job.id).state == "running"
    look_for(clock, 10, jobs)
    assert jobs.get(job.id).state == "queued"
    assert "went silent" in jobs.get(job.id).phase
    second = taken(engine, "second")
    second.epoch(sha("b"), epoch=1, **VALUES)
    # It wakes up.
    with pytest.raises(ConflictError):
        asleep.epoch(sha("c"), epoch=1, **VALUES)
    with pytest.raises(ConflictError):
        asleep.check()
    assert not asleep.still_mine()
    assert not asleep.succeed(7)
    assert not asleep.fail("late")
    assert not job_logs.write(engine, job.id, asleep.attempt, "late")
    assert second.recorded() == [sha("b"), sha("a")]
    assert [epoch.epoch for epoch in jobs.epochs(job.id)] == [0, 1]
    assert (jobs.get(job.id).state, jobs.get(job.id).worker) == ("running", "second")


def test_a_job_that_kills_its_workers_is_given_up_and_one_that_gets_on_is_not(jobs, engine, clock):
    job = jobs.submit({})
    for _ in range(2 * limits.MAX_TAKEOVERS):
        work = taken(engine, "killed")
        work.epoch(sha("a"), epoch=0, **VALUES)
        look_for(clock, LEASE_S + 10, jobs)
    for _ in range(limits.MAX_TAKEOVERS):
        taken(engine, "killed")
        look_for(clock, LEASE_S + 10, jobs)
        assert jobs.get(job.id).state in ("queued", "lost")
    assert jobs.get(job.id).state == "lost"
    assert "no memory" in jobs.get(job.id).message


def test_of_two_that_look_one_takes_a_job_back(jobs, engine, clock):
    job = jobs.submit({})
    other = Leases(engine, LEASE_S, clock)
    taken(engine, "killed")
    look_for(clock, LEASE_S + 10, jobs, other)
    with engine.begin() as connection:
        assert connection.execute(JOBS.select()).one().restarts == 1
    assert jobs.get(job.id).state == "queued"


def test_a_servers_own_training_beside_those_of_workers(engine, tmp_path, clock, monkeypatch):
    """It starts one of its own, and judges the process of none that is a worker's."""
    own = Jobs(engine, tmp_path, clock, LEASE_S)
    started = []
    monkeypatch.setattr(own, "_start", lambda job_id, attempt: started.append(job_id))
    first, second = own.submit({}), own.submit({})
    work = taken(engine, "elsewhere")
    with engine.begin() as connection:  # a process of a machine that only has the same name
        connection.execute(JOBS.update().where(JOBS.c.id == first.id).values(pid=2**30))
    own.tick()
    own.tick()
    assert started == [second.id]
    assert work.still_mine()


def test_a_job_handed_back_is_free_at_once_with_its_last_checkpoint(
    jobs, engine, storage, tmp_path
):
    job = jobs.submit({})
    work = taken(engine, "stopped")
    work.kept = Kept(storage, job.uid)
    folder = tmp_path / "a machine" / "results"
    folder.mkdir(parents=True)
    (folder / LATEST).write_bytes(b"epoch 3")
    work.epoch(digest(b"epoch 3"), epoch=3, **VALUES)
    assert work.hand_back(tmp_path / "a machine")
    assert not work.still_mine()
    other = taken(engine, "next")
    other.kept = Kept(storage, job.uid)
    there = tmp_path / "another machine"
    there.mkdir()
    other.restore(there)
    assert (there / LATEST).read_bytes() == b"epoch 3"
    assert not work.hand_back(tmp_path / "a machine")


def test_the_newest_recorded_checkpoint_is_gone_on_from_and_no_other(storage, tmp_path):
    kept = Kept(storage, "u")
    first, second, never = b"1", b"2", b"not recorded"
    for content in (first, second):
        (tmp_path / LATEST).write_bytes(content)
        kept.keep(tmp_path / LATEST, digest(content), needed=True)
    assert len(storage.keys(f"{FOLDER}/u")) == 1  # each takes the place of the one before
    (tmp_path / LATEST).write_bytes(first)  # of a start before, left on this machine
    (tmp_path / FINAL).write_bytes(never)
    recorded = [digest(b"recorded, killed before it was kept"), digest(second), digest(first)]
    Kept(storage, "u").fetch(recorded, tmp_path)
    assert (tmp_path / LATEST).read_bytes() == second
    assert not (tmp_path / FINAL).exists()
    storage.write(f"{FOLDER}/u/{digest(second)}.pth", b"damaged")
    (tmp_path / LATEST).write_bytes(never)
    Kept(storage, "u").fetch(recorded[:2], tmp_path)
    assert list(tmp_path.glob("*.pth")) == []  # nothing that can be trusted: it begins anew


def test_keeping_checkpoints_takes_a_twentieth_of_the_time(storage, tmp_path, clock):
    (tmp_path / LATEST).write_bytes(b"x")
    kept = Kept(storage, "u", clock)
    written = []

    def write(key, data):
        written.append(key)
        clock.now_s += 3

    storage.write = write
    for epoch in range(100):
        clock.now_s += 10
        kept.keep(tmp_path / LATEST, digest(str(epoch).encode()))
    assert 100 * 10 * 0.04 / 3 < len(written) < 100 * 10 * 0.06 / 3


def test_where_a_training_began_is_settled_once(storage, tmp_path):
    assert Kept(storage, "u").fact("base", tmp_path, lambda: 3) == 3
    assert Kept(storage, "u").fact("base", tmp_path, lambda: 4) == 3
    (tmp_path / "base.json").write_text("7")  # of a training that an earlier version began
    assert Kept(storage, "older").fact("base", tmp_path, lambda: 4) == 7


def test_what_is_kept_goes_with_the_success(jobs, engine, storage, clock):
    done, cancelled = jobs.submit({}), jobs.submit({})
    taken(engine, "one", done.id).succeed(2)
    jobs.cancel(cancelled.id)
    for uid in (done.uid, cancelled.uid, "of another database"):
        Kept(storage, uid.replace(" ", "-")).fact("base", jobs.folder(done.id), lambda: 1)
    purge(engine, storage)
    assert storage.folders(FOLDER) == sorted([cancelled.uid, "of-another-database"])


def test_the_log_of_any_machine_is_shown_by_its_end(jobs, engine, tmp_path):
    job = jobs.submit({})
    work = taken(engine, "far")
    file = tmp_path / "log.txt"
    file.write_bytes(b"\x00\xff" + b"x" * job_logs.TAIL_BYTES + b"the end")
    work.log(file)
    assert jobs.log(job.id).endswith("the end")
    assert len(jobs.log(job.id)) <= job_logs.TAIL_BYTES
    assert "\x00" not in jobs.log(job.id)


def test_no_worker_is_alive_until_one_gives_a_sign(engine):
    assert alive(engine, LEASE_S) == []
