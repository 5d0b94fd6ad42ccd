"""The administrator's password and sign-ins. Passwords are kept as argon2 hashes only.

Only those who guess passwords have to wait: wrong ones are counted by address, or by browser if it
has signed in before. So behind a proxy, where everybody has one address, the administrator's own
browser can still sign in while someone guesses.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import Engine, select

from core import limits
from core.errors import AccessError
from core.people.tries import TooManyTriesError, Tries, who_has
from core.state.database import reading, timestamp
from core.state.tables import ACCOUNTS, SESSIONS

__all__ = ["ADMINISTRATOR", "NOT_SIGNED_IN", "Accounts", "TooManyTriesError"]

# The one account that there is.
ADMINISTRATOR = "administrator"
# Who acts where no password is set, so that nobody signs in.
NOT_SIGNED_IN = "not signed in"
_TOKEN_BYTES = 32
_HASHER = PasswordHasher()


class Accounts:
    """Who may administer this installation.

    Parameters
    ----------
    engine
    clock
        Seconds that only grow.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._tries = Tries(clock)

    def set_password(self, password: str) -> None:
        """Set the password; if it differs from the previous one, all sign-ins end."""
        if self._matches(password):
            return
        values = {"name": ADMINISTRATOR, "password_hash": _HASHER.hash(password)}
        with self._engine.begin() as connection:
            connection.execute(SESSIONS.delete())
            connection.execute(ACCOUNTS.delete())
            connection.execute(ACCOUNTS.insert().values(**values))

    def check(self, password: str, address: str = "", browser: str | None = None) -> None:
        """Check a password.

        Parameters
        ----------
        address
            The client's address, as the server sees it.
        browser
            The name that `name_browser` gave to this browser, if any.

        Raises
        ------
        AccessError
            It is wrong.
        TooManyTriesError
            Too many were wrong within a minute; this one was not checked.
        """
        who = f"browser {browser}" if self._has_named(browser) else who_has(address)
        with self._tries.attempt(who) as forget:
            if not self._matches(password):
                raise AccessError("The password is wrong", "Try again.", code="wrong_password")
            forget()

    def sign_in(self, password: str, address: str = "", browser: str | None = None) -> str:
        """Sign in; see `check`.

        Returns
        -------
        str
            The token that the browser keeps, for `limits.SESSION_HOURS`.

        Raises
        ------
        AccessError, TooManyTriesError
        """
        self.check(password, address, browser)
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        with self._engine.begin() as connection:
            connection.execute(SESSIONS.delete().where(SESSIONS.c.expires_at < timestamp()))
            connection.execute(
                SESSIONS.insert().values(
                    token_sha256=_sha256(token),
                    account=ADMINISTRATOR,
                    expires_at=timestamp(3600 * limits.SESSION_HOURS),
                )
            )
        return token

    def knows(self, token: str | None) -> bool:
        """Whether a token belongs to a sign-in that has not expired."""
        return self.name_of(token) is not None

    def name_of(self, token: str | None) -> str | None:
        """The account that a token was given to; None if it does not belong to a sign-in."""
        if not token:
            return None
        with reading(self._engine) as connection:
            account: str | None = connection.scalar(
                select(SESSIONS.c.account).where(
                    SESSIONS.c.token_sha256 == _sha256(token),
                    SESSIONS.c.expires_at > timestamp(),
                )
            )
        return account

    def sign_out(self, token: str) -> None:
        """Forget a sign-in."""
        with self._engine.begin() as connection:
            connection.execute(SESSIONS.delete().where(SESSIONS.c.token_sha256 == _sha256(token)))

    def name_browser(self) -> str:
        """A signed name for a browser that has signed in; others cannot forge it."""
        name = secrets.token_urlsafe(_TOKEN_BYTES)
        return f"{name}.{self._signature(name)}"

    def _has_named(self, browser: str | None) -> bool:
        name, _, signature = (browser or "").rpartition(".")
        return bool(name) and hmac.compare_digest(
            signature.encode(), self._signature(name).encode()
        )

    def _signature(self, name: str) -> str:
        # Another password makes every browser unknown.
        return hmac.new((self._kept() or "").encode(), name.encode(), "sha256").hexdigest()

    def _kept(self) -> str | None:
        with reading(self._engine) as connection:
            kept: str | None = connection.scalar(select(ACCOUNTS.c.password_hash))
            return kept

    def _matches(self, password: str) -> bool:
        kept = self._kept()
        if kept is None:
            return False
        try:
            return _HASHER.verify(kept, password)
        except VerificationError:
            return False


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
