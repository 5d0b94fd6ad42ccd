"""Brings what is stored to what the keys say: all encrypted with the first, or nothing encrypted.

File by file and row by row, each replaced only if it is still what was read, so a server may work
meanwhile and a process that is killed leaves every file readable: the next call goes on. Which keys
it takes to read everything is noted anew when all is done.
"""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Engine, Table, func, select, tuple_, type_coerce
from sqlalchemy.types import NullType

from core.errors import ChangedError, NotFoundError, StorageError
from core.state.database import reading, rewrite
from core.state.encrypted_storage import ENCRYPTED, EncryptedStorage
from core.state.encryption import (
    DAMAGED_CODE,
    HEAD_BYTES,
    KEY_CODE,
    NO_KEYS,
    Keyring,
    is_encrypted,
    key_id,
)
from core.state.failures import in_words
from core.state.keys import keep_key
from core.state.parts import Seen
from core.state.private import as_stored, content_of, keys_of, stored_of
from core.state.tables import CASES, DRAFTS, ENCRYPTION_KEYS, MASK_VERSIONS

# The private columns of the database.
COLUMNS = tuple(
    (table, column)
    for table in (CASES, MASK_VERSIONS, DRAFTS)
    for column in table.columns
    if hasattr(column.type, "about")
)
_ROWS_AT_ONCE = 200
# How often everything is gone through, where others write meanwhile.
_ROUNDS = 3


@dataclass
class KeyCounts:
    """How much is encrypted with which key.

    Attributes
    ----------
    by_key : Counter
        Files and values by the key's id; "" for what is not encrypted.
    unreadable : list of str
        What cannot be read, by the codes of the errors.
    is_rewritten : bool
        Whether the database's file holds nothing any more of what was there before.
    """

    by_key: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)
    is_rewritten: bool = True

    def left(self, keys: Keyring) -> int:
        """How many are not as the keys say: another key's, or not encrypted."""
        wanted = keys.ids[0] if keys else ""
        return sum(self.by_key.values()) - self.by_key[wanted]


def look(storage: EncryptedStorage, engine: Engine, key_files: Collection[Path]) -> KeyCounts:
    """What is encrypted, and with which key; nothing is changed.

    Raises
    ------
    StorageError
    """
    counts = KeyCounts()
    for _, head in _heads(storage):
        counts.by_key[key_id(head)] += 1
    for head in _values(engine):
        counts.by_key[key_id(head)] += 1
    for path in key_files:
        counts.by_key[key_id(path.read_bytes())] += 1
    return counts


def renew(
    storage: EncryptedStorage,
    engine: Engine,
    key_files: Collection[Path],
    *,
    decrypt: bool = False,
    on_done: Callable[[int], None] = lambda done: None,
    is_alone: Callable[[], bool] = lambda: True,
) -> KeyCounts:
    """Encrypt everything with the first key, or decrypt everything.

    Parameters
    ----------
    storage, engine
        Opened with all the keys that it takes.
    key_files
        Files of `core.state.keys`.
    decrypt
        Leave nothing encrypted.
    on_done
        Called now and then with how many were changed so far.
    is_alone
        Asked before the keys that it took are struck off: a server that was started meanwhile may
        go on encrypting with them.

    Returns
    -------
    KeyCounts
        How it is afterwards.

    Raises
    ------
    StorageError
        The storage or the disk fails: call again, it goes on.
    """
    to = NO_KEYS if decrypt else storage.keyring
    done, unreadable = 0, list[str]()
    for path in key_files:
        done += _renew_key_file(path, storage.keyring, to)
    for _ in range(_ROUNDS):
        changed, others, unreadable = 0, 0, list[str]()
        for key, head in list(_heads(storage)):
            if _is_right(head, to):
                continue
            try:
                is_done = _renew_file(storage, key, to)
            except StorageError as error:
                if error.code not in _UNREADABLE:
                    raise
                unreadable.append(error.code)
                continue
            changed, others = changed + is_done, others + (not is_done)
            on_done(done + changed)
        for table, column in COLUMNS:
            changed += _renew_column(engine, table, column, to, unreadable)
            on_done(done + changed)
        done += changed
        if not changed and not others:
            break
    counts = look(storage, engine, key_files)
    counts.unreadable = unreadable
    counts.is_rewritten = any(_rewritten(engine) for _ in range(_REWRITES))
    if not counts.left(to) and not unreadable and is_alone():
        EncryptedStorage(storage.inner, to, Path()).settle()
        with engine.begin() as connection:
            gone = ENCRYPTION_KEYS.c.id.not_in(to.ids[:1])
            connection.execute(ENCRYPTION_KEYS.delete().where(gone))
    return counts


