"""The administrator's password and sign-ins. Passwords are kept as argon2 hashes only."""

import hashlib
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import Engine, func, select

from core import limits
from core.database import ACCOUNTS, SESSIONS, WRONG_PASSWORDS, timestamp
from core.errors import AccessError

_ADMINISTRATOR = "administrator"
_TOKEN_BYTES = 32
_WINDOW_S = 60.0
_HASHER = PasswordHasher()


class TooManyTriesError(AccessError):
    """Passwords were guessed at; sign-in pauses."""

    code = "too_many_tries"
    retry_after_s = int(_WINDOW_S)


class Accounts:
    """Who may administer this installation."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def set_password(self, password: str) -> None:
        """Take this password from now on; another one than before ends all sign-ins."""
        if self._matches(password):
            return
        values = {"name": _ADMINISTRATOR, "password_hash": _HASHER.hash(password)}
        with self._engine.begin() as connection:
            connection.execute(SESSIONS.delete())
            connection.execute(ACCOUNTS.delete())
            connection.execute(ACCOUNTS.insert().values(**values))

    def check(self, password: str) -> None:
        """Check a password.

        Raises
        ------
        AccessError
            It is wrong.
        TooManyTriesError
            Too many were wrong within a minute.
        """
        with self._engine.begin() as connection:
            recent = WRONG_PASSWORDS.c.at > timestamp(-_WINDOW_S)
            wrong = connection.scalar(
                select(func.count()).select_from(WRONG_PASSWORDS).where(recent)
            )
            connection.execute(WRONG_PASSWORDS.delete().where(~recent))
        if (wrong or 0) >= limits.MAX_WRONG_PASSWORDS:
            raise TooManyTriesError(
                "Too many wrong passwords were tried", "Wait a minute and try again."
            )
        if not self._matches(password):
            with self._engine.begin() as connection:
                connection.execute(WRONG_PASSWORDS.insert().values(at=timestamp()))
            raise AccessError("The password is wrong", "Try again.", code="wrong_password")

    def sign_in(self, password: str) -> str:
        """Sign in.

        Returns
        -------
        str
            The token that the browser keeps, for `limits.SESSION_HOURS`.

        Raises
        ------
        AccessError, TooManyTriesError
        """
        self.check(password)
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        with self._engine.begin() as connection:
            connection.execute(SESSIONS.delete().where(SESSIONS.c.expires_at < timestamp()))
            connection.execute(
                SESSIONS.insert().values(
                    token_sha256=_sha256(token),
                    account=_ADMINISTRATOR,
                    expires_at=timestamp(3600 * limits.SESSION_HOURS),
                )
            )
        return token

    def knows(self, token: str | None) -> bool:
        """Whether a token is that of a sign-in that still holds."""
        if not token:
            return False
        with self._engine.begin() as connection:
            found = connection.scalar(
                select(SESSIONS.c.account).where(
                    SESSIONS.c.token_sha256 == _sha256(token),
                    SESSIONS.c.expires_at > timestamp(),
                )
            )
        return found is not None

    def sign_out(self, token: str) -> None:
        """Forget a sign-in."""
        with self._engine.begin() as connection:
            connection.execute(SESSIONS.delete().where(SESSIONS.c.token_sha256 == _sha256(token)))

    def _matches(self, password: str) -> bool:
        with self._engine.begin() as connection:
            kept = connection.scalar(select(ACCOUNTS.c.password_hash))
        if kept is None:
            return False
        try:
            return _HASHER.verify(kept, password)
        except VerificationError:
            return False


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
