"""Passwords: kept as argon2id hashes only, one computed at a time."""

import functools
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from core.errors import InputError
from core.people import limits
from core.people.roles import name_key

# argon2id with the library's defaults: 64 MiB, three passes.
_HASHER = PasswordHasher()
HASHING = threading.BoundedSemaphore(limits.HASHES_AT_ONCE)


def hash_of(password: str) -> str:
    """The hash that is kept of a password."""
    with HASHING:
        return _HASHER.hash(password)


def matches(kept: str, password: str) -> bool:
    """Whether a password is the one of a hash. The caller holds `HASHING`.

    Parameters
    ----------
    kept
        Empty where there is no such account, or it has no password: it takes as long.
    """
    try:
        return _HASHER.verify(kept or _of_nobody(), password) and bool(kept)
    except (VerificationError, InvalidHashError):
        return False


def check_new(password: str, name: str) -> None:
    """Refuse a password that is guessed at once.

    Raises
    ------
    InputError
    """
    length = len(password)
    if not limits.SHORT_PASSWORD_CHARS <= length <= limits.LONGEST_PASSWORD_CHARS:
        raise InputError(
            f"The password has {length} characters, expected {limits.SHORT_PASSWORD_CHARS} to "
            f"{limits.LONGEST_PASSWORD_CHARS}",
            "Choose a sentence that only you know.",
            code="bad_password",
        )
    is_plain = len(set(password)) < limits.LEAST_DIFFERENT_CHARS
    if is_plain or name_key(password) == name_key(name):
        raise InputError(
            "The password is guessed at once",
            "Choose a sentence that only you know.",
            code="bad_password",
        )


@functools.cache
def _of_nobody() -> str:
    return _HASHER.hash("")
