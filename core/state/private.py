"""Columns of the database that are encrypted where there are keys.

An encrypted value is stored as bytes, one that is not as text: so no name can be mistaken for an
encrypted one, and rows of before stay readable. SQL cannot compare encrypted values: write
``clear(CASES.c.name) == name``, which decrypts row by row. An empty text stays empty.
"""

import functools
import weakref
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Dialect, Engine, LargeBinary, String, func
from sqlalchemy.sql import operators
from sqlalchemy.types import TypeDecorator, TypeEngine

from core.errors import StorageError
from core.state.encryption import NO_KEYS, Keyring, is_encrypted

_KEYRINGS: weakref.WeakKeyDictionary[Dialect, Keyring] = weakref.WeakKeyDictionary()
# By keyring, names that lists decrypt again and again.
_KEPT = 32_768
_FUNCTION = "hippoview_clear"


def use_keys(engine: Engine, keys: Keyring) -> None:
    """Have an engine write and read its private columns with these keys."""
    _KEYRINGS[engine.dialect] = keys


def keys_of(engine: Engine) -> Keyring:
    """The keys of an engine."""
    return _KEYRINGS.get(engine.dialect, NO_KEYS)


def register(connection: Any, keys: Keyring) -> None:
    """Teach a SQLite connection what `clear` asks of it."""
    text_of = _text_of(keys)

    def clear_text(value: str | bytes | None, name: str) -> str | None:
        try:
            return text_of(value, name) if isinstance(value, bytes) else value
        except StorageError:  # it is like nothing that is looked for; who reads it is told
            return None

    connection.create_function(_FUNCTION, 2, clear_text, deterministic=True)


def clear(column: ColumnElement[str]) -> ColumnElement[str]:
    """A private text column in SQL, decrypted, to be compared."""
    kind = column.type
    if not isinstance(kind, PrivateText):
        raise TypeError(f"{column} is no private column")
    decrypted: ColumnElement[str] = getattr(func, _FUNCTION)(column, kind.about, type_=String())
    return decrypted


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

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        """What is stored."""
        keys = _KEYRINGS.get(dialect, NO_KEYS)
        return keys.encrypt(value.encode(), self.about) if keys and value else value

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """What was meant."""
        if not isinstance(value, bytes):
            return None if value is None else str(value)
        return _text_of(_KEYRINGS.get(dialect, NO_KEYS))(value, self.about)


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


@functools.lru_cache(16)
def _text_of(keys: Keyring) -> Callable[[bytes, str], str]:
    @functools.lru_cache(_KEPT)
    def text_of(value: bytes, name: str) -> str:
        return keys.decrypt(value, name).decode()

    return text_of
