"""A PostgreSQL that hangs keeps nobody waiting for good."""

import pytest
from sqlalchemy import Engine, func, select

from core.errors import StorageError
from core.people.audit import record_alone
from core.state import postgresql
from core.state.database import connect, reading
from core.state.patience import unhurried
from core.state.tables import CASES
from tests.postgresql import programs

pytestmark = pytest.mark.skipif(programs() is None, reason="apt-get install postgresql")


def test_a_database_that_hangs_is_given_up(databases, tmp_path, monkeypatch):
    monkeypatch.setattr(postgresql, "_READER_PATIENCE_S", 0.3)
    monkeypatch.setattr(postgresql, "_WRITER_PATIENCE_S", 0.4)
    monkeypatch.setattr(postgresql, "_CONNECT_TIMEOUT_S", 2)  # libpq takes no less
    url = databases.cluster.database("hippo_template")
    engine = connect(tmp_path, url=url)
    pause = select(func.pg_sleep(0.6))
    for opened in (reading, Engine.begin):
        with (
            pytest.raises(StorageError, match="cannot be reached"),
            opened(engine) as connection,
            databases.cluster.hanging(),
        ):
            connection.execute(select(CASES.c.id))
    engine.dispose()
    with databases.cluster.hanging(), pytest.raises(StorageError, match="cannot be reached"):
        connect(tmp_path, url=url)  # whoever comes new waits for no answer either
    with reading(engine) as connection, unhurried(connection):
        connection.execute(pause)  # no restart was needed, and this one may take its time
    with pytest.raises(StorageError, match="cannot be reached"), reading(engine) as connection:
        connection.execute(pause)
    record_alone(engine, "settings", note="it goes on")
    engine.dispose()
    databases.cluster.drop(url)
