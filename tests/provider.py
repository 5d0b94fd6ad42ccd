"""A provider of identities in a process of its own, made of Authlib: ``python -m tests.provider``.

Addresses, codes, PKCE, redirect URIs and the client's secret are Authlib's work, which has no part
in what is tested. ``POST /orders`` says who signs in next and what it does wrong; see `Orders`.
"""

import base64
import contextlib
import hmac
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from core.settings import ROOT
from tests.server import free_port

CLIENT, SECRET = "hippoview", "a secret / with + odd: characters"
CALLBACK = "http://testserver/sign-in/callback"
_START_S = 240


@dataclass
class Orders:
    """What the next sign-ins are like.

    Attributes
    ----------
    claims
        Of whoever signs in; None takes one out.
    sign
        ``""`` as it should, ``other key``, ``none``, ``public key`` (HS256), ``new key``.
    fault
        By path: ``500``, ``slow``, ``drip``, ``endless``, ``no json``, ``nonsense``, ``redirect``.
    deny
        Whoever signs in gives up.
    redirect_uri
        One that is registered beside `CALLBACK`.
    """

    claims: dict[str, Any] = field(default_factory=dict)
    sign: str = ""
    fault: dict[str, str] = field(default_factory=dict)
    deny: bool = False
    redirect_uri: str = CALLBACK


@dataclass(frozen=True)
class Running:
    """A provider that runs."""

    issuer: str

    def order(self, **orders: Any) -> None:
        """Have the next sign-ins be like this; see `Orders`."""
        content = json.dumps(asdict(Orders(**orders))).encode()
        head = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.issuer}/orders", content, head)
        urllib.request.urlopen(request, timeout=10).close()


