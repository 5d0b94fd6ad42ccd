"""A provider of identities: where it sends people to sign in, and who it says they are.

OpenID Connect Core 1.0, the authorization code flow with PKCE (RFC 7636).
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from loguru import logger

from core.errors import AccessError
from core.people import limits
from core.people.provider.begun import Try
from core.people.provider.token import claims_of, key_of, refused
from core.people.provider.wire import Wire, unusable
from core.settings import Settings, is_safe_address

_WELL_KNOWN = "/.well-known/openid-configuration"
_NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True)
class Identity:
    """Somebody, as a provider knows them.

    Attributes
    ----------
    issuer, subject : str
        Together they are this one for ever; nothing else is.
    name : str
        As the provider shows it; anybody may be called so.
    groups : object
        The claim with the groups, as it came; None if there was none.
    """

    issuer: str
    subject: str
    name: str
    groups: object


class Provider:
    """The provider of the settings.

    Parameters
    ----------
    settings
    wire
    clock
        Seconds that only grow.
    """

    def __init__(
        self, settings: Settings, wire: Wire | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.issuer = settings.oidc_issuer
        self._scheme = f"{urlsplit(self.issuer).scheme}:"
        self.name = settings.oidc_name or urlsplit(self.issuer).hostname or ""
        self._client_id = settings.oidc_client_id
        self._client_secret = settings.oidc_client_secret
        self._claim = settings.oidc_groups_claim
        self._wire = wire or Wire(settings.oidc_ca)
        self._clock = clock
        self._lock = threading.Lock()
        self._about: dict[str, Any] = {}
        self._keys: list[Any] = []
        self._about_at = self._keys_at = float("-inf")

    def address_of(self, begun: Try, redirect_uri: str) -> str:
        """Where a browser goes to sign in.

        Parameters
        ----------
        redirect_uri
            Our address that it comes back to, as it is registered there.

        Raises
        ------
        ProviderError
        """
        about = self._metadata()
        scopes = ["openid", "profile"]
        if self._claim in _listed(about.get("scopes_supported")):
            scopes.append(self._claim)
        query = urlencode(
            {
                "response_type": "code", "client_id": self._client_id,
                "redirect_uri": redirect_uri, "scope": " ".join(scopes), "state": begun.state,
                "nonce": begun.nonce, "code_challenge": begun.challenge,
                "code_challenge_method": "S256",
            },
            quote_via=quote,
        )  # fmt: skip
        where = str(about["authorization_endpoint"])
        return f"{where}{'&' if urlsplit(where).query else '?'}{query}"

    def identity(self, code: str, begun: Try, redirect_uri: str) -> Identity:
        """Who has signed in, for the code that a browser has brought.

        Raises
        ------
        AccessError
            The provider knows no such code, or its token does not hold.
        ProviderError
        """
        about = self._metadata()
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri,
            "code_verifier": begun.verifier, "client_id": self._client_id,
        }  # fmt: skip
        basic = None
        if self._client_secret:
            ways = _listed(about.get("token_endpoint_auth_methods_supported"))
            if not ways or "client_secret_basic" in ways:
                basic = quote(self._client_id, safe=""), quote(self._client_secret, safe="")
            else:
                form["client_secret"] = self._client_secret
        status, answer = self._wire.post(str(about["token_endpoint"]), form, basic)
        token = answer.get("id_token")
        if not isinstance(token, str):
            logger.warning("The sign-in provider gave no ID token: HTTP {}", status)
            raise AccessError(
                f"{self.name} did not confirm this sign-in",
                "Begin again; if it stays so, tell an administrator: the log says why.",
                code="bad_identity",
            )
        key = key_of(token, self._known_keys()) or key_of(token, self._known_keys(anew=True))
        if key is None:
            raise refused("the provider publishes no key of this name")
        claims = claims_of(
            token, key, issuer=self.issuer, client_id=self._client_id, nonce=begun.nonce
        )
        names = (claims.get(claim) for claim in ("name", "preferred_username"))
        name = next((name for name in names if isinstance(name, str) and name.strip()), "")
        return Identity(self.issuer, claims["sub"], name, claims.get(self._claim))

    def end_address(self) -> str:
        """Where one signs out of the provider; empty if it has no such page, or is not known yet.

        Asks nobody: it stands on a page that has to come when the provider does not.
        """
        with self._lock:
            where = self._about.get("end_session_endpoint", "")
        return f"{where}?{urlencode({'client_id': self._client_id})}" if where else ""

    def _metadata(self) -> dict[str, Any]:
        with self._lock:
            if self._clock() < self._about_at + limits.PROVIDER_KEPT_S:
                return self._about
        about = self._wire.get(self.issuer.rstrip("/") + _WELL_KNOWN)
        if about.get("issuer") != self.issuer:
            raise unusable("it calls itself by another issuer than HIPPOVIEW_OIDC_ISSUER")
        if not all(self._is_address(about.get(name)) for name in _NEEDED):
            raise unusable("it names no safe addresses for signing in")
        if not self._is_address(about.get("end_session_endpoint")):
            about.pop("end_session_endpoint", None)
        with self._lock:
            self._about, self._about_at = about, self._clock()
        return about

    def _known_keys(self, *, anew: bool = False) -> list[Any]:
        age_s = limits.PROVIDER_KEYS_AGAIN_S if anew else limits.PROVIDER_KEPT_S
        with self._lock:
            if self._clock() < self._keys_at + age_s:
                return self._keys
        keys = _listed(self._wire.get(str(self._metadata()["jwks_uri"])).get("keys"))
        with self._lock:
            self._keys, self._keys_at = keys, self._clock()
        return keys

    def _is_address(self, where: object) -> bool:
        """Whether it may be gone to: by TLS, or on this machine where the provider itself is."""
        if not isinstance(where, str) or len(where) > limits.MOST_PROVIDER_CHARS:
            return False
        return is_safe_address(where) and where.startswith(("https:", self._scheme))


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
