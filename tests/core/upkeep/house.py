"""An installation without a model, at work while it is backed up, and every state that it had."""

import hashlib
import random
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from core.cases.corrections import Corrections
from core.cases.store import Cases
from core.errors import HippoViewError
from core.people import audit
from core.people.audit_archive import Archive
from core.settings import Settings
from core.state.database import connect, is_shared, reading
from core.state.encryption import Keyring
from core.state.storage import open_storage
from core.state.tables import CASES, FEATURES, MASK_VERSIONS
from tests.faulty import FaultyStorage
from tests.tiny import analysis, packed

# Every row that these tables ever had, by triggers: what a row is at a moment can be looked up.
TABLES = (CASES, MASK_VERSIONS, FEATURES)
ACTS = ("add", "correct", "review", "rename", "delete", "restore", "remove", "copy trail")


class House:
    """An installation in a folder, and the files that its storage ever had."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.settings = replace(Settings(), data_dir=folder, **settings)
        self.keys = Keyring.of(self.settings)
        self.engine = connect(folder, self.keys, url=self.settings.database_url)
        audit.set_up(self.engine, self.settings)
        # By key: when it came to be, and the SHA-256 of what is stored; "" where it was deleted.
        self.files: dict[str, list[tuple[float, str]]] = {}
        self.storage = FaultyStorage(open_storage(self.settings), self._saw)
        self.archive = Archive(self.engine, self.storage)
        self.archive.open()
        self.cases = Cases(self.engine, self.storage)
        self.corrections = Corrections(self.engine, self.storage, self.cases)
        self.numbers = iter(range(1, 100_000))

    def _saw(self, call: str, key: str, when: str) -> None:
        if when == "before" or call not in ("write", "replace", "delete", "delete_folder"):
            return
        gone = [k for k in self.files if k == key or k.startswith(f"{key}/")]
        for each in gone if call.startswith("delete") else [key]:
            told = "" if call.startswith("delete") else sha256(self._stored(each))
            self.files.setdefault(each, []).append((time.monotonic(), told))

    def _stored(self, key: str) -> bytes:
        return (self.settings.data_dir / "storage" / key).read_bytes()

    def add(self) -> str:
        number = next(self.numbers)
        return self.cases.add(analysis(number), f"n{number}", "P-1").id

    def act(self, kind: str, ids: list[str], rng: random.Random) -> None:
        """One act on one of these cases."""
        case_id, number = rng.choice(ids), next(self.numbers)
        if kind == "add":
            ids.append(self.add())
        elif kind == "correct":
            base = self.cases.get(case_id).mask_version
            self.corrections.save(case_id, packed(number), base=base, author="A", comment="c")
        elif kind == "review":
            self.cases.review(case_id, rng.choice(["accepted", "rejected"]), "A", "")
        elif kind == "rename":
            self.cases.rename(case_id, f"n{number}")
        elif kind == "delete":
            self.cases.delete(case_id)
        elif kind == "restore":
            self.cases.restore(case_id)
        elif kind == "remove":
            self.cases.acts.remove(case_id, "2026-01-01T00:00:00.000+00:00", lambda record: True)
        else:
            self.archive.copy()

    def busy(self, count: int, ids: list[str]) -> "Busy":
        """So many threads at work on cases of their own until told to stop."""
        return Busy(self, count, ids)

    def close(self) -> None:
        self.engine.dispose()


class Busy:
    """Threads at work; what of it is refused does not matter, what fails does."""

    def __init__(self, house: House, count: int, ids: list[str]) -> None:
        self._house, self._stop, self.acts = house, threading.Event(), 0
        self.failures: list[BaseException] = []
        parts = [ids[number::count] for number in range(count)]
        self._threads = [
            threading.Thread(target=self._work, args=(part, n)) for n, part in enumerate(parts)
        ]

    def _work(self, ids: list[str], seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311
        try:
            while not self._stop.is_set():
                try:
                    self._house.act(rng.choice(ACTS), ids, rng)
                    self.acts += 1
                except HippoViewError:  # such as a case that is deleted
                    continue
        except BaseException as error:
            self.failures.append(error)

    def __enter__(self) -> "Busy":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


_NOTE_ROW = """CREATE FUNCTION note_row() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE content jsonb := to_jsonb(CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END);
    BEGIN
        INSERT INTO seen (name, key, content) SELECT
            TG_TABLE_NAME, string_agg(content->>part, '/' ORDER BY place),
            CASE TG_OP WHEN 'DELETE' THEN '' ELSE content::text END
        FROM unnest(TG_ARGV) WITH ORDINALITY AS parts (part, place);
        RETURN NULL;
    END $$"""


def follow_rows(engine: Engine) -> None:
    """From now on keep every state of every row, in the order in which they came."""
    with engine.begin() as connection:
        if is_shared(engine):
            connection.execute(text(
                "CREATE TABLE seen (n BIGSERIAL PRIMARY KEY, name TEXT, key TEXT, content TEXT)"
            ))  # fmt: skip
            connection.exec_driver_sql(_NOTE_ROW)
            for table in TABLES:
                keys = ", ".join(f"'{c.name}'" for c in table.primary_key)
                connection.exec_driver_sql(
                    f"CREATE TRIGGER {table.name}_seen AFTER INSERT OR UPDATE OR DELETE ON "
                    f"{table.name} FOR EACH ROW EXECUTE FUNCTION note_row({keys})"
                )
            return
        connection.execute(text("CREATE TABLE seen (n INTEGER PRIMARY KEY, name, key, content)"))
        for table in TABLES:
            for event, row in (("INSERT", "new"), ("UPDATE", "new"), ("DELETE", "old")):
                key = "||'/'||".join(f"{row}.{c.name}" for c in table.primary_key)
                columns = ",".join(f"quote(new.{c.name})" for c in table.columns)
                kept = "''" if event == "DELETE" else f"json_array({columns})"
                values = f"VALUES ('{table.name}', {key}, {kept})"
                noted = f"INSERT INTO seen (name, key, content) {values}"
                connection.exec_driver_sql(
                    f"CREATE TRIGGER {table.name}_{event} AFTER {event} ON {table.name} "
                    f"BEGIN {noted}; END"
                )


def rows_of(engine: Engine) -> dict[tuple[str, str], str]:
    """All rows, as `follow_rows` writes them."""
    found: dict[tuple[str, str], str] = {}
    with reading(engine) as connection:
        for table in TABLES:
            key = "||'/'||".join(c.name for c in table.primary_key)
            columns = ",".join(f"quote({c.name})" for c in table.columns)
            row = f"to_jsonb({table.name})::text" if is_shared(engine) else f"json_array({columns})"
            query = f"SELECT {key}, {row} FROM {table.name}"  # noqa: S608
            for row in connection.exec_driver_sql(query):
                found[table.name, row[0]] = row[1]
    return found


def rows_at(engine: Engine, moment: int) -> dict[tuple[str, str], str]:
    """The rows as they were after so many changes."""
    query = f"SELECT name, key, content FROM seen WHERE n <= {moment} ORDER BY n"  # noqa: S608
    with reading(engine) as connection:
        last: dict[Any, str] = {(r[0], r[1]): r[2] for r in connection.exec_driver_sql(query)}
    return {key: row for key, row in last.items() if row}


def changes(engine: Engine) -> int:
    """How many changes rows have seen."""
    with reading(engine) as connection:
        return int(connection.exec_driver_sql("SELECT coalesce(max(n), 0) FROM seen").scalar() or 0)
