"""Checks types and shapes of JSON read from files, which other programs may have written."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Column

# Integers in these files are counts.
_MOST = 2**31 - 1
_LARGEST = 1e300


def check_columns(values: Mapping[str, Any], columns: Iterable[Column[Any]]) -> None:
    """Refuse values that their columns cannot hold. Missing ones are not reported.

    Raises
    ------
    ValueError
    """
    for column in columns:
        if column.name in values:
            kind = column.type.python_type
            check_shape(values[column.name], (kind,) if column.nullable else kind)


def check_times(*values: str | None) -> None:
    """Refuse values that are not ISO 8601 times with a zone; None is accepted.

    Raises
    ------
    ValueError
    """
    for value in values:
        if value is not None and datetime.fromisoformat(value).tzinfo is None:
            raise ValueError("a time of no zone")


def object_of(text: str | bytes) -> dict[str, Any]:
    """Parse JSON that must be an object.

    Raises
    ------
    ValueError
    """
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise ValueError("brackets in brackets") from error
    check_shape(content, dict)
    return dict(content)


def check_shape(value: Any, shape: Any) -> None:
    """Refuse a value that does not have a shape.

    Parameters
    ----------
    value
    shape
        A type: ``float`` accepts integers too, ``int`` only counts, neither a ``bool``. A
        frozenset: one of its words. A tuple of one shape: that shape or None. A list of one shape:
        any number of them; of several shapes: exactly these. A dict: names with their shapes;
        ``NAME?`` may be missing, ``*`` stands for every value.

    Raises
    ------
    ValueError

    >>> check_shape({"sides": {"left": [1, 2.5]}}, {"sides": {"*": [float]}, "mask?": str})
    >>> check_shape({"sides": {"left": [True]}}, {"sides": {"*": [float]}})
    Traceback (most recent call last):
    ValueError: bool in the place of float
    """
    if isinstance(shape, tuple):
        if value is not None:
            check_shape(value, *shape)
    elif isinstance(shape, frozenset):
        if not (isinstance(value, str) and value in shape):
            raise ValueError("a word that is not known")
    elif isinstance(shape, list):
        check_shape(value, list)
        shapes = shape * len(value) if len(shape) == 1 else shape
        if len(value) != len(shapes):
            raise ValueError("too many or too few")
        for item, inner in zip(value, shapes, strict=True):
            check_shape(item, inner)
    elif isinstance(shape, dict):
        check_shape(value, dict)
        for name, inner in shape.items():
            _check_named(value, name, inner)
    elif not _is_of(value, shape):
        raise ValueError(f"{type(value).__name__} in the place of {shape.__name__}")


def _check_named(value: Mapping[str, Any], name: str, shape: Any) -> None:
    if name == "*":
        for inner in value.values():
            check_shape(inner, shape)
        return
    needed, name = not name.endswith("?"), name.removesuffix("?")
    if name in value:
        check_shape(value[name], shape)
    elif needed:
        raise ValueError(f"{name} is missing")


def _is_of(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, int | float) and abs(value) < _LARGEST  # no NaN is
    if kind is int:
        return isinstance(value, int) and 0 <= value <= _MOST
    if kind is str and isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)  # halves of letters
    return isinstance(value, kind)
