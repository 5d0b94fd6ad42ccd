"""The database: readers wait for nobody, and what the disk says comes in words."""

import threading

import pytest
from sqlalchemy import select

from core.errors import StorageError
from core.state import database
from core.state.database import connect, reading
from core.state.tables import ACCOUNTS

NAMES = select(ACCOUNTS.c.name)
pytestmark = pytest.mark.both


def write(connection, name):
    row = {"id": name, "name": name, "name_key": name, "role": "reader", "created_at": "2026"}
    connection.execute(ACCOUNTS.insert().values(row))


@pytest.fixture
def engine(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "_WRITER_PATIENCE_S", 0.1)
    opened = connect(tmp_path)
    yield opened
    opened.dispose()


def test_readers_see_the_last_commit_while_a_writer_is_at_work(engine):
    with engine.begin() as writer:
        write(writer, "a")
        with reading(engine) as reader:  # would wait for 0.1 s and fail
            assert reader.scalars(NAMES).all() == []
    with reading(engine) as reader:
        assert reader.scalars(NAMES).all() == ["a"]


def test_writers_that_wait_do_not_use_up_the_connections_of_readers(engine):
    refused = []

    def wait_in_vain():
        with pytest.raises(StorageError):
            open_writer(engine)
        refused.append(1)

    with engine.begin():
        waiting = [threading.Thread(target=wait_in_vain) for _ in range(20)]
        for thread in waiting:
            thread.start()
        with reading(engine) as reader:
            assert reader.scalars(NAMES).all() == []
        for thread in waiting:
            thread.join()
    assert len(refused) == 20


def open_writer(engine):
    with engine.begin():
        pass


def write_much(engine):
    with engine.begin() as connection:
        write(connection, "a")
        write(connection, "b" * 100_000)


def test_a_second_writer_that_waited_too_long_is_told_in_words(engine):
    with engine.begin(), pytest.raises(StorageError, match="busy"):
        open_writer(engine)


def test_who_reads_cannot_write(engine):
    with pytest.raises(StorageError, match="may not be written"), reading(engine) as reader:
        write(reader, "a")
    open_writer(engine)


@pytest.mark.sqlite
def test_a_full_disk_is_told_in_words_and_nothing_is_half_written(engine):
    with engine.begin() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StorageError, match="full") as caught:
        write_much(engine)
    assert "Make room" in caught.value.hint
    with reading(engine) as reader:
        assert reader.scalars(NAMES).all() == []
