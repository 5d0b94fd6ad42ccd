"""Accounts: who may make and change them, codes, and what ends with a change."""

import json

import pytest

from core.errors import AccessError, ConflictError, ForbiddenError, InputError, NotFoundError
from core.people import account, accounts, kept, passwords
from core.people.accounts import ADMINISTRATOR, set_hash
from core.people.acting import NOBODY, SERVER, acting_as
from core.people.kept import KEY, KeptPeople
from core.settings import Settings
from core.state.database import DATABASE_NAME
from core.state.storage import LocalStorage
from tests.core.people.house import PASSWORD, People


def later(monkeypatch, seconds):
    """Let time pass for what is written down with a time."""
    now = accounts.timestamp
    monkeypatch.setattr(accounts, "timestamp", lambda offset=0.0: now(offset + seconds))


def test_the_first_account_is_an_administrator_with_a_password(tmp_path, cheap):
    people = People(tmp_path)
    assert people.accounts.guard.is_open
    for role, password in (("reader", PASSWORD), ("administrator", None), ("service", None)):
        with pytest.raises(ConflictError, match="first account"):
            people.add("Anna", role, password=password)
    people.add("Anna", "administrator")
    assert not people.accounts.guard.is_open


def test_the_code_of_the_start_makes_the_first_administrator_once(tmp_path, cheap):
    people = People(tmp_path)
    old, code = people.accounts.first_code(), people.accounts.first_code()
    for wrong in (old, "", code + "x"):
        with pytest.raises(AccessError, match="code"):
            people.accounts.add_first(wrong, "Anna", PASSWORD)
    with pytest.raises(InputError, match="12"):
        people.accounts.add_first(code, "Anna", "short")
    assert people.accounts.add_first(code, "Anna", PASSWORD).role == "administrator"
    with pytest.raises(AccessError):
        people.accounts.add_first(code, "Eve", PASSWORD)
    assert people.accounts.first_code() is None


def test_the_environment_makes_an_administrator_only_where_nobody_is(tmp_path, cheap):
    people = People(tmp_path)
    assert people.accounts.add_from_environment("short")
    assert people.sign_ins.check(ADMINISTRATOR, "short").role == "administrator"
    assert not people.accounts.add_from_environment(PASSWORD)
    with pytest.raises(AccessError):
        people.sign_ins.check(ADMINISTRATOR, PASSWORD)
    assert PASSWORD not in repr(Settings(admin_password=PASSWORD))


@pytest.mark.parametrize("role", ["reader", "reviewer", "service"])
def test_only_administrators_change_people(role, people):
    who = people.actor("Ben", role)
    with acting_as(who):
        for act in (
            people.accounts.find,
            lambda: people.accounts.add("Eve", "administrator", (), PASSWORD),
            lambda: people.accounts.change(who.id, role="administrator"),
            lambda: people.accounts.new_code(who.id),
            lambda: people.sign_ins.new_token(who.id, ["administer"], 1),
            people.sign_ins.tokens,
        ):
            with pytest.raises(ForbiddenError):
                act()
    with acting_as(NOBODY), pytest.raises(AccessError, match="signed in"):
        people.accounts.find()


def test_names_are_one_account_however_they_are_written(people):
    people.add("Dr. Anna  Berg", "reader")
    for name in ("dr. anna berg", "DR. ANNA BERG", "Dr. Anna Berg"):
        with pytest.raises(ConflictError, match="taken"):
            people.add(name, "reader")
    for name in ("", " ", "a\u0000b", "x" * 65, "a, b"):
        with pytest.raises(InputError, match="name"):
            people.add(name, "reader")
    for group in ("Memory", "a b", "-a", "x" * 33, "%"):
        with pytest.raises(InputError, match="group"):
            people.add("Carl", "reader", [group])


@pytest.mark.parametrize(
    "password", ["", "elevenchars", "x" * 300, "aaaaaaaaaaaaaaa", "abababab" * 2]
)
def test_a_password_that_is_guessed_at_once_is_refused(password, people):
    with pytest.raises(InputError, match="password"):
        people.add("Anna", "reader", password=password)


def test_a_code_gives_a_new_password_once_and_ends_what_was_open(people):
    anna = people.add("Anna", "reader")
    _, token, _ = people.sign_ins.sign_in("Anna", PASSWORD)
    with acting_as(SERVER):
        code = people.accounts.new_code(anna.id)
    assert people.sign_ins.who_has(token) == (None, False)
    with pytest.raises(AccessError):
        people.sign_ins.check("Anna", PASSWORD)
    with pytest.raises(AccessError, match="code"):
        people.accounts.choose_password("Root", code, "another long one")
    people.accounts.choose_password("anna", code, "another long one")
    assert people.sign_ins.check("Anna", "another long one").id == anna.id
    with pytest.raises(AccessError, match="code"):
        people.accounts.choose_password("Anna", code, "a third long one")


