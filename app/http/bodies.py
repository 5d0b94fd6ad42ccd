"""Limits the bodies of requests before they are read: how many at once, how large, how slow.

It is done in the route, or around it without reading: an upload of Streamlit hangs behind a
middleware that reads its body first (streamlit issue 14710).
"""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive

from core import limits, web_limits
from core.errors import BusyError, HippoViewError, InputError, StorageError, TooLargeError
from core.limits import MIB

_RETRY_S = 5


class SlowBodyError(HippoViewError):
    """A body stopped arriving, or arrives too slowly."""

    code = "too_slow"


@dataclass(frozen=True)
class Pace:
    """How slowly a body may arrive.

    Attributes
    ----------
    silence_s
        Longest time between two parts of it.
    grace_s
        From the start, before its speed counts.
    least_bytes_s
        Bytes a second, in the mean after that.
    """

    silence_s: float = web_limits.BODY_SILENCE_S
    grace_s: float = web_limits.BODY_GRACE_S
    least_bytes_s: float = web_limits.BODY_LEAST_BYTES_S


class Bodies:
    """The bodies of one kind that are on the server at the same time.

    Parameters
    ----------
    most
        How many.
    largest_bytes
        Of one; counted as it comes, whatever its header says.
    all_bytes
        Of all together, by their headers; one alone is always let in.
    on_disk
        Where room for them must be; none for those that stay in memory.
    pace
    """

    def __init__(
        self,
        most: int,
        largest_bytes: int,
        all_bytes: int,
        on_disk: tuple[Path, ...] = (),
        pace: Pace | None = None,
    ) -> None:
        self._most = most
        self.largest_bytes = largest_bytes
        self._all_bytes = all_bytes
        self._on_disk = on_disk
        self._pace = pace or Pace()
        self._lock = threading.Lock()
        self._count = 0
        self._bytes = 0

    @property
    def count(self) -> int:
        """How many bodies hold a place now."""
        return self._count

    @contextmanager
    def place(self, headers: Headers) -> Iterator[None]:
        """A place for a body, kept for as long as the block lasts; nothing of it is read.

        Raises
        ------
        TooLargeError, BusyError, StorageError
        """
        expected = self._expected_bytes(headers)
        self._check_disk(expected)
        with self._lock:
            is_full = self._count >= self._most or self._bytes + expected > self._all_bytes
            if is_full and self._count:
                raise BusyError(
                    "The server takes in as many files as it can hold",
                    f"Send it again in about {_RETRY_S} seconds.",
                    retry_after_s=_RETRY_S,
                )
            self._count += 1
            self._bytes += expected
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
                self._bytes -= expected

    def watched(self, receive: Receive) -> Receive:
        """The body as it arrives; raises if it is too slow or too large."""
        got = 0
        is_whole = False
        began_s = asyncio.get_running_loop().time()

        async def next_part() -> Message:
            nonlocal got, is_whole
            if is_whole:  # what comes now is that the client has gone
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self._pace.silence_s)
            except TimeoutError as error:
                raise self._too_slow() from error
            got += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if got > self.largest_bytes:
                raise self._too_large()
            counted_s = asyncio.get_running_loop().time() - began_s - self._pace.grace_s
            if not is_whole and got < counted_s * self._pace.least_bytes_s:
                raise self._too_slow()
            return message

        return next_part

    def _expected_bytes(self, headers: Headers) -> int:
        declared = headers.get("content-length", "")
        if not declared.isdecimal():  # in chunks: as large as it may become
            return self.largest_bytes
        if int(declared) > self.largest_bytes:
            raise self._too_large()
        return int(declared)

    def _check_disk(self, expected: int) -> None:
        for folder in self._on_disk:
            if shutil.disk_usage(folder).free < expected + limits.KEEP_FREE_MIB * MIB:
                raise StorageError(
                    "The server's disk is nearly full: nothing was taken in",
                    "Tell the administrator. Cases that are deleted give room after "
                    f"{limits.TRASH_DAYS} days.",
                    code="disk_full",
                )

    def _too_large(self) -> TooLargeError:
        mib = self.largest_bytes / MIB
        return TooLargeError(
            f"The file is larger than {mib:.0f} MiB" if mib >= 1 else "The request is too large",
            "Crop the scan around the hippocampus, or compress it as .nii.gz.",
        )

    def _too_slow(self) -> SlowBodyError:
        return SlowBodyError(
            "The file stopped coming, or came too slowly",
            "Check the connection and send it again.",
        )


class BoundedRoute(APIRoute):
    """A route that reserves a place in ``state.bodies`` of the application before it reads."""

    kind = "uploads"

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def bounded(request: Request) -> Response:
            bodies: Bodies = request.app.state.bodies[self.kind]
            refuse_repeated(request.query_params.multi_items())
            with bodies.place(request.headers):
                watched = Request(request.scope, bodies.watched(request.receive))
                try:
                    return await handle(watched)
                except HTTPException as error:
                    # FastAPI says of whatever ends a body that it cannot be parsed.
                    if isinstance(error.__cause__, HippoViewError):
                        raise error.__cause__ from error
                    raise

        return bounded


class DrawnRoute(BoundedRoute):
    """The route class for drawn masks and their forms."""

    kind = "drawn"


class SmallRoute(BoundedRoute):
    """The route class for small JSON bodies."""

    kind = "small"


def kinds_of_bodies(upload_bytes: int, queue_size: int, folder: Path) -> dict[str, Bodies]:
    """The bodies that the API takes, by the kind of the route.

    Parameters
    ----------
    upload_bytes
        Of one scan.
    folder
        Where scans are unpacked.
    """
    on_disk = (folder, Path(tempfile.gettempdir()))
    drawn_bytes = web_limits.MAX_DRAWN_MIB * MIB + web_limits.FORM_OVERHEAD_BYTES
    small_bytes = web_limits.FORM_OVERHEAD_BYTES
    at_once = web_limits.BODIES_AT_ONCE
    return {
        # Each holds its place until it is answered: those that wait, and those at work.
        "uploads": Bodies(
            queue_size + web_limits.BODIES_BESIDE_QUEUE,
            upload_bytes + web_limits.FORM_OVERHEAD_BYTES,
            web_limits.ALL_BODIES_MIB * MIB,
            on_disk,
        ),
        "drawn": Bodies(at_once, drawn_bytes, at_once * drawn_bytes // 4),
        "small": Bodies(at_once, small_bytes, at_once * small_bytes),
    }


def refuse_repeated(pairs: list[tuple[str, Any]], known: tuple[str, ...] | None = None) -> None:
    """Refuse fields that are given twice or are unknown: they would be ignored silently.

    Raises
    ------
    InputError
    """
    names = [name for name, _ in pairs]
    for name in names:
        shown = repr(name[: limits.MAX_NAME_CHARS])
        if names.count(name) > 1:
            raise InputError(
                f"{shown} is given {names.count(name)} times",
                "Send one; several scans are several requests.",
                code="bad_request",
            )
        if known is not None and name not in known:
            raise InputError(
                f"{shown} is not known here, only {', '.join(known)}",
                "See /api/docs for what this address takes.",
                code="bad_request",
            )