@contextlib.contextmanager
def provider() -> Iterator[Running]:
    """A provider for the time of a block."""
    port = free_port()
    command = [sys.executable, "-m", "tests.provider", str(port)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"AUTHLIB_INSECURE_TRANSPORT": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    running = Running(f"http://127.0.0.1:{port}")
    try:
        until = time.monotonic() + _START_S
        while True:
            with contextlib.suppress(OSError):
                running.order()
                break
            assert process.poll() is None, "the provider has ended"
            assert time.monotonic() < until, "the provider does not answer"
            time.sleep(0.1)  # between two looks at a process that starts
        yield running
    finally:
        process.kill()
        process.wait()


def hs256(claims: dict[str, Any], secret: bytes) -> str:
    """A token signed with a shared secret, whatever that is: by hand, since Authlib refuses it."""

    def text(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    head = {"alg": "HS256", "kid": "key-0"}
    signed = ".".join(text(json.dumps(part).encode()) for part in (head, claims))
    return f"{signed}.{text(hmac.digest(secret, signed.encode(), 'sha256'))}"


def serve(port: int) -> None:
    """Serve until killed."""
    from authlib.integrations.flask_oauth2 import AuthorizationServer
    from authlib.oauth2.rfc6749 import grants
    from authlib.oauth2.rfc7636 import CodeChallenge
    from authlib.oidc.core import OpenIDCode
    from flask import Flask, Response, redirect, request
    from joserfc import jwt
    from joserfc.jwk import RSAKey
    from werkzeug.serving import make_server

    issuer = f"http://127.0.0.1:{port}"
    keys = [RSAKey.generate_key(2048, {"kid": f"key-{i}", "use": "sig"}) for i in range(2)]
    published = keys[:1]
    orders, codes = Orders(), {}

    class Client:
        client_id, client_secret = CLIENT, SECRET

        def get_client_id(self) -> str:
            return CLIENT

        def get_default_redirect_uri(self) -> str:
            return CALLBACK

        def get_allowed_scope(self, scope: str) -> str:
            return scope

        def check_redirect_uri(self, uri: str) -> bool:
            return uri in (CALLBACK, orders.redirect_uri)

        def check_client_secret(self, secret: str) -> bool:
            return secrets.compare_digest(secret, SECRET)

        def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
            return method == "client_secret_basic"

        def check_response_type(self, kind: str) -> bool:
            return kind == "code"

        def check_grant_type(self, kind: str) -> bool:
            return kind == "authorization_code"

    class Code:
        def __init__(self, asked: Any) -> None:
            self.redirect_uri, self.scope = asked.redirect_uri, asked.scope
            data = asked.data
            self.nonce, self.code_challenge = data.get("nonce"), data.get("code_challenge")
            self.code_challenge_method = data.get("code_challenge_method")

        def get_redirect_uri(self) -> str:
            return self.redirect_uri

        def get_scope(self) -> str:
            return self.scope

        def get_nonce(self) -> str:
            return self.nonce

        def get_auth_time(self) -> int:
            return int(time.time())

        def get_acr(self) -> None:
            return None

        get_amr = get_acr

    class CodeGrant(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]

        def save_authorization_code(self, code: str, asked: Any) -> None:
            codes[code] = Code(asked.payload)

        def query_authorization_code(self, code: str, client: Any) -> Code | None:
            return codes.get(code)

        def delete_authorization_code(self, code: Code) -> None:
            for name in [name for name, one in codes.items() if one is code]:
                del codes[name]

        def authenticate_user(self, code: Code) -> dict[str, Any]:
            return {"sub": "somebody"}

    class IdToken(OpenIDCode):
        def exists_nonce(self, nonce: str, asked: Any) -> bool:
            return False

        def encode_id_token(self, token: dict[str, Any], asked: Any) -> str:
            now = int(time.time())
            claims = {
                "iss": issuer, "aud": CLIENT, "sub": "somebody", "iat": now, "exp": now + 300,
                "nonce": asked.authorization_code.get_nonce(),
            } | orders.claims  # fmt: skip
            claims = {name: value for name, value in claims.items() if value is not None}
            if orders.sign == "none":
                return jwt.encode({"alg": "none"}, claims, None, ["none"])
            if orders.sign == "public key":
                return hs256(claims, keys[0].as_pem(private=False))
            key = {"other key": keys[1], "new key": published[-1]}.get(orders.sign, keys[0])
            name = "key-0" if orders.sign == "other key" else key.kid
            return jwt.encode({"alg": "RS256", "kid": name}, claims, key, ["RS256"])

    app = Flask(__name__)
    server = AuthorizationServer(
        app, query_client=lambda name: Client() if name == CLIENT else None,
        save_token=lambda token, asked: None,
    )  # fmt: skip
    server.register_grant(CodeGrant, [CodeChallenge(required=True), IdToken(require_nonce=True)])

    def endless() -> Iterator[bytes]:
        while True:
            yield b" " * 65536

    def drip() -> Iterator[bytes]:
        while True:
            yield b" "
            time.sleep(0.2)

    @app.before_request
    def wrong() -> Any:
        fault = orders.fault.get(request.path, "")
        if fault == "slow":
            time.sleep(30)
        return {
            "500": Response("broken", 500), "no json": Response("<html>"),
            "nonsense": Response("[]"), "redirect": redirect("http://127.0.0.1:9/"),
            "endless": Response(endless()), "drip": Response(drip()),
        }.get(fault)  # fmt: skip

    @app.post("/orders")
    def take() -> str:
        vars(orders).update(request.get_json())
        if orders.sign == "new key":
            published[:] = keys
        return ""

    @app.get("/.well-known/openid-configuration")
    def about() -> dict[str, Any]:
        return {
            "issuer": orders.fault.get("issuer", issuer),
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": orders.fault.get("token_endpoint", f"{issuer}/token"),
            "jwks_uri": f"{issuer}/keys", "end_session_endpoint": f"{issuer}/end",
            "scopes_supported": ["openid", "profile", "groups"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }  # fmt: skip

    @app.get("/keys")
    def public() -> dict[str, Any]:
        return {"keys": [key.as_dict(private=False) for key in published]}

    @app.get("/authorize")
    def authorize() -> Any:
        grant = server.get_consent_grant(end_user={"sub": "somebody"})
        user = None if orders.deny else {"sub": "somebody"}
        return server.create_authorization_response(grant_user=user, grant=grant)

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()

    make_server("127.0.0.1", port, app, threaded=True).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