def test_a_code_ends_by_itself(people, monkeypatch):
    anna = people.add("Anna", "reader")
    with acting_as(SERVER):
        code = people.accounts.new_code(anna.id)
    later(monkeypatch, 3600 * accounts.limits.CODE_HOURS + 1)
    with pytest.raises(AccessError, match="code"):
        people.accounts.choose_password("Anna", code, "another long one")


def test_the_last_administrator_cannot_go(people):
    with acting_as(SERVER):
        root = people.accounts.named("root")
        for change in ({"role": "reader"}, {"is_active": False}):
            with pytest.raises(ConflictError, match="No administrator"):
                people.accounts.change(root.id, **change)
        assert people.accounts.named("Root") == root
        with pytest.raises(NotFoundError):
            people.accounts.change("none", role="reader")
        service = people.add("backup", "service", password=None)
        for account_id, role in ((service.id, "reader"), (root.id, "service")):
            with pytest.raises(ConflictError, match="service"):
                people.accounts.change(account_id, role=role)


def test_the_last_password_of_an_administrator_goes_by_no_code_of_another_one(people):
    """Who signs in with a provider could else lock everybody out until it is used."""
    ida = people.actor("Ida", "administrator")
    with acting_as(SERVER):
        root = people.accounts.named("Root")
    with people.engine.begin() as connection:
        set_hash(connection, ida.id, "")  # as one who has no password here
    with acting_as(ida), pytest.raises(ConflictError, match="No administrator"):
        people.accounts.new_code(root.id)
    assert people.sign_ins.check("Root", PASSWORD).id == root.id
    with acting_as(SERVER):  # the command line
        people.accounts.choose_password("Root", people.accounts.new_code(root.id), "another one 23")


def test_who_is_switched_off_is_out_at_once(people):
    anna = people.add("Anna", "reader")
    service = people.add("backup", "service", password=None)
    _, token, _ = people.sign_ins.sign_in("Anna", PASSWORD)
    with acting_as(SERVER):
        bearer = people.sign_ins.new_token(service.id, ["segment"], 1)
        assert people.sign_ins.who_bears(bearer).scopes == {"segment"}
        for one in (anna, service):
            people.accounts.change(one.id, is_active=False)
            people.accounts.change(one.id, is_active=True)
    assert people.sign_ins.who_has(token) == (None, False)
    assert people.sign_ins.who_bears(bearer) is None


def test_a_server_that_lost_its_database_has_its_people_from_the_storage(tmp_path, cheap):
    storage = LocalStorage(tmp_path / "storage")
    first = People(tmp_path / "one")
    followed = KeptPeople(first.engine, storage)
    followed.tick()
    assert storage.keys("people") == []  # nobody yet
    first.add("Root", "administrator")
    service = first.add("backup", "service", password=None)
    with acting_as(SERVER):
        bearer = first.sign_ins.new_token(service.id, ["metrics"], 1)
    followed.tick()
    second = People(tmp_path / "two")
    assert KeptPeople(second.engine, storage).take_in() == 2
    assert second.sign_ins.check("root", PASSWORD).role == "administrator"
    assert second.sign_ins.who_bears(bearer).name == "backup"
    assert KeptPeople(second.engine, storage).take_in() == 0
    for damaged in (b"", b"{}", storage.read(KEY).replace(b'"reader"', b"1")[:-9]):
        storage.write(KEY, damaged)
        with pytest.raises(kept.StorageError, match="damaged"):
            KeptPeople(People(tmp_path / "three").engine, storage).take_in()


def test_a_file_of_before_there_were_providers_is_taken_in(people, tmp_path):
    storage = LocalStorage(tmp_path / "storage")
    KeptPeople(people.engine, storage).tick()
    rows = json.loads(storage.read(KEY))
    for row in rows["people"]:
        assert (row.pop("issuer"), row.pop("subject")) == ("", "")
    storage.write(KEY, json.dumps(rows).encode())
    second = People(tmp_path / "two")
    assert KeptPeople(second.engine, storage).take_in() == 1
    assert second.sign_ins.check("root", PASSWORD).role == "administrator"


@pytest.mark.sqlite
def test_neither_passwords_nor_tokens_nor_codes_are_in_the_database(people, tmp_path):
    anna = people.add("Anna", "reader")
    service = people.add("backup", "service", password=None)
    _, token, _ = people.sign_ins.sign_in("Root", PASSWORD)
    with acting_as(SERVER):
        secrets = [
            PASSWORD, token, people.accounts.new_code(anna.id),
            people.sign_ins.new_token(service.id, ["segment"], 1),
        ]  # fmt: skip
    content = b"".join(p.read_bytes() for p in tmp_path.glob(f"{DATABASE_NAME}*"))
    assert b"$argon2id$" in content
    assert account.sha256(token).encode() in content
    for secret in secrets:
        assert secret.encode() not in content


def test_a_hash_costs_a_guesser_what_it_should():
    assert (passwords._HASHER.memory_cost, passwords._HASHER.time_cost) >= (64 * 1024, 3)
