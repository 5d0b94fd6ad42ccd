"""Connections to a PostgreSQL that give up on one that hangs.

A server that was stopped, or a network that swallows what is sent, answers nothing and breaks no
connection. Each question would keep its thread for good.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, event

if TYPE_CHECKING:
    import psycopg


def be_patient_for(engine: Engine, patience_s: float) -> None:
    """Have every statement of a PostgreSQL answered within so many seconds, or the line be cut."""

    def connect(dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
        made: Any = _kind().connect(*arguments, **options)
        made.patience_s = patience_s
        return made

    event.listen(engine, "do_connect", connect)


@contextmanager
def unhurried(connection: "Connection | psycopg.Connection[Any]") -> Iterator[None]:
    """Wait without end for what may rightly take long; for a SQLite this changes nothing."""
    inner: Any = connection
    if isinstance(connection, Connection):
        inner = connection.connection.driver_connection
    before_s = getattr(inner, "patience_s", None)
    if before_s is None:
        yield
        return
    inner.patience_s = None
    try:
        yield
    finally:
        inner.patience_s = before_s


@cache
def _kind() -> "type[psycopg.Connection[Any]]":
    import psycopg  # an installation with SQLite need not import it

    class Patient(psycopg.Connection[Any]):
        patience_s: float | None = None

        def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
            options.setdefault("timeout", self.patience_s)
            try:
                return super().wait(gen, *arguments, **options)
            except psycopg.OperationalError as error:
                # Waited in vain: whatever may still come is no answer to the next question.
                if not error.sqlstate and not self.closed:
                    self.close()
                    raise psycopg.OperationalError("the server does not answer") from error
                raise

    return Patient
