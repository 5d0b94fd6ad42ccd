"""Columns of the database that are encrypted where there are keys.

An encrypted value can be told from a text, whatever is typed for a name: in SQLite it is stored as
bytes and the text as text; in PostgreSQL both are bytes, and an encrypted one begins with a byte
that no text has. So rows of before stay readable. SQL cannot compare encrypted values: write
``clear(CASES.c.name) == name``, which decrypts row by row. An empty text stays empty.
"""

import functools
import hashlib
import json
import weakref
from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Engine,
    LargeBinary,
    String,
    cast,
    func,
    literal,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import BYTEA, JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine

from core.errors import StorageError
from core.state.encryption import NO_KEYS, Keyring, is_encrypted

_KEYRINGS: weakref.WeakKeyDictionary[Dialect, Keyring] = weakref.WeakKeyDictionary()
# By keyring, names that lists decrypt again and again.
_KEPT = 32_768
_FUNCTION = "hippoview_clear"
POSTGRESQL = "postgresql"
# Before an encrypted value in PostgreSQL: no text in UTF-8 has this byte.
_MARK = b"\xff"


def use_keys(engine: Engine, keys: Keyring) -> None:
    """Have an engine write and read its private columns with these keys."""
    _KEYRINGS[engine.dialect] = keys


def keys_of(engine: Engine) -> Keyring:
    """The keys of an engine."""
    return _KEYRINGS.get(engine.dialect, NO_KEYS)


def register(connection: Any, keys: Keyring) -> None:
    """Teach a SQLite connection what `clear` asks of it."""
    clear_text = functools.partial(_readable, _text_of(keys))
    connection.create_function(_FUNCTION, 2, clear_text, deterministic=True)


def _readable(
    text_of: Callable[[bytes, str], str], value: str | bytes | None, name: str
) -> str | None:
    try:
        return text_of(value, name) if isinstance(value, bytes) else value
    except StorageError:  # it is like nothing that is looked for; who reads it is told
        return None


def clear(column: ColumnElement[str]) -> ColumnElement[str]:
    """A private text column in SQL, decrypted, to be compared."""
    if not isinstance(column.type, PrivateText):
        raise TypeError(f"{column} is no private column")
    return _Clear(column)


class _Clear(FunctionElement[str]):
    """See `clear`."""

    type = String()
    inherit_cache = True


@compiles(_Clear)
def _in_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    (column,) = element.clauses
    return f"{_FUNCTION}({compiler.process(column, **options)}, '{column.type.about}')"


@compiles(_Clear, POSTGRESQL)
def _in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    """Text as it is; an encrypted value is like nothing (see `decrypting`)."""
    (column,) = element.clauses
    stored = compiler.process(column, **options)
    text = f"convert_from({stored}, 'UTF8') COLLATE \"C\""
    return f"(CASE WHEN substr({stored}, 1, 1) = '\\xff'::bytea THEN NULL ELSE {text} END)"


def decrypting(connection: Connection, statement: Any) -> Any:
    """A query of PostgreSQL in which `clear` gives what encrypted values mean.

    The database has no keys: it is told the meaning of each value that a column holds, by its hash.
    """
    told: dict[str, ColumnElement[str]] = {}
    text_of = _text_of(_KEYRINGS.get(connection.dialect, NO_KEYS))

    def replaced(element: Any, **options: Any) -> Any:
        if not isinstance(element, _Clear):
            return None
        (column,) = element.clauses
        kind: Any = column.type
        about: str = kind.about
        if about not in told:
            raw = as_stored(column)
            query = select(raw).where(func.substr(raw, 1, 1) == literal(_MARK, LargeBinary()))
            texts = {
                hashlib.sha256(value).hexdigest(): _readable(text_of, value[1:], about)
                for value in connection.scalars(query.distinct())
            }
            digest = func.encode(func.sha256(raw), "hex")
            meanings = cast(literal(json.dumps(texts), String()), JSONB())
            meant = meanings.op("->>", return_type=String())(digest)
            told[about] = func.coalesce(meant, element, type_=String())
        return told[about]

    if not getattr(statement, "is_select", False):
        return statement
    return visitors.replacement_traverse(statement, {}, replaced)


