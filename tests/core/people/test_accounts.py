import threading
from collections import Counter
from contextlib import ExitStack

import pytest
from argon2 import PasswordHasher

from core import limits
from core.errors import AccessError
from core.people import accounts as module
from core.people.accounts import Accounts, TooManyTriesError
from core.people.tries import Tries, who_has
from core.settings import Settings
from core.state.database import DATABASE_NAME, connect
from tests.waiting import until

PASSWORD = "correct horse battery"


# As the real one, in a thousandth of the time.
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@pytest.fixture
def accounts(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_HASHER", CHEAP)
    made = Accounts(connect(tmp_path))
    made.set_password(PASSWORD)
    return made


def test_the_right_password_signs_in_until_signed_out(accounts):
    token = accounts.sign_in(PASSWORD)
    assert accounts.knows(token)
    assert not accounts.knows(token + "x")
    assert not accounts.knows("")
    assert not accounts.knows(None)
    accounts.sign_out(token)
    assert not accounts.knows(token)


def test_a_sign_in_ends_by_itself(accounts, monkeypatch):
    token = accounts.sign_in(PASSWORD)
    later = 3600 * limits.SESSION_HOURS + 1
    now = module.timestamp
    monkeypatch.setattr(module, "timestamp", lambda offset=0.0: now(offset + later))
    assert not accounts.knows(token)


def test_another_password_ends_all_sign_ins_the_same_one_none(accounts):
    token = accounts.sign_in(PASSWORD)
    accounts.set_password(PASSWORD)
    assert accounts.knows(token)
    accounts.set_password("another long one")
    assert not accounts.knows(token)
    with pytest.raises(AccessError, match="wrong"):
        accounts.sign_in(PASSWORD)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock(accounts):
    made = Clock()
    accounts._tries = Tries(made)
    return made


class Watched:
    """The hasher, and how many hash at a time."""

    def __init__(self):
        self.at_once, self.most, self.count = 0, 0, 0
        self.lock = threading.Lock()
        self.hash = CHEAP.hash

    def verify(self, kept, password):
        with self.lock:
            self.at_once += 1
            self.count += 1
            self.most = max(self.most, self.at_once)
        try:
            return CHEAP.verify(kept, password)
        finally:
            with self.lock:
                self.at_once -= 1


def guess(accounts, address, count=limits.MAX_WRONG_PASSWORDS):
    for _ in range(count):
        with pytest.raises(AccessError, match="wrong"):
            accounts.check("a wrong password", address)


def at_once(accounts, addresses):
    """Wrong passwords from these addresses at the same moment: what each was told."""
    told, gate = Counter(), threading.Barrier(len(addresses))

    def go(address):
        gate.wait()
        try:
            accounts.check("a wrong password", address)
        except AccessError as error:
            told[error.code] += 1

    threads = [threading.Thread(target=go, args=(address,)) for address in addresses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def test_who_guesses_has_to_wait_and_nobody_else(accounts, clock):
    token = accounts.sign_in(PASSWORD, "10.0.0.1")
    guess(accounts, "10.0.0.9")
    with pytest.raises(TooManyTriesError) as told:
        accounts.check(PASSWORD, "10.0.0.9")
    assert 0 < told.value.retry_after_s <= 60
    accounts.check(PASSWORD, "10.0.0.1")
    accounts.check(PASSWORD, "10.0.0.2")
    assert accounts.knows(token)


def test_a_pause_ends_however_often_it_is_tried_meanwhile(accounts, clock):
    guess(accounts, "10.0.0.9")
    for _ in range(59):
        clock.now_s += 1
        with pytest.raises(TooManyTriesError):
            accounts.check("a wrong password", "10.0.0.9")
    clock.now_s += 2
    accounts.check(PASSWORD, "10.0.0.9")


def test_the_right_password_is_never_counted(accounts, clock):
    for _ in range(3 * limits.MAX_WRONG_PASSWORDS):
        accounts.check(PASSWORD, "10.0.0.1")
    guess(accounts, "10.0.0.1")


def test_a_browser_that_signed_in_before_is_not_slowed_by_others_behind_its_proxy(accounts, clock):
    browser = accounts.name_browser()
    guess(accounts, "10.0.0.9")
    with pytest.raises(TooManyTriesError):
        accounts.check(PASSWORD, "10.0.0.9")
    accounts.check(PASSWORD, "10.0.0.9", browser)
    for made_up in ("", "x", "x.y", browser + "0", "." + browser.rpartition(".")[2]):
        with pytest.raises(TooManyTriesError):
            accounts.check(PASSWORD, "10.0.0.9", made_up)
    for _ in range(limits.MAX_WRONG_PASSWORDS):  # and it is slowed for its own
        with pytest.raises(AccessError, match="wrong"):
            accounts.check("a wrong password", "10.0.0.9", browser)
    with pytest.raises(TooManyTriesError):
        accounts.check(PASSWORD, "10.0.0.9", browser)
    accounts.set_password("another long one")
    with pytest.raises(TooManyTriesError):
        accounts.check("another long one", "10.0.0.9", browser)


def test_forty_at_once_are_counted_before_they_are_hashed_two_at_a_time(accounts, monkeypatch):
    watched = Watched()
    monkeypatch.setattr(module, "_HASHER", watched)
    told = at_once(accounts, ["10.0.0.9"] * 40)
    assert told == {
        "wrong_password": limits.MAX_WRONG_PASSWORDS,
        "too_many_tries": 40 - limits.MAX_WRONG_PASSWORDS,
    }
    assert watched.count == limits.MAX_WRONG_PASSWORDS
    assert watched.most <= limits.HASHES_AT_ONCE


def test_a_crowd_of_addresses_waits_in_a_line_that_is_bounded(accounts, monkeypatch):
    watched = Watched()
    monkeypatch.setattr(module, "_HASHER", watched)
    with ExitStack() as stack:
        for n in range(limits.HASHES_AT_ONCE):
            stack.enter_context(accounts._tries.attempt(f"slow {n}"))
        line = [f"10.0.1.{n}" for n in range(limits.MAX_HASHES_WAITING - limits.HASHES_AT_ONCE)]
        threads = [threading.Thread(target=at_once, args=(accounts, [a])) for a in line]
        for thread in threads:
            thread.start()
        until(lambda: accounts._tries._in_line == limits.MAX_HASHES_WAITING, 30, 0.01)
        with pytest.raises(TooManyTriesError, match="at once"):
            accounts.check(PASSWORD, "10.0.0.1")
        assert watched.count == 0
    for thread in threads:
        thread.join()
    accounts.check(PASSWORD, "10.0.0.1")
    assert accounts._tries._in_line == 0
    assert watched.most <= limits.HASHES_AT_ONCE


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("", "testclient", False),
    ],
)
def test_a_machine_is_known_by_its_address(one, other, same):
    assert (who_has(one) == who_has(other)) is same


def test_addresses_without_end_take_no_memory_without_end(monkeypatch):
    monkeypatch.setattr(limits, "MAX_ADDRESSES", 100)
    tries = Tries()
    for n in range(1000):
        with tries.attempt(str(n)):
            pass
    assert len(tries._wrong) == 100


def test_neither_password_nor_token_is_in_the_database(accounts, tmp_path):
    token = accounts.sign_in(PASSWORD)
    content = b"".join(p.read_bytes() for p in tmp_path.glob(f"{DATABASE_NAME}*"))
    assert b"$argon2id$" in content
    assert PASSWORD.encode() not in content
    assert token.encode() not in content


def test_a_hash_costs_a_guesser_what_it_should():
    assert (module._HASHER.memory_cost, module._HASHER.time_cost) >= (64 * 1024, 3)


def test_the_password_is_in_no_print_of_the_settings():
    assert PASSWORD not in repr(Settings(admin_password=PASSWORD))
