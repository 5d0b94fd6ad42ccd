"""A sign-in that was begun: what the browser carries to the provider and back.

It is one random secret in a cookie that no other site and no script can read; state, nonce and
verifier are made of it. So nothing is kept here meanwhile: a stranger fills no memory, and any
process of the server can finish what another one began.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass

_SECRET_BYTES = 32


@dataclass(frozen=True)
class Try:
    """One sign-in that a browser has begun; only that browser has its secret."""

    secret: str

    @classmethod
    def begin(cls) -> "Try":
        """Another one."""
        return cls(secrets.token_urlsafe(_SECRET_BYTES))

    @property
    def state(self) -> str:
        """What the provider hands back, so that an answer to another browser is none to this."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """What the token has to hold."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """What the code is exchanged with; the provider saw its hash at the beginning."""
        return self._derived("verifier")

    @property
    def challenge(self) -> str:
        """The hash of `verifier` (S256)."""
        return _text(hashlib.sha256(self.verifier.encode()).digest())

    def _derived(self, purpose: str) -> str:
        return _text(hmac.digest(self.secret.encode(), purpose.encode(), hashlib.sha256))


def _text(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
