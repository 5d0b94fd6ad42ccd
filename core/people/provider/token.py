"""The ID token of a provider: who somebody is, checked as OpenID Connect Core 3.1.3.7 asks."""

import hmac
from typing import Any

import jwt
from loguru import logger

from core.errors import AccessError
from core.people import limits

# Signatures by a key that only the provider has. None that a shared secret makes (HS256), since
# public keys could be taken for one, and not *none*.
ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
_KINDS = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_NEEDED = ["iss", "aud", "sub", "exp", "iat", "nonce"]
# What a signed token may hold to break a reader of it.
_ODD = (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError, AttributeError)


def key_of(token: str, keys: list[Any]) -> jwt.PyJWK | None:
    """The provider's key that a token names, bound to the token's algorithm; None if there is none.

    Parameters
    ----------
    keys
        JSON Web Keys, as the provider publishes them.

    Raises
    ------
    AccessError
        The token is none, or signed in a way that is not accepted.
    """
    try:
        header = jwt.get_unverified_header(token)
    except _ODD as error:
        raise refused("no token") from error
    algorithm, name = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise refused("its algorithm is not accepted")
    fitting = [
        key for key in keys
        if isinstance(key, dict) and key.get("kty") == _KINDS[algorithm[:2]]
        and key.get("use", "sig") == "sig" and key.get("alg", algorithm) == algorithm
        and (name is None or key.get("kid") == name)
    ]  # fmt: skip
    if len(fitting) != 1:
        return None
    try:
        return jwt.PyJWK(fitting[0], algorithm)
    except _ODD as error:
        raise refused("its key cannot be read") from error


def claims_of(
    token: str, key: jwt.PyJWK, *, issuer: str, client_id: str, nonce: str
) -> dict[str, Any]:
    """What a token says, if it is this provider's, for us, for this sign-in, and of now.

    Raises
    ------
    AccessError
    """
    try:
        claims = jwt.decode(
            token, key, algorithms=[key.algorithm_name], audience=client_id, issuer=issuer,
            leeway=limits.PROVIDER_CLOCK_S,
            options={"require": _NEEDED, "enforce_minimum_key_length": True},
        )  # fmt: skip
    except _ODD as error:
        raise refused(type(error).__name__) from error
    for_others = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if claims.get("azp", None if for_others else client_id) != client_id:
        raise refused("it was given to another program")
    said = claims["nonce"]
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise refused("it is of another sign-in")
    subject = claims["sub"]
    if not 0 < len(subject) <= limits.MOST_SUBJECT_CHARS or not subject.isprintable():
        raise refused("its subject is none")
    return claims


def refused(why: str) -> AccessError:
    """What is said of a token that does not hold; the log says why."""
    logger.warning("A token of the sign-in provider was refused: {}", why)
    return AccessError(
        "What the sign-in provider said of you does not hold",
        "Begin again; if it stays so, tell an administrator: the log says why.",
        code="bad_identity",
    )
