import pytest

from core import accounts as module
from core import limits
from core.accounts import Accounts, TooManyTriesError
from core.database import DATABASE_NAME, connect
from core.errors import AccessError
from core.settings import Settings

PASSWORD = "correct horse battery"


@pytest.fixture
def accounts(tmp_path):
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


def test_guessing_pauses_sign_in_even_for_the_right_password(accounts):
    for _ in range(limits.MAX_WRONG_PASSWORDS):
        with pytest.raises(AccessError, match="wrong"):
            accounts.sign_in("a wrong password")
    with pytest.raises(TooManyTriesError):
        accounts.sign_in(PASSWORD)


def test_neither_password_nor_token_is_in_the_database(accounts, tmp_path):
    token = accounts.sign_in(PASSWORD)
    content = b"".join(p.read_bytes() for p in tmp_path.glob(f"{DATABASE_NAME}*"))
    assert b"$argon2id$" in content
    assert PASSWORD.encode() not in content
    assert token.encode() not in content


def test_the_password_is_in_no_print_of_the_settings():
    assert PASSWORD not in repr(Settings(admin_password=PASSWORD))