def as_stored(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A private column in SQL, as `content_of` reads it."""
    return type_coerce(column, NullType())


def content_of(stored: str | bytes, kind: TypeEngine[Any], dialect: Dialect) -> tuple[bytes, bool]:
    """What is stored in a private column of a kind, and whether it is encrypted."""
    if isinstance(stored, str):
        return stored.encode(), False
    if isinstance(kind, PrivateBytes):
        return stored, is_encrypted(stored)
    if dialect.name != POSTGRESQL:
        return stored, True
    is_marked = stored.startswith(_MARK)
    return (stored[len(_MARK) :] if is_marked else stored), is_marked


def stored_of(
    content: bytes, kind: TypeEngine[Any], dialect: Dialect, *, encrypted: bool
) -> str | bytes:
    """What is to be stored in a private column; see `content_of`."""
    if isinstance(kind, PrivateBytes):
        return content
    if dialect.name != POSTGRESQL:
        return content if encrypted else content.decode()
    return _MARK + content if encrypted else content


class _NotCompared(TypeEngine.Comparator[Any]):
    """Refuses to compare what may be encrypted."""

    def operate(self, op: Any, *other: Any, **options: Any) -> Any:
        if op in (operators.is_, operators.is_not):
            return super().operate(op, *other, **options)
        raise TypeError(f"{self.expr} may be encrypted: compare core.state.private.clear of it")


class PrivateText(TypeDecorator[str]):
    """A text that is encrypted where there are keys.

    Parameters
    ----------
    about
        Table and column; a value can be decrypted under this name alone.
    kind
        ``String`` or ``Text``.
    """

    impl = String
    cache_ok = True
    comparator_factory = _NotCompared

    def __init__(self, about: str, kind: type[String] = String) -> None:
        super().__init__()
        self.about = about  # named as the parameter: SQLAlchemy tells statements apart by it
        self.impl = kind()  # type: ignore[assignment]  # an instance, as SQLAlchemy makes it

    @property
    def python_type(self) -> type[str]:
        """Of the values."""
        return str

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Of the column."""
        return BYTEA() if dialect.name == POSTGRESQL else super().load_dialect_impl(dialect)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        """What is stored."""
        if value is None:
            return None
        if dialect.name == POSTGRESQL:
            value = storable(value)
        keys = _KEYRINGS.get(dialect, NO_KEYS)
        is_hidden = bool(keys and value)
        content = keys.encrypt(value.encode(), self.about) if is_hidden else value.encode()
        return stored_of(content, self, dialect, encrypted=is_hidden)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """What was meant."""
        if value is None:
            return None
        content, is_hidden = content_of(value, self, dialect)
        if not is_hidden:
            return content.decode()
        return _text_of(_KEYRINGS.get(dialect, NO_KEYS))(content, self.about)


class PrivateBytes(TypeDecorator[bytes]):
    """Bytes that are encrypted where there are keys; see `PrivateText`."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, about: str) -> None:
        super().__init__()
        self.about = about

    @property
    def python_type(self) -> type[bytes]:
        """Of the values."""
        return bytes

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> bytes | None:
        """What is stored."""
        keys = _KEYRINGS.get(dialect, NO_KEYS)
        return keys.encrypt(value, self.about) if keys and value is not None else value

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> bytes | None:
        """What was meant."""
        if value is None or not is_encrypted(value):
            return value
        return _KEYRINGS.get(dialect, NO_KEYS).decrypt(value, self.about)


def storable(text: str) -> str:
    """A text as PostgreSQL can hold it: with a sign of replacement for each character NUL."""
    return text.replace("\0", "\ufffd")


@functools.lru_cache(16)
def _text_of(keys: Keyring) -> Callable[[bytes, str], str]:
    @functools.lru_cache(_KEPT)
    def text_of(value: bytes, name: str) -> str:
        return keys.decrypt(value, name).decode()

    return text_of
