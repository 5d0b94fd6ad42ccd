"""PostgreSQL does for HippoView what SQLite does, and says in words what is wrong with it."""

import os
import re
import subprocess
import sys
import threading

import pytest
from sqlalchemy import create_engine, insert, inspect, select

from core.errors import SettingsError, StorageError
from core.people.audit import record_alone, recording
from core.settings import ROOT, Settings
from core.state.database import connect, empty_log, has_others, reading
from core.state.encryption import Keyring
from core.state.keys import agree_on_keys
from core.state.later_steps import STEPS
from core.state.looking import look
from core.state.migrations import bring_up_to_date
from core.state.postgresql_steps import BEGINS_WITH
from core.state.postgresql_steps import STEPS as POSTGRESQL_STEPS
from core.state.private import clear
from core.state.tables import API_SCANS, CASES, DRAFTS, METADATA, MIGRATIONS, TRAIL
from core.upkeep.of_state import of_state
from tests.postgresql import PASSWORD, cluster, programs

KEYS = Keyring(["first-key-" * 4])
pytestmark = pytest.mark.skipif(programs() is None, reason="apt-get install postgresql")


@pytest.fixture
def url(databases):
    made = databases.cluster.database("hippo_template")
    yield made
    databases.cluster.drop(made)


@pytest.fixture
def engine(tmp_path, url):
    opened = connect(tmp_path, url=url)
    yield opened
    opened.dispose()


def case(name, number=0, **values):
    row = {
        "id": f"HV-{number:06}", "name": name, "created_at": "2026", "model_version": "1",
        "anterior_mm3": 1.5, "posterior_mm3": 2.5, "warning_count": 0, "report": "{}",
    }  # fmt: skip
    return row | values


def kinds_of(engine, schema):
    """What both databases' catalogues say of their tables, in words that they share."""
    look, told = inspect(engine), {}
    for table in look.get_table_names():
        told[table] = {
            "columns": {
                column["name"]: (
                    _kind(str(column["type"])), column["nullable"], _default(column["default"])
                )
                for column in look.get_columns(table)
            },
            "key": look.get_pk_constraint(table)["constrained_columns"],
            "references": sorted(
                (key["constrained_columns"], key["referred_table"], key["referred_columns"],
                 key["options"].get("ondelete"))
                for key in look.get_foreign_keys(table)
            ),
            "unique": sorted(each["column_names"] for each in look.get_unique_constraints(table)),
            "indexes": sorted(
                (index["name"], index["column_names"], bool(index["unique"]))
                for index in look.get_indexes(table) if not index.get("duplicates_constraint")
            ),
        }  # fmt: skip
    return told


def _kind(name):
    words = {"VARCHAR": "text", "TEXT": "text", "BYTEA": "bytes", "BLOB": "bytes",
             "BIGINT": "whole", "INTEGER": "whole", "FLOAT": "float",
             "DOUBLE PRECISION": "float"}  # fmt: skip
    return words[re.sub(r"\(\d+\)| COLLATE.*", "", name)]


def _default(text):
    return None if text is None else text.split("::")[0].strip("'")


def test_both_databases_have_the_same_schema(tmp_path, engine):
    file = connect(tmp_path / "file", url="")
    sqlite, here = kinds_of(file, None), kinds_of(engine, "public")
    file.dispose()
    for table in METADATA.sorted_tables:
        for column in table.columns:
            # What may be encrypted is a text or bytes there, and bytes here.
            if hasattr(column.type, "about"):
                kind, *rest = here[table.name]["columns"][column.name]
                assert kind == "bytes"
                sqlite[table.name]["columns"][column.name] = ("bytes", *rest)
    assert here == sqlite
    assert here.keys() == set(METADATA.tables)
    query = (
        "SELECT attrelid::regclass::text, attname FROM pg_attribute "
        "JOIN pg_class ON pg_class.oid = attrelid AND relkind = 'r' "
        "WHERE relnamespace = 'public'::regnamespace AND attcollation <> 0 "
        "AND attcollation <> '\"C\"'::regcollation"
    )
    with reading(engine) as connection:
        assert connection.exec_driver_sql(query).all() == []  # all text sorts by its bytes


def test_each_later_step_is_written_for_both():
    assert {number for number in STEPS if number > BEGINS_WITH} == set(POSTGRESQL_STEPS)


def test_a_second_start_takes_no_step(engine):
    with engine.begin() as connection:
        taken = connection.execute(select(MIGRATIONS)).all()
        bring_up_to_date(connection)  # would fail: the tables are there
        assert connection.execute(select(MIGRATIONS)).all() == taken


def test_two_starts_at_once_make_one_schema(databases, tmp_path):
    url, failed = databases.cluster.database(), []

    def start(number):
        try:
            connect(tmp_path / str(number), url=url).dispose()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    databases.cluster.drop(url)
    assert failed == []


