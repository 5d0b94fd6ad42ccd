"""Which version runs as the shadow: one at a time, chosen for the whole installation."""

from dataclasses import asdict, dataclass

from sqlalchemy import Engine

from core.errors import ConflictError
from core.people.audit import record, recording
from core.state.choices import choose, chosen
from core.state.database import reading, timestamp

_NAME = "shadow"


@dataclass(frozen=True)
class Choice:
    """The choice of an administrator.

    Attributes
    ----------
    number : int or None
        Of the version; None where no shadow runs.
    since : str
        ISO 8601, UTC.
    ended : str
        Why the last one ended by itself, in words; empty where a person switched it off.
    """

    number: int | None = None
    since: str = ""
    ended: str = ""


def current(engine: Engine) -> Choice:
    """What is chosen now."""
    with reading(engine) as connection:
        return Choice(**chosen(connection, _NAME))


def switch_on(engine: Engine, number: int) -> None:
    """Choose a version.

    Raises
    ------
    ConflictError
        Another one is chosen.
    """
    with recording(engine, needed=False) as connection:
        before = Choice(**chosen(connection, _NAME))
        if before.number == number:
            return
        if before.number is not None:
            raise ConflictError(
                f"Version {before.number} runs as the shadow, and only one can",
                "Switch it off first.",
            )
        choose(connection, _NAME, asdict(Choice(number, timestamp())))
        record(connection, "settings", "shadow", note=f"version {number} is switched on")


def switch_off(engine: Engine, number: int, why: str = "") -> bool:
    """Choose none, if ``number`` is chosen; returns whether it was.

    Parameters
    ----------
    why
        In words, where no person did it.
    """
    with recording(engine, needed=False) as connection:
        if Choice(**chosen(connection, _NAME)).number != number:
            return False
        choose(connection, _NAME, asdict(Choice(ended=why)))
        record(connection, "settings", "shadow", note=f"version {number} is switched off")
    return True
