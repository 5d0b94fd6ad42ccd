"""``python -m core doctor`` on set-ups that are really broken: each is named, with what to do."""

import json
import shutil
import socket
import sqlite3
from types import SimpleNamespace

import pytest

from core.__main__ import main
from core.people import audit
from core.settings import Settings
from core.state.database import DATABASE_NAME
from core.state.keys import agree_on_keys
from core.state.storage import UNFINISHED
from tests.certificates import made_certificate
from tests.core.upkeep.house import House
from tests.server import free_port
from tests.tiny import analysis

pytestmark = pytest.mark.sqlite  # those with a PostgreSQL name it themselves
KEY, PATIENT = "k" * 32, "Erika-Musterfrau"


class SetUp:
    """An installation with a case, and the environment that names it."""

    def __init__(self, folder, monkeypatch, cluster=None):
        self.folder, self.data, self._patch = folder, folder / "var", monkeypatch
        self.cluster, self.url = cluster, cluster.database() if cluster else ""
        house = self.house()
        house.cases.add(analysis(1), PATIENT, "P-1")
        house.archive.copy()
        if cluster:  # as a server notes it
            key = audit.set_up(house.engine, house.settings).derived("key")
            agree_on_keys(house.engine, {"audit_key": key})
        house.close()
        self.data.chmod(0o700)
        self.set(data_dir=self.data, port=free_port())
        if cluster:
            self.set(database_url=self.url)
        self.left = []

    def house(self, **settings):
        return House(self.data, database_url=self.url, **settings)

    def set(self, **settings):
        for name, value in settings.items():
            self._patch.setenv(f"HIPPOVIEW_{name.upper()}", str(value))

    def database(self, *statements):
        if self.cluster:
            self.cluster.run(*statements, name=self.url.rpartition("/")[2])
            return
        with sqlite3.connect(self.data / DATABASE_NAME) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()


@pytest.fixture
def set_up(tmp_path, monkeypatch):
    made = SetUp(tmp_path, monkeypatch)
    yield made
    for each in made.left:
        each.close()


def doctor(capsys, *words):
    capsys.readouterr()
    code = main(["doctor", *words])
    return code, capsys.readouterr().out


def test_a_sound_set_up_has_nothing_wrong_and_is_left_as_it_is(set_up, capsys):
    before = {path: path.stat().st_mtime_ns for path in set_up.data.rglob("*") if path.is_file()}
    code, told = doctor(capsys)
    assert code == 0, told
    assert "wrong" not in told
    kept = {path: path.stat().st_mtime_ns for path in before}
    changed = {path.name for path in before if kept[path] != before[path]}
    beside = {f"{DATABASE_NAME}-wal", f"{DATABASE_NAME}-shm", ".lock"}
    assert changed <= {*beside, DATABASE_NAME}  # written from its log, by the last who closes it
    assert PATIENT not in told


def a_wrong_name(it):
    it.set(prot=8501)


def a_value_that_cannot_be(it):
    it.set(queue_size=0)


def a_damaged_database(it):
    it.database("PRAGMA wal_checkpoint(TRUNCATE)")
    with (it.data / DATABASE_NAME).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 40_000)


def a_newer_database(it):
    it.database("INSERT INTO migrations VALUES (9999)")


def a_changed_trail(it):
    it.database(*LINES_CHANGE[bool(it.url)], "UPDATE trail SET who = 'x' WHERE number = 1")


def a_lost_trail_key(it):
    (it.data / audit.KEY_FILE).unlink()


def a_changed_model(it):
    folder = it.folder / "model"
    shutil.copytree(Settings().model_dir, folder)
    victim = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    with victim.open("r+b") as file:
        file.write(b"x")
    it.set(model_dir=folder)


def a_file_for_a_storage(it):
    shutil.rmtree(it.data / "storage")
    (it.data / "storage").write_text("")


def a_missing_key(it):
    made = it.house(encryption_key=KEY)
    made.close()


def a_restore_that_broke_off(it):
    target = it.data / "storage" / UNFINISHED
    target.parent.mkdir()
    target.write_text("{}")


