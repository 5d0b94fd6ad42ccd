"""An installation moves from SQLite to PostgreSQL, whatever its age, whole or not at all."""

import fcntl
import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from core.__main__ import main
from core.cases.corrections import Corrections
from core.cases.store import Cases
from core.errors import ConflictError, InputError
from core.people.audit import record_alone, set_up
from core.people.audit_verify import verify
from core.settings import Settings
from core.state import copying
from core.state.database import DATABASE_NAME, connect, reading
from core.state.encryption import Keyring
from core.state.moving import move
from core.state.opened import is_shared
from core.state.storage import LocalStorage
from core.state.tables import API_SCANS, CASES, DRAFTS, JOBS, METADATA, TRAIL
from tests.postgresql import programs

OLDER = Path(__file__).parents[2] / "older_installation"
pytestmark = [
    pytest.mark.skipif(programs() is None, reason="apt-get install postgresql"),
    pytest.mark.sqlite,  # from where it moves; where to is PostgreSQL in each
]


@pytest.fixture
def url(databases):
    made = databases.cluster.database()
    yield made
    databases.cluster.drop(made)


def older(folder):
    """The installation that the first program with corrections left, with its data."""
    shutil.copytree(OLDER / "storage", folder / "storage")
    with closing(sqlite3.connect(folder / DATABASE_NAME)) as database:
        database.executescript((OLDER / "database.sql").read_text())
    return folder / DATABASE_NAME


def full(folder, keys=None):
    """An installation of today with rows of all kinds."""
    engine = connect(folder, keys, url="")
    set_up(engine, Settings(data_dir=folder))
    with engine.begin() as connection:
        connection.execute(
            insert(CASES),
            [
                {"id": f"HV-{n:06}", "name": name, "patient": name, "created_at": "2026",
                 "model_version": "1", "anterior_mm3": 0.1 + n, "posterior_mm3": 1e-17,
                 "warning_count": 2**40, "report": '{"a": "\\u0000"}', "age_years": None}
                for n, name in enumerate(["Ünï", "", "HVE1", "\x7f'\"%s", "🧠" * 50])
            ],
        )  # fmt: skip
        connection.execute(DRAFTS.insert().values(
            case_id="HV-000000", visitor="v", base=0, at="2026", labels=bytes(range(256)),
        ))  # fmt: skip
        connection.execute(JOBS.insert().values(
            id=7, state="succeeded", created_at="2026", spec="{}", uid="u",
        ))  # fmt: skip
        for _ in range(3):
            connection.execute(API_SCANS.insert().values(at="2026", kind="crop", content="{}"))
        connection.execute(API_SCANS.delete())
    for number in range(3):
        record_alone(engine, "settings", note=f"line {number}")
    engine.dispose()


def rows_of(engine):
    with reading(engine) as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
            for table in METADATA.sorted_tables
        }


@pytest.mark.long
def test_an_older_installation_moves_with_its_data_and_work_goes_on(tmp_path, url):
    file = older(tmp_path)
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    counts = move(tmp_path, url)
    assert (counts["cases"], counts["mask_versions"]) == (2, 2)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before
    assert not list(tmp_path.glob(".moving-*"))
    engine = connect(tmp_path, url=url)
    storage = LocalStorage(tmp_path / "storage")
    cases = Cases(engine, storage)
    cases.import_from_storage()
    cases.caretaker.tick()
    assert [row.id for row in cases.find()] == ["HV-ZKFVEG"]
    versions = Corrections(engine, storage, cases).versions("HV-ZKFVEG")
    assert [v.comment for v in versions] == ["more", "one voxel", ""]
    cases.restore("HV-TV4DQZ")
    assert len(cases.find()) == 2
    engine.dispose()


@pytest.mark.parametrize("words", [(), ("first-key-" * 4,)], ids=["clear", "encrypted"])
def test_every_row_arrives_and_the_trail_still_verifies(tmp_path, url, words):
    keys = Keyring(words)
    full(tmp_path, keys)
    move(tmp_path, url)
    there, here = connect(tmp_path, keys, url=""), connect(tmp_path, keys, url=url)
    assert rows_of(there) == rows_of(here)
    set_up(here, Settings(data_dir=tmp_path))
    assert verify(here, LocalStorage(tmp_path / "storage")).faults == []
    with here.begin() as connection:
        scan = {"at": "2026", "kind": "crop", "content": "{}"}
        assert connection.execute(API_SCANS.insert().values(scan)).inserted_primary_key[0] == 4
        job = {"state": "queued", "created_at": "2026", "spec": "{}"}
        assert connection.execute(JOBS.insert().values(job)).inserted_primary_key[0] == 8
    for engine in (there, here):
        engine.dispose()


@pytest.mark.long
def test_a_target_with_something_in_it_or_a_source_in_use_is_refused(tmp_path, url, databases):
    with pytest.raises(InputError, match="no database"):
        move(tmp_path, url)
    full(tmp_path)
    (tmp_path / "incoming.lock").touch()
    with (tmp_path / "incoming.lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        with pytest.raises(ConflictError, match="server runs"):
            move(tmp_path, url)
    move(tmp_path, url)
    with pytest.raises(ConflictError, match="not empty"):
        move(tmp_path, url)
    other = databases.cluster.database()
    databases.cluster.run("CREATE TABLE theirs (a int)", name=other.rpartition("/")[2])
    with pytest.raises(ConflictError, match="theirs"):
        move(tmp_path, other)
    databases.cluster.drop(other)


def test_what_breaks_off_or_arrives_otherwise_leaves_the_target_empty(tmp_path, url, monkeypatch):
    full(tmp_path)
    copy, held = copying._copy, []

    def lose_a_row(table, source, target):
        held.append(is_shared(tmp_path / "incoming"))  # a server that starts now waits
        count = copy(table, source, target)
        if table is CASES:
            target.execute(CASES.update().where(CASES.c.id == "HV-000001").values(sex="F"))
        return count

    with monkeypatch.context() as patch:
        patch.setattr(copying, "_copy", lose_a_row)
        with pytest.raises(Exception, match="did not arrive"):
            move(tmp_path, url)
    assert all(held)
    assert not is_shared(tmp_path / "incoming")
    engine = connect(tmp_path, agree=False, url=url)
    with reading(engine) as connection:
        assert connection.execute(select(CASES)).all() == []
        assert connection.execute(select(TRAIL)).all() == []
    engine.dispose()
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as database, database:
        database.execute("UPDATE cases SET name = 'a' || char(0) || 'b' WHERE id = 'HV-000002'")
    move(tmp_path, url)
    engine = connect(tmp_path, url=url)
    with reading(engine) as connection:
        names = connection.scalars(select(CASES.c.name)).all()
    assert "a\ufffdb" in names  # PostgreSQL holds no NUL
    engine.dispose()


@pytest.mark.long
def test_the_command_says_what_to_do_next(tmp_path, url, monkeypatch, capsys):
    full(tmp_path)
    monkeypatch.setenv("HIPPOVIEW_DATA_DIR", str(tmp_path))
    assert main(["move-database"]) == 1
    assert "HIPPOVIEW_DATABASE_URL is not set" in capsys.readouterr().err
    monkeypatch.setenv("HIPPOVIEW_DATABASE_URL", url)
    assert main(["move-database"]) == 0
    said = capsys.readouterr().out
    assert "cases: 5 rows" in said
    assert "Start the server" in said
    assert "HIPPOVIEW_STORAGE" in said
    assert main(["audit", "verify"]) == 0
    assert main(["move-database"]) == 1
    said = capsys.readouterr()
    assert "not empty" in said.err
    assert "ss-word" not in said.err + said.out