def test_what_a_writer_reads_stays_true_until_it_ends(engine):
    """Eight writers add to what they read; none is lost."""
    with engine.begin() as connection:
        connection.execute(CASES.insert().values(case("a")))

    def add():
        for _ in range(10):
            with engine.begin() as connection:
                before = connection.scalar(select(CASES.c.revision))
                connection.execute(CASES.update().values(revision=before + 1))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as connection:
        assert connection.scalar(select(CASES.c.revision)) == 80


def test_a_reader_sees_one_moment(engine):
    with reading(engine) as connection:
        assert connection.scalars(select(CASES.c.id)).all() == []
        with engine.begin() as writer:
            writer.execute(CASES.insert().values(case("a")))
        assert connection.scalars(select(CASES.c.id)).all() == []


@pytest.mark.parametrize("keys", [Keyring(), KEYS], ids=["clear", "encrypted"])
def test_private_names_are_found_whatever_they_look_like(databases, tmp_path, keys):
    url = databases.cluster.database("hippo_template")
    engine = connect(tmp_path, keys, url=url)
    names = ["Anna", "", "HVE1 looks encrypted", "50 % _x", "Ünïcöde 🧠", "\x7f\x01", "A" * 9000]
    with engine.begin() as connection:
        rows = [case(name, number, patient=name) for number, name in enumerate(names)]
        connection.execute(insert(CASES), rows)
        connection.execute(
            DRAFTS.insert().values(
                case_id="HV-000000", visitor="v", base=0, at="2026", labels=b"\xff\0HVE"
            )
        )
    name = clear(CASES.c.name)
    with reading(engine) as connection:
        got = connection.scalars(select(CASES.c.name).order_by(CASES.c.id)).all()
        assert got == names
        for number, each in enumerate(names):
            found = connection.scalars(select(CASES.c.id).where(name == each)).all()
            assert found == [f"HV-{number:06}"]
        found = connection.scalars(select(name).where(name.icontains("% _", autoescape=True)))
        assert found.all() == ["50 % _x"]
        found = connection.scalars(select(name).where(name.icontains("ANNA", autoescape=True)))
        assert found.all() == ["Anna"]
        ordered = connection.scalars(select(name).distinct().order_by(name)).all()
        assert ordered == sorted(names)
        assert connection.scalar(select(DRAFTS.c.labels)) == b"\xff\0HVE"
        stored = connection.exec_driver_sql("SELECT name FROM cases ORDER BY id").scalars().all()
    assert any(b"Anna" in value for value in stored) != bool(keys)
    engine.dispose()
    databases.cluster.drop(url)


def test_a_character_that_cannot_be_stored_is_replaced(engine):
    _write(engine, case("a\0b", reviewer="\0", warning_count=2**62))
    name = clear(CASES.c.name)
    with reading(engine) as connection:
        row = connection.execute(select(CASES).where(name == "a\ufffdb")).one()
        assert connection.scalars(select(CASES.c.id).where(CASES.c.id == "a\0b")).all() == []
    assert (row.name, row.reviewer) == ("a\ufffdb", "\ufffd")
    assert row.warning_count == 2**62  # SQLite has 64 bits as well
    with pytest.raises(UnicodeEncodeError):  # as in SQLite
        _write(engine, case("\ud800", 1))
    with pytest.raises(UnicodeEncodeError):
        _write(engine, case("a", 1, reviewer="\ud800"))


def _write_while(engine, happens):
    with engine.begin() as connection:
        happens()
        connection.execute(CASES.insert().values(case("a")))


def _record_while(engine, happens):
    with recording(engine) as connection:
        happens()
        connection.execute(CASES.insert().values(case("a")))


def _write(engine, row):
    with engine.begin() as connection:
        connection.execute(CASES.insert().values(row))


def test_no_id_comes_twice(engine):
    values = {"at": "2026", "kind": "crop", "content": "{}"}
    ids = []
    for _ in range(2):
        with engine.begin() as connection:
            result = connection.execute(API_SCANS.insert().values(values))
            ids += result.inserted_primary_key
            connection.execute(API_SCANS.delete())
    assert ids[1] > ids[0]


def test_the_trail_refuses_to_change_or_lose_a_line(engine):
    record_alone(engine, "settings", note="a")
    for statement in (
        "UPDATE trail SET note = 'b'", "DELETE FROM trail", "TRUNCATE trail",
    ):  # fmt: skip
        with pytest.raises(Exception, match="the trail"), engine.begin() as connection:
            connection.exec_driver_sql(statement)


@pytest.mark.parametrize("full", [False, True])
def test_removed_rows_leave_the_files(engine, databases, full):
    _write(engine, case("zzMagdalenazz"))
    with engine.begin() as connection:
        connection.execute(CASES.delete())
    assert empty_log(engine, now=full)
    databases.cluster.run("CHECKPOINT")
    ((path,),) = databases.cluster.run(
        "SELECT pg_relation_filepath('cases')", name=engine.url.database
    )
    content = (databases.cluster.folder / "data" / str(path)).read_bytes()
    assert not (full and b"zzMagdalenazz" in content)


