"""Signing in: who guesses waits and nobody else, sessions end, tokens are for what they say."""

import threading
from collections import Counter
from contextlib import ExitStack

import psutil
import pytest

from core import limits as shared_limits
from core.errors import AccessError, ConflictError, ForbiddenError, InputError
from core.people import limits, passwords, sign_ins
from core.people.accounts import set_hash
from core.people.acting import SERVER, acting_as
from core.people.sign_ins import TooManyTriesError
from core.people.tries import Tries, who_has
from tests.core.people.house import CHEAP, PASSWORD, People
from tests.waiting import until


def later(monkeypatch, seconds):
    now = sign_ins.timestamp
    monkeypatch.setattr(sign_ins, "timestamp", lambda offset=0.0: now(offset + seconds))


def guess(people, address, count=limits.MAX_WRONG_PASSWORDS, name="Root"):
    for _ in range(count):
        with pytest.raises(AccessError, match="wrong"):
            people.sign_ins.check(name, "a wrong password", address)


def at_once(people, addresses, name="Root", rounds=1):
    """Wrong passwords from these addresses at the same moment: what each was told."""
    told, gate = Counter(), threading.Barrier(len(addresses))

    def go(address):
        gate.wait()
        for _ in range(rounds):
            try:
                people.sign_ins.check(name, "a wrong password", address)
            except AccessError as error:
                told[error.code] += 1

    threads = [threading.Thread(target=go, args=(address,)) for address in addresses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def test_the_right_password_signs_in_until_signed_out(people):
    who, token, _ = people.sign_ins.sign_in("root", PASSWORD, "10.0.0.1")
    assert (who.name, who.role) == ("Root", "administrator")
    assert people.sign_ins.who_has(token, "10.0.0.2")[0].address == "10.0.0.2"
    for other in (token + "x", "", token[:-1]):
        assert people.sign_ins.who_has(other) == (None, False)
    people.sign_ins.sign_out(token)
    assert people.sign_ins.who_has(token) == (None, False)


def test_an_unknown_name_and_a_wrong_password_are_told_alike(people):
    told = []
    for name in ("Root", "Nobody", ""):
        with pytest.raises(AccessError) as error:
            people.sign_ins.check(name, "a wrong password")
        told.append((error.value.code, error.value.message))
    assert len(set(told)) == 1


@pytest.mark.parametrize(
    "seconds", [60 * limits.SESSION_IDLE_MIN + 1, 3600 * limits.SESSION_HOURS + 1]
)
def test_a_sign_in_that_nobody_uses_ends_and_so_does_every_one(people, monkeypatch, seconds):
    _, token, _ = people.sign_ins.sign_in("Root", PASSWORD)
    step_s, passed_s = 60 * limits.SESSION_IDLE_MIN // 2, 0
    is_used = seconds > 3600 * limits.SESSION_HOURS
    now = sign_ins.timestamp
    while is_used and passed_s + step_s < 3600 * limits.SESSION_HOURS:
        passed_s += step_s
        monkeypatch.setattr(sign_ins, "timestamp", lambda offset=0.0, s=passed_s: now(offset + s))
        assert people.sign_ins.who_has(token)[1]
        people.sign_ins.touch(token)
    monkeypatch.setattr(sign_ins, "timestamp", lambda offset=0.0: now(offset + seconds))
    assert people.sign_ins.who_has(token) == (None, False)
    people.sign_ins.touch(token)  # brings none back
    assert people.sign_ins.who_has(token) == (None, False)


def test_another_password_ends_all_sign_ins(people):
    who, token, browser = people.sign_ins.sign_in("Root", PASSWORD)
    with acting_as(who):
        people.accounts.change_password(who.id, "another long one")
    assert people.sign_ins.who_has(token) == (None, False)
    guess(people, "10.0.0.9")
    with pytest.raises(TooManyTriesError):  # its browser is known by the old password
        people.sign_ins.check("Root", "another long one", "10.0.0.9", browser)


def test_a_password_that_changes_while_it_is_checked_signs_nobody_in(people, monkeypatch):
    root = people.sign_ins.check("Root", PASSWORD)
    matches = sign_ins.matches

    def slowly(kept, password):
        is_right = matches(kept, password)
        monkeypatch.setattr(sign_ins, "matches", matches)
        with people.engine.begin() as connection:
            set_hash(connection, root.id, CHEAP.hash("another long one"))
        return is_right

    monkeypatch.setattr(sign_ins, "matches", slowly)
    with pytest.raises(AccessError, match="wrong"):
        people.sign_ins.sign_in("Root", PASSWORD)
    with acting_as(SERVER):
        assert people.sign_ins.sessions() == []


def test_everybody_ends_their_own_sign_ins_and_administrators_all(people):
    anna, ben = people.actor("Anna", "reader"), people.actor("Ben", "reader")
    for name in ("Anna", "Anna", "Ben"):
        people.sign_ins.sign_in(name, PASSWORD)
    with acting_as(anna):
        first, second = people.sign_ins.sessions()
        assert {first.name, second.name} == {"Anna"}
        assert people.sign_ins.end(anna.id, first.id) == 1
        with pytest.raises(ForbiddenError):
            people.sign_ins.end(ben.id)
    with acting_as(SERVER):
        assert len(people.sign_ins.sessions()) == 2
        assert people.sign_ins.end(ben.id) == 1


def test_who_guesses_has_to_wait_and_nobody_else(people):
    _, token, browser = people.sign_ins.sign_in("Root", PASSWORD, "10.0.0.1")
    guess(people, "10.0.0.9")
    with pytest.raises(TooManyTriesError) as told:
        people.sign_ins.check("Root", PASSWORD, "10.0.0.9")
    assert 0 < told.value.retry_after_s <= 60
    people.sign_ins.check("Root", PASSWORD, "10.0.0.1")
    people.sign_ins.check("Root", PASSWORD, "10.0.0.9", browser)
    for forged in ("", ".", f"{browser}x", browser.partition(".")[0]):
        with pytest.raises(TooManyTriesError):
            people.sign_ins.check("Root", PASSWORD, "10.0.0.9", forged)
    assert people.sign_ins.who_has(token)[0]
    people.clock.now_s += 61
    people.sign_ins.check("Root", PASSWORD, "10.0.0.9")


def test_a_browser_is_known_for_the_account_that_signed_in_in_it_alone(people):
    people.add("Anna", "reader")
    _, _, browser = people.sign_ins.sign_in("Anna", PASSWORD)
    guess(people, "10.0.0.9")
    with pytest.raises(TooManyTriesError):
        people.sign_ins.check("Root", PASSWORD, "10.0.0.9", browser)


def test_an_account_that_many_guess_at_pauses_them_sooner_and_not_its_owner(people):
    for n in range(limits.MAX_WRONG_FOR_ACCOUNT):
        guess(people, f"10.0.1.{n}", 1)
    with pytest.raises(TooManyTriesError):
        people.sign_ins.check("Root", PASSWORD, "10.0.1.0")
    guess(people, "10.0.2.1", limits.WRONG_UNDER_ATTACK)
    with pytest.raises(TooManyTriesError):
        people.sign_ins.check("Root", "a wrong password", "10.0.2.1")
    people.sign_ins.check("Root", PASSWORD, "10.0.3.1")  # its owner's first try, from elsewhere


def test_two_hundred_wrong_passwords_from_twenty_threads(tmp_path):
    """With the real hash: 64 MiB each, one at a time. The right user signs in meanwhile."""
    people = People(tmp_path)
    people.add("Root", "administrator")
    process, most, ended = psutil.Process(), [0], threading.Event()

    def watch():
        while not ended.wait(0.01):
            most[0] = max(most[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    before = process.memory_info().rss
    watcher.start()
    told = {}
    attack = threading.Thread(
        target=lambda: told.update(at_once(people, ["10.0.0.9"] * 20, rounds=10))
    )
    attack.start()
    until(lambda: people.sign_ins.tries._in_line > 0, 60, 0.001)

    refusals = set()

    def right():
        try:
            return people.sign_ins.check("Root", PASSWORD, "10.0.0.1").name == "Root"
        except TooManyTriesError as error:
            refusals.add(error.message)
            return False

    until(right, 60, 0.05)
    attack.join()
    ended.set()
    watcher.join()
    assert refusals <= {"Too many people sign in at once"}  # a line, no lock
    assert told["wrong_password"] <= limits.MAX_WRONG_PASSWORDS
    assert told["too_many_tries"] == 200 - told["wrong_password"]
    print(f"{dict(told)}, memory grew by {(most[0] - before) / 2**20:.0f} MiB")
    assert most[0] - before < 100 * 2**20


def test_simultaneous_guesses_are_counted_before_any_is_hashed(people):
    told = at_once(people, ["10.0.0.9"] * (limits.MAX_WRONG_PASSWORDS + 4))
    assert told == {"wrong_password": limits.MAX_WRONG_PASSWORDS, "too_many_tries": 4}


def test_one_is_hashed_at_a_time_and_a_long_line_is_refused_unhashed(people, monkeypatch):
    at_a_time, lock, count = [0, 0], threading.Lock(), [0]
    browser = people.sign_ins.sign_in("Root", PASSWORD, "10.0.0.8")[2]
    let_in = []

    class Watched:
        hash = CHEAP.hash

        def verify(self, kept, password):
            with lock:
                at_a_time[0] += 1
                count[0] += 1
                at_a_time[1] = max(at_a_time)
            try:
                return CHEAP.verify(kept, password)
            finally:
                with lock:
                    at_a_time[0] -= 1

    monkeypatch.setattr(passwords, "_HASHER", Watched())
    with ExitStack() as stack:
        for n in range(limits.HASHES_AT_ONCE):
            stack.enter_context(people.sign_ins.tries.attempt(f"slow {n}"))
        line = [f"10.0.1.{n}" for n in range(limits.MAX_HASHES_WAITING - limits.HASHES_AT_ONCE)]
        threads = [threading.Thread(target=at_once, args=(people, [a])) for a in line]
        for thread in threads:
            thread.start()
        until(lambda: people.sign_ins.tries._in_line == limits.MAX_HASHES_WAITING, 30, 0.01)
        with pytest.raises(TooManyTriesError, match="at once"):
            people.sign_ins.check("Root", PASSWORD, "10.0.0.1")
        # A browser in which Root has signed in before has a place all the same.
        threads.append(threading.Thread(
            target=lambda: let_in.append(
                people.sign_ins.check("Root", PASSWORD, "10.0.0.8", browser).name
            )
        ))  # fmt: skip
        threads[-1].start()
        until(lambda: people.sign_ins.tries._in_line > limits.MAX_HASHES_WAITING, 30, 0.01)
        assert count[0] == 0
    for thread in threads:
        thread.join()
    assert let_in == ["Root"]
    people.sign_ins.check("Root", PASSWORD, "10.0.0.1")
    assert people.sign_ins.tries._in_line == 0
    assert at_a_time[1] <= limits.HASHES_AT_ONCE


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
    from core.people import tries as module

    monkeypatch.setattr(module, "MAX_ADDRESSES", 100)
    tries = Tries()
    for n in range(1000):
        with tries.attempt(str(n), f"name {n}"):
            pass
    assert len(tries._wrong) == 100
    assert shared_limits.MAX_ADDRESSES > 100


def test_a_token_is_for_a_service_with_scopes_and_ends(people, monkeypatch):
    service = people.add("backup", "service", password=None)
    person = people.add("Anna", "reader")
    with acting_as(SERVER):
        for scopes in ([], ["all"], ["segment", "people"]):
            with pytest.raises(InputError, match="scope"):
                people.sign_ins.new_token(service.id, scopes, 1)
        for days in (0, limits.TOKEN_DAYS + 1):
            with pytest.raises(InputError, match="days"):
                people.sign_ins.new_token(service.id, ["segment"], days)
        with pytest.raises(ConflictError, match="service"):
            people.sign_ins.new_token(person.id, ["segment"], 1)
        token = people.sign_ins.new_token(service.id, ["segment", "metrics"], 1, "nightly")
        other = people.sign_ins.new_token(service.id, ["metrics"], 2)
        second, first = people.sign_ins.tokens()
        assert (first.label, first.scopes) == ("nightly", {"segment", "metrics"})
        who = people.sign_ins.who_bears(token, "10.0.0.1")
        assert (who.role, who.scopes, who.address) == (
            "service", {"segment", "metrics"}, "10.0.0.1",
        )  # fmt: skip
        people.sign_ins.revoke(second.id)
    assert people.sign_ins.who_bears(other) is None
    assert people.sign_ins.who_bears(token.removeprefix("hv_")) is None
    with pytest.raises(AccessError):  # nor is it a password
        people.sign_ins.check("backup", "")
    later(monkeypatch, 24 * 3600 + 1)
    assert people.sign_ins.who_bears(token) is None
