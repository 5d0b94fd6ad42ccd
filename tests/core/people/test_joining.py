"""Two servers on one bucket: neither takes back what the other did with an account."""

import json

import pytest

from core.errors import AccessError
from core.people.acting import SERVER, acting_as
from core.people.audit import lines
from core.people.kept import KEY, KeptPeople
from core.state.storage import LocalStorage
from core.state.tables import ACCOUNTS, TOKENS
from tests.core.people.house import PASSWORD, People


class Server:
    """One of several servers, with a database of its own."""

    def __init__(self, folder, storage):
        self.people = People(folder)
        self.kept = KeptPeople(self.people.engine, storage, self.people.clock)
        self.kept.take_in()

    def look(self):
        self.people.clock.now_s += 30
        self.kept.tick()

    def named(self, name):
        with acting_as(SERVER):
            return self.people.accounts.named(name)

    def change(self, name, **values):
        with acting_as(SERVER):
            self.people.accounts.change(self.named(name).id, **values)

    def names(self):
        with acting_as(SERVER):
            return [(one.name, one.role, one.is_active) for one in self.people.accounts.find()]


@pytest.fixture
def storage(tmp_path, monkeypatch, cheap):
    monkeypatch.setenv("HIPPOVIEW_AUDIT_KEY", "k" * 32)
    return LocalStorage(tmp_path / "storage")


@pytest.fixture
def two(tmp_path, storage):
    first = Server(tmp_path / "one", storage)
    for name, role in (("Root", "administrator"), ("Anna", "reader"), ("Olga", "administrator")):
        first.people.add(name, role)
    first.kept.tick()
    return first, Server(tmp_path / "two", storage)


def test_of_two_that_write_at_once_the_slower_takes_in_what_the_faster_wrote(two, storage):
    first, second = two
    first.change("Anna", is_active=False)
    second.change("Olga", is_active=False)
    read = storage.read

    def read_and_be_overtaken(key):
        content = read(key)
        storage.read = read
        second.look()
        return content

    storage.read = read_and_be_overtaken
    first.look()
    for server in (first, second, first):
        server.look()
    assert first.names() == second.names()
    assert [name for name, _, is_active in first.names() if not is_active] == ["Anna", "Olga"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 0, 1), (1, 1, 0)])
def test_what_each_did_holds_on_both_whoever_writes_first(order, two):
    first, second = two
    _, token, _ = second.people.sign_ins.sign_in("Anna", PASSWORD)
    first.change("Anna", is_active=False)
    second.people.add("Ben", "reader")
    for which in (*order, 0, 1):
        two[which].look()
    assert first.names() == second.names()
    assert ("Anna", "reader", False) in first.names()
    assert ("Ben", "reader", True) in first.names()
    assert second.people.sign_ins.who_has(token) == (None, False)
    with pytest.raises(AccessError):
        second.people.sign_ins.check("Anna", PASSWORD)


def test_an_account_that_either_has_switched_off_stays_off_and_a_revoked_token_revoked(two):
    first, second = two
    with acting_as(SERVER):
        service = first.people.add("backup", "service", password=None)
        bearer = first.people.sign_ins.new_token(service.id, ["metrics"], 1)
    for one in (first, second):
        one.look()
    assert second.people.sign_ins.who_bears(bearer)
    with acting_as(SERVER):
        first.people.sign_ins.revoke(first.people.sign_ins.tokens()[0].id)
    first.change("Anna", is_active=False)
    second.change("Anna", groups=["memory"])
    for one in (second, first, second):
        one.look()
    assert second.people.sign_ins.who_bears(bearer) is None
    for one in two:
        anna = one.named("Anna")
        assert (anna.is_active, anna.groups) == (False, {"memory"})
    assert next(line.note for line in lines(second.people.engine, act="import")).endswith("server")


def test_what_was_done_while_one_was_down_is_not_taken_back(two, tmp_path, storage):
    first, second = two
    second.look()
    second.people.engine.dispose()
    first.change("Anna", is_active=False)
    first.look()
    again = Server(tmp_path / "two", storage)
    again.people.add("Ben", "reader")
    again.look()
    first.look()
    assert first.names() == again.names()
    assert ("Anna", "reader", False) in first.names()


def test_two_that_make_one_name_or_take_each_others_last_administrator_agree(two):
    first, second = two
    first.people.add("Zoe", "reader")
    second.people.add("zoe", "reviewer")
    first.change("Root", role="reader")
    second.change("Olga", role="reader")
    for one in (first, second, first, second):
        one.look()
    assert first.names() == second.names()
    assert [name.lower() for name, *_ in first.names()].count("zoe") == 1
    assert "administrator" in [role for _, role, _ in first.names()]


def test_who_can_write_to_the_bucket_alone_makes_nobody_an_administrator(two, storage):
    first, _ = two
    held = json.loads(storage.read(KEY))
    forged = [{**row, "role": "administrator"} for row in held[ACCOUNTS.name]]
    for content in (
        json.dumps({**held, ACCOUNTS.name: forged}).encode(),
        json.dumps({ACCOUNTS.name: forged, TOKENS.name: []}).encode(), b"", b"{",
    ):  # fmt: skip
        storage.write(KEY, content)
        first.look()
        assert ("Anna", "reader", True) in first.names()
    first.people.add("Ben", "reader")  # what holds here is written again
    first.look()
    assert json.loads(storage.read(KEY))[ACCOUNTS.name] != forged


def test_an_earlier_file_put_back_brings_no_account_back(two, storage):
    first, second = two
    earlier = storage.read(KEY)
    first.change("Anna", is_active=False)
    first.look()
    second.look()
    storage.write(KEY, earlier)
    for one in (first, second, first):
        one.look()
        assert ("Anna", "reader", False) in one.names()
    second.people.add("Ben", "reader")  # and what holds is written again
    for one in (second, first):
        one.look()
    assert first.names() == second.names()
    assert ("Anna", "reader", False) in first.names()


def test_a_server_that_nobody_was_on_takes_the_others_people_in(tmp_path, storage):
    first, second = Server(tmp_path / "one", storage), Server(tmp_path / "two", storage)
    assert second.people.accounts.guard.is_open
    first.people.add("Root", "administrator")
    first.look()
    second.look()
    assert not second.people.accounts.guard.is_open
    assert second.names() == [("Root", "administrator", True)]