def another_certificates_key(it):
    first, _ = made_certificate(it.folder, "first")
    _, second = made_certificate(it.folder, "second")
    it.set(tls_certificate=first, tls_key=second)


def a_certificate_about_to_end(it):
    certificate, key = made_certificate(it.folder, "server")
    it.set(tls_certificate=certificate, tls_key=key)


def a_taken_port(it):
    listener = socket.create_server(("127.0.0.1", 0))
    it.left.append(listener)
    it.set(port=listener.getsockname()[1])


def an_address_of_another_machine(it):
    it.set(address="192.0.2.1")


def an_open_door(it):
    it.set(address="0.0.0.0")


def open_folder(it):
    it.data.chmod(0o755)


def a_clock_that_went_back(it):
    it.database(
        *LINES_CHANGE[bool(it.url)], "UPDATE trail SET at = '2999-01-01T00:00:00.000+00:00'"
    )


def an_odd_proxy(it):
    it._patch.setenv("HTTPS_PROXY", "proxy:3128")


def a_bucket_that_does_not_answer(it):
    it._patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{free_port()}")
    it.set(storage="gs://hippo-test")


def another_package(it):
    folder = it.folder / "site" / "numpy-1.0.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.0.0\n")
    it._patch.syspath_prepend(str(folder.parent))


def a_wrong_password(it):
    it.set(database_url=it.url.replace("p%40ss-word", "another"))


def a_database_that_is_not_there(it):
    it.set(database_url=f"{it.url}0")


def a_server_that_is_not_there(it):
    it.set(database_url=it.url.replace(str(it.cluster.port), str(free_port())))


def a_database_of_another_program(it):
    url = it.cluster.database()
    it.left.append(SimpleNamespace(close=lambda: it.cluster.drop(url)))
    it.cluster.run("CREATE TABLE theirs (a int)", name=url.rpartition("/")[2])
    it.set(database_url=url)


def tables_beside(it):
    it.database("CREATE TABLE theirs (a int)")


def an_older_database(it):
    it.database("DELETE FROM migrations WHERE number > 21")


def another_key_than_the_others(it):
    it.set(audit_key="x" * 40)


def no_right_to_read(it):
    it.database("ALTER TABLE trail OWNER TO postgres")


BROKEN = {
    a_wrong_name: ("settings", "HIPPOVIEW_PROT", "HIPPOVIEW_PORT"),
    a_value_that_cannot_be: ("settings", "HIPPOVIEW_QUEUE_SIZE is 0", "Correct or unset"),
    a_damaged_database: ("database", "", "Restore a backup"),
    a_newer_database: ("database", "step 9999", "newer version"),
    a_changed_trail: ("trail", "Line 1 was changed", "audit verify"),
    a_lost_trail_key: ("trail", "key is missing", "back from a backup"),
    a_changed_model: ("models", "is missing or is not the one", "Restore it"),
    a_file_for_a_storage: ("storage", "a file lies where a folder", "Move that file away"),
    a_missing_key: ("keys", "key", ""),
    a_restore_that_broke_off: ("storage", "restore into this storage has not ended", "again"),
    another_certificates_key: ("certificates", "HIPPOVIEW_TLS_KEY are not", "openssl"),
    a_certificate_about_to_end: ("certificates", "ends in 0 days", "Renew"),
    a_taken_port: ("port", "taken by another program", "HIPPOVIEW_PORT"),
    an_address_of_another_machine: ("port", "cannot be opened", "HIPPOVIEW_ADDRESS"),
    an_open_door: ("accounts", "there are no accounts", "people add"),
    open_folder: ("disk", "Others than the server's user", "chmod 700"),
    a_clock_that_went_back: ("clock", "in the future", "time server"),
    an_odd_proxy: ("proxies", "HTTPS_PROXY is no address", "http://HOST:PORT"),
    a_bucket_that_does_not_answer: ("storage", "does not answer", "network"),
    another_package: ("versions", "numpy 1.0.0", "Install again"),
}
# How the trail is made to take a change, in SQLite and in PostgreSQL.
LINES_CHANGE = {
    False: ("DROP TRIGGER trail_changes_no_line",),
    True: ("ALTER TABLE trail DISABLE TRIGGER USER",),
}
ON_POSTGRESQL = {
    a_wrong_password: ("database", "refuses this server's user", "HIPPOVIEW_DATABASE_URL"),
    a_database_that_is_not_there: ("database", "no such database", "CREATE DATABASE"),
    a_server_that_is_not_there: ("database", "cannot be reached", "Look whether"),
    a_database_of_another_program: ("database", "another program (theirs)", "an empty database"),
    tables_beside: ("database", "tables beside HippoView's (theirs)", "of its own"),
    an_older_database: ("database", "older version: step 21", "backup before"),
    another_key_than_the_others: ("keys", "another HIPPOVIEW_AUDIT_KEY", ""),
    no_right_to_read: ("database", "too few rights", "the owner"),
}
# What else is wrong then: what cannot be read without the key, who may come by that address, and
# lines whose times were changed.
ALONG = {
    a_missing_key: {"database"},
    an_address_of_another_machine: {"accounts"},
    a_clock_that_went_back: {"trail"},
}
WARNINGS = (
    a_wrong_name, a_certificate_about_to_end, open_folder, tables_beside, an_older_database,
)  # fmt: skip
# Several at once: one hides none of the others.
TOGETHER = (
    (a_wrong_name, another_certificates_key, a_taken_port, an_odd_proxy, open_folder,
     a_changed_trail, a_restore_that_broke_off, another_package),
    (a_missing_key, a_damaged_database, a_changed_model, a_certificate_about_to_end),
    (a_clock_that_went_back, a_lost_trail_key, an_open_door),
    (a_newer_database, a_file_for_a_storage, an_address_of_another_machine),
    (a_value_that_cannot_be,),
)  # fmt: skip


