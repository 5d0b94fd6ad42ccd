"""Asks the database for the event loop: one that hangs holds up nobody who does not need it."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Engine

from core.errors import StorageError
from core.state.database import is_shared

_Found = TypeVar("_Found")
# Seconds that somebody waits for an answer, and threads that may; a look takes milliseconds.
_LOOK_PATIENCE_S, _LOOKS_AT_ONCE = 10.0, 16
# Writers wait for those before them: in threads of their own, and nobody waits long for them.
_NOTE_PATIENCE_S, _NOTES_AT_ONCE = 2.0, 4


class Lookups:
    """Looks things up, in a thread where the database is another machine's.

    A SQLite is asked at once: it is a file, and a thread would take longer than the look.

    Parameters
    ----------
    engine
    """

    def __init__(self, engine: Engine) -> None:
        self._is_remote = is_shared(engine)
        # Not anyio's: those that were given up would be followed by ever more threads.
        self._lookers = ThreadPoolExecutor(_LOOKS_AT_ONCE, "lookup")
        self._writers = ThreadPoolExecutor(_NOTES_AT_ONCE, "note")

    async def find(self, look: Callable[[], _Found]) -> _Found:
        """What a look finds.

        Raises
        ------
        StorageError
            The database fails, or has not answered in ten seconds.
        """
        if not self._is_remote:
            return look()
        return await _within(_LOOK_PATIENCE_S, self._lookers, look)

    async def note(self, act: Callable[[], None]) -> None:
        """Write something down, for which nobody is to wait long.

        Raises
        ------
        StorageError
            The database fails, or it is not yet written after two seconds.
        """
        await _within(_NOTE_PATIENCE_S, self._writers, act)


async def _within(
    patience_s: float, threads: ThreadPoolExecutor, act: Callable[[], _Found]
) -> _Found:
    # What has not begun when the time is over never begins.
    waiting = threads.submit(contextvars.copy_context().run, act)
    try:
        return await asyncio.wait_for(asyncio.wrap_future(waiting), patience_s)
    except TimeoutError as error:
        raise StorageError(
            "The database does not answer",
            "Try again in a minute; if it lasts, tell the administrator.",
            code="database_unavailable",
        ) from error
