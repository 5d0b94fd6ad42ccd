"""Sends messages about drift: by mail (SMTP), and signed to a webhook.

The webhook's signature is that of *Standard Webhooks* (standardwebhooks.com): HMAC-SHA256 over id,
time and body. Both sides are the administrator's own choice; redirects are not followed, and of an
answer the status alone is read.
"""

import base64
import hashlib
import hmac
import json
import smtplib
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import EmailMessage
from http.client import HTTPException
from typing import Any

from core.drift.notices import Channel, NotSentError
from core.settings import Settings, listed

_TIMEOUT_S = 10.0
_SECRET_PREFIX = "whsec_"  # noqa: S105 - no password
_KINDS = {"crop": "crops", "head": "whole heads"}


def channels_of(settings: Settings) -> tuple[Channel, ...]:
    """The channels that the settings name."""
    channels: list[Channel] = []
    if settings.mail_to:
        channels.append(Mail(settings))
    if settings.webhook_url:
        channels.append(Webhook(settings.webhook_url, settings.webhook_secret))
    return tuple(channels)


class Mail:
    """Mail by the SMTP server of the settings."""

    name = "mail"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def send(self, key: str, content: Mapping[str, Any]) -> None:
        """See `core.drift.notices.Channel`."""
        settings = self._settings
        message = mail_of(key, content, settings.mail_from, listed(settings.mail_to))
        context = ssl.create_default_context()
        try:
            if settings.smtp_security == "tls":
                server: smtplib.SMTP = smtplib.SMTP_SSL(
                    settings.smtp_host, settings.smtp_port, timeout=_TIMEOUT_S, context=context
                )
            else:
                server = smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=_TIMEOUT_S)
            with server:
                if settings.smtp_security == "starttls":
                    server.starttls(context=context)
                if settings.smtp_user:
                    server.login(settings.smtp_user, settings.smtp_password)
                server.send_message(message)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            # Not its text, which may quote a user's name.
            raise NotSentError(
                f"the mail server did not take it ({type(error).__name__})"
            ) from error


def mail_of(
    key: str, content: Mapping[str, Any], sender: str, receivers: tuple[str, ...]
) -> EmailMessage:
    """The mail of a message."""
    kind, state = _KINDS[content["kind"]], content["state"]
    mail = EmailMessage()
    mail["Subject"] = f"HippoView: drift of {kind} is {state}"
    mail["From"] = sender
    mail["To"] = ", ".join(receivers)
    mail["Message-ID"] = f"<{key}@hippoview.invalid>"
    mail["Auto-Submitted"] = "auto-generated"
    lines = [
        f"Drift of {kind} is {state} since {content['at'][:16]} UTC; it was {content['before']}.",
        f"{content['scans']:,} scans were followed with model version {content['model_version']} "
        f"on {socket.gethostname()}.",
        *(
            f"- The scans {moved['words']}, by {moved['shift_sd']:+.1f} SD, since scan "
            f"{moved['since_scan']}."
            for moved in content["moved"]
        ),
        "",
        "What to do stands on the Drift page, and in docs/operations.md under Runbooks.",
        f"Message {key}. Not for diagnosis.",
    ]
    mail.set_content("\n".join(lines))
    return mail


class Webhook:
    """A POST of JSON to one address.

    Parameters
    ----------
    url
    secret
        As typed; with ``whsec_`` before it, base64.
    """

    name = "webhook"

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._secret = secret_bytes(secret)
        self._opener = urllib.request.build_opener(_NoRedirect)

    def send(self, key: str, content: Mapping[str, Any]) -> None:
        """See `core.drift.notices.Channel`."""
        body = json.dumps({"id": key, **content}).encode()
        at = str(int(time.time()))
        headers = {
            "Content-Type": "application/json", "User-Agent": "HippoView",
            "Idempotency-Key": key, "webhook-id": key, "webhook-timestamp": at,
            "webhook-signature": signature_of(self._secret, key, at, body),
        }  # fmt: skip
        request = urllib.request.Request(self._url, body, headers)  # noqa: S310 - of the settings
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S):
                return  # any 2xx; nothing of the answer is read
        except urllib.error.HTTPError as error:
            error.close()
            raise NotSentError(f"the webhook answered {error.code}") from error
        except (OSError, HTTPException, ValueError) as error:
            raise NotSentError(f"the webhook was not reached ({type(error).__name__})") from error


def secret_bytes(secret: str) -> bytes:
    """The key of a secret.

    Raises
    ------
    ValueError
        It begins with ``whsec_`` and is no base64.
    """
    if secret.startswith(_SECRET_PREFIX):
        return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    return secret.encode()


def signature_of(secret: bytes, key: str, at: str, body: bytes) -> str:
    """The header ``webhook-signature``: ``v1,`` and HMAC-SHA256 in base64.

    Parameters
    ----------
    at
        Seconds since 1970.
    """
    signed = f"{key}.{at}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *about: Any) -> None:
        """None: the answer is an error as it is."""