_UNREADABLE = (KEY_CODE, DAMAGED_CODE)
# How often it is tried to write the database anew beside a server at work, and the pause, s.
_REWRITES, _PAUSE_S = 10, 1.0


def _rewritten(engine: Engine) -> bool:
    """Write the database anew: pages that were freed earlier hold names too."""
    if rewrite(engine):
        return True
    threading.Event().wait(_PAUSE_S)
    return False


def _is_right(head: bytes, to: Keyring) -> bool:
    return to.is_newest(head) if to else not is_encrypted(head)


def _heads(storage: EncryptedStorage) -> Iterator[tuple[str, bytes]]:
    """Every file that may be encrypted, with its first bytes."""
    inner = storage.inner
    with ThreadPoolExecutor(8, "storage") as pool:
        for folder in ENCRYPTED:
            keys = inner.keys(folder)
            heads = pool.map(lambda key: inner.head(key, HEAD_BYTES), keys)
            yield from zip(keys, heads, strict=True)


def _renew_file(storage: EncryptedStorage, key: str, to: Keyring) -> bool:
    """Write a file anew; False if somebody else has changed it meanwhile."""
    seen = Seen(storage.inner.read_parts(key))
    try:
        content = storage.clear_parts(key, seen)
        storage.inner.replace(key, to.encrypted(content, key) if to else content, seen)
    except (ChangedError, NotFoundError):
        return False
    return True


def _values(engine: Engine) -> Iterator[bytes]:
    """The first bytes of every private value of the database; empty where it is not encrypted."""
    with reading(engine) as connection:
        for _, column in COLUMNS:
            raw = as_stored(column)
            # One byte more: PostgreSQL's mark.
            start: Any = func.substr(raw, 1, HEAD_BYTES + 1, type_=NullType())
            for value in connection.scalars(select(start).where(func.length(raw) > 0)):
                content, is_hidden = content_of(value, column.type, engine.dialect)
                yield content if is_hidden else b""


def _renew_column(
    engine: Engine, table: Table, column: "Column[Any]", to: Keyring, unreadable: list[str]
) -> int:
    """Write the values of a column anew, some rows at a time; the number of those changed."""
    keys, about, changed = keys_of(engine), f"{table.name}.{column.name}", 0
    own, dialect, kind = list(table.primary_key), engine.dialect, column.type
    raw = as_stored(column)
    query = select(*own, raw.label("value")).where(func.length(raw) > 0)
    query = query.order_by(*own).limit(_ROWS_AT_ONCE)
    after: tuple[Any, ...] = ()
    while True:
        # Read and written as one writer: nobody else's change is lost.
        with engine.begin() as connection:
            rows = connection.execute(query.where(tuple_(*own) > after) if after else query).all()
            if not rows:
                return changed
            after = tuple(rows[-1])[:-1]
            for row in rows:
                stored, is_hidden = content_of(row.value, kind, dialect)
                if _is_right(stored if is_hidden else b"", to):
                    continue
                try:
                    value = keys.decrypt(stored, about) if is_hidden else stored
                except StorageError as error:
                    unreadable.append(error.code)
                    continue
                kept = stored_of(
                    to.encrypt(value, about) if to else value, kind, dialect, encrypted=bool(to)
                )
                this = [key == part for key, part in zip(own, row, strict=False)]
                renewed = {column: type_coerce(kept, NullType())}
                connection.execute(table.update().where(*this).values(renewed))
                changed += 1


def _renew_key_file(path: Path, keys: Keyring, to: Keyring) -> int:
    with in_words():
        stored = path.read_bytes()
    if _is_right(stored, to):
        return 0
    keep_key(path, keys.clear(stored, path.name), to)
    return 1