FAILURES = [
    ("53100", "full"), ("53300", "no connection free"), ("55P03", "busy"), ("40P01", "busy"),
    ("25006", "may not be written"), ("57P01", "cannot be reached"), ("58030", "disk of the"),
    ("XX001", "damaged"), ("08006", "cannot be reached"), ("42501", "too few rights"),
]  # fmt: skip


@pytest.mark.parametrize(("state", "words"), FAILURES)
def test_what_the_server_says_comes_in_words(engine, state, words):
    statement = f"DO $$ BEGIN RAISE EXCEPTION 'secret' USING ERRCODE = '{state}'; END $$"
    with pytest.raises(StorageError, match=words) as caught, engine.begin() as connection:
        connection.exec_driver_sql(statement)
    assert caught.value.code == "database_unavailable"
    assert caught.value.hint
    assert "secret" not in caught.value.message + caught.value.hint


def test_a_database_that_refuses_is_told_in_words_without_the_password(databases, tmp_path):
    base = databases.cluster.url("hippo_template")
    wrong = {
        "refuses": base.replace("p%40ss-word", "wrong%20one"),
        "no such database": base.replace("hippo_template", "nowhere"),
        "cannot be reached": re.sub(r":\d+/", ":1/", base),
    }
    for words, url in wrong.items():
        with pytest.raises(StorageError, match=words) as caught:
            connect(tmp_path, url=url)
        said = caught.value.message + caught.value.hint + repr(caught.value.__cause__)
        assert "wrong one" not in said
        assert PASSWORD not in said
    for url in ("postgres://a:tiger@b/c", "postgresql+psycopg://tiger", "sqlite:///tiger"):
        with pytest.raises(SettingsError) as refused:
            Settings(database_url=url)
        assert "tiger" not in refused.value.message
    assert "ss-word" not in repr(Settings(database_url=base))


@pytest.mark.long
def test_too_many_connections_are_told_in_words(tmp_path):
    with cluster("max_connections=8", "superuser_reserved_connections=3") as small:
        url = small.database()
        engine = connect(tmp_path, url=url)
        others = [create_engine(url).connect() for _ in range(4)]
        with pytest.raises(StorageError, match="no connection free"), reading(engine) as one:
            one.execute(select(TRAIL))
        for other in others:
            other.close()
            other.engine.dispose()
        with reading(engine) as one:
            assert one.execute(select(TRAIL)).all() == []
        # The server goes, in the middle of a transaction, and comes back.
        with pytest.raises(StorageError, match="cannot be reached"):
            _write_while(engine, small.stop)
        small.start()
        with pytest.raises(StorageError, match="cannot be reached"):
            _record_while(engine, small.stop)
        with pytest.raises(StorageError, match="cannot be reached"):
            _write(engine, case("a"))
        small.start()
        record_alone(engine, "settings", note="it goes on")
        with reading(engine) as one:
            assert len(one.execute(select(TRAIL)).all()) == 2
        engine.dispose()


def test_a_database_is_looked_at_without_a_step(databases, tmp_path):
    url = databases.cluster.database()
    assert look(url).step is None
    name = url.rpartition("/")[2]
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    settings = Settings(database_url=url, data_dir=tmp_path)
    assert "is empty: the first start makes its tables" in str([*of_state(settings)])
    assert databases.cluster.run(tables, name=name) == [(0,)]
    connect(tmp_path, url=url).dispose()
    databases.cluster.run("DELETE FROM migrations WHERE number = 25", name=name)
    assert "step 21 of 25" in str([*of_state(settings)])
    assert look(url).step == 21
    databases.cluster.drop(url)
    with pytest.raises(StorageError, match="no such database"):
        look(url)
    with pytest.raises(StorageError, match="no such database"):
        has_others(Settings(database_url=url))


def test_servers_with_other_keys_are_refused(engine):
    agree_on_keys(engine, {"audit_key": b"a" * 32})
    agree_on_keys(engine, {"audit_key": b"a" * 32, "origins_key": b"o" * 32})
    with pytest.raises(StorageError, match="HIPPOVIEW_ORIGINS_KEY"):
        agree_on_keys(engine, {"audit_key": b"a" * 32, "origins_key": b"x" * 32})


@pytest.mark.long
def test_whether_others_use_a_database_is_known(engine, url, tmp_path):
    settings = Settings(database_url=url)
    assert not has_others(settings)
    program = (
        "import sys; from pathlib import Path; from core.state.database import connect\n"
        "from core.people.audit import record_alone, recording\n"
        "engine = connect(Path(sys.argv[1]))\n"
        "for number in range(30): record_alone(engine, 'settings', note=str(number))\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "HIPPOVIEW_DATABASE_URL": url, "HIPPOVIEW_AUDIT_KEY": "k" * 32}
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as other:  # fmt: skip
        for number in range(30):
            record_alone(engine, "settings", note=f"here {number}")
        assert other.stdout.readline() == b"ready\n"
        assert has_others(settings)
        other.stdin.close()
    with reading(engine) as connection:
        numbers = connection.scalars(select(TRAIL.c.number).order_by(TRAIL.c.number)).all()
    assert numbers == list(range(1, 62))