def check_named(breakages, set_up, capsys):
    for breakage in breakages:
        breakage(set_up)
    code, told = doctor(capsys, "--json")
    findings = json.loads(told)
    for breakage in breakages:
        check, message, hint = (BROKEN | ON_POSTGRESQL)[breakage]
        level = "warning" if breakage in WARNINGS else "wrong"
        assert [
            each for each in findings
            if (each["check"], each["level"]) == (check, level)
            and message in each["message"] and hint in each["hint"]
        ], (breakage.__name__, told)  # fmt: skip
    assert all(each["hint"] for each in findings if each["level"] != "ok"), told
    assert code == any(each["level"] == "wrong" for each in findings)
    assert KEY not in told
    assert "ss-word" not in told
    assert PATIENT not in told
    return [each for each in findings if each["level"] != "ok"]


@pytest.mark.parametrize("breakages", TOGETHER, ids=lambda some: some[0].__name__)
def test_all_that_is_broken_is_named_with_what_to_do(breakages, set_up, capsys):
    check_named(breakages, set_up, capsys)


@pytest.mark.long
@pytest.mark.parametrize("breakage", BROKEN, ids=lambda breakage: breakage.__name__)
def test_one_thing_that_is_broken_is_named_and_nothing_sound_is(breakage, set_up, capsys):
    named = {each["check"] for each in check_named([breakage], set_up, capsys)}
    assert named == {BROKEN[breakage][0]} | ALONG.get(breakage, set())


@pytest.mark.long
@pytest.mark.parametrize(
    "breakage",
    [None, *(each for each in (BROKEN | ON_POSTGRESQL) if each is not a_damaged_database)],
    ids=lambda breakage: breakage.__name__ if breakage else "nothing",
)
def test_the_same_is_named_where_the_database_is_a_postgresql(
    breakage, tmp_path, monkeypatch, databases, capsys
):
    made = SetUp(tmp_path, monkeypatch, databases.cluster)
    try:
        found = check_named([breakage] if breakage else [], made, capsys)
    finally:
        for each in made.left:
            each.close()
        databases.cluster.drop(made.url)
    named = {each["check"] for each in found}
    if breakage is None:
        assert not named
    else:
        assert named == {(BROKEN | ON_POSTGRESQL)[breakage][0]} | ALONG.get(breakage, set())
