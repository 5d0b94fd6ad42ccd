"""Asking a provider over HTTP, with bounds on time and size: it may hang, drip or never end."""

import json
import queue
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

import requests
from loguru import logger
from urllib3.exceptions import HTTPError

from core.errors import ProviderError
from core.people import limits

_Answer = TypeVar("_Answer")
_CHUNK_BYTES = 64 * 1024
_HINT = "Try again in a minute, or sign in with an account of this server."


class Wire:
    """A provider's HTTP.

    Parameters
    ----------
    ca
        File of its certificate authority (PEM); empty for the well-known ones.
    total_s
        What one answer may take, from looking its name up to its last byte.
    """

    def __init__(self, ca: str = "", total_s: float = limits.PROVIDER_ANSWER_S) -> None:
        self._verify: str | bool = ca or True
        self._total_s = total_s
        # Held by what runs, not by who waits for it: else a provider that hangs collects threads.
        self._places = threading.BoundedSemaphore(limits.PROVIDER_CALLS_AT_ONCE)

    def get(self, url: str) -> dict[str, Any]:
        """The JSON object at an address.

        Raises
        ------
        ProviderError
        """
        status, content = self._in_time(lambda: self._ask("GET", url))
        if status != HTTPStatus.OK:
            raise unusable(f"HTTP {status}")
        return _object(content)

    def post(
        self, url: str, form: Mapping[str, str], basic: tuple[str, str] | None
    ) -> tuple[int, dict[str, Any]]:
        """Send a form; the status of the answer and its JSON object, which is empty for none.

        Parameters
        ----------
        basic
            Name and password of HTTP Basic.

        Raises
        ------
        ProviderError
        """
        status, content = self._in_time(lambda: self._ask("POST", url, dict(form), basic))
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise unusable(f"HTTP {status}")
        return status, _object(content) if status == HTTPStatus.OK else {}

    def _in_time(self, act: Callable[[], _Answer]) -> _Answer:
        """Do something on a thread of its own, and wait for it no longer than `total_s`."""
        if not self._places.acquire(blocking=False):
            raise unusable("others wait for it already")
        done: queue.SimpleQueue[tuple[_Answer | None, Exception | None]] = queue.SimpleQueue()

        def run() -> None:
            try:
                done.put((act(), None))
            except Exception as error:  # noqa: BLE001 - raised where it is waited for
                done.put((None, error))
            finally:
                self._places.release()

        threading.Thread(target=run, name="provider", daemon=True).start()
        try:
            answer, error = done.get(timeout=self._total_s)
        except queue.Empty:
            raise unusable("it takes too long") from None
        if isinstance(error, requests.RequestException | HTTPError | OSError):
            raise unusable(type(error).__name__) from error
        if error is not None:
            raise error
        return answer  # type: ignore[return-value]

    def _ask(
        self, method: str, url: str, form: dict[str, str] | None = None,
        basic: tuple[str, str] | None = None,
    ) -> tuple[int, bytes]:  # fmt: skip
        ends_at = time.monotonic() + self._total_s
        with (
            requests.Session() as session,
            session.request(
                method, url, data=form, verify=self._verify, stream=True, allow_redirects=False,
                timeout=(limits.PROVIDER_CONNECT_S, self._total_s),
                # In clear, so that what is counted is what comes.
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                # Without this, requests looks for a password in a .netrc.
                auth=basic or (lambda request: request),
            ) as answer,
        ):  # fmt: skip
            content = bytearray()
            while chunk := answer.raw.read1(_CHUNK_BYTES, decode_content=False):
                content += chunk
                if len(content) > limits.PROVIDER_ANSWER_BYTES:
                    raise unusable("its answer is too large")
                if time.monotonic() > ends_at:
                    raise unusable("it takes too long")
            return answer.status_code, bytes(content)


def unusable(why: str) -> ProviderError:
    """What is said of a provider that does not do its part; the log says why."""
    logger.warning("The sign-in provider cannot be used: {}", why)
    return ProviderError("The sign-in provider does not answer as it should", _HINT)


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise unusable("its answer is no JSON") from None
    if not isinstance(value, dict):
        raise unusable("its answer is no JSON object")
    return value
