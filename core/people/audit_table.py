"""The trail as CSV: what leaves for an auditor's spreadsheet."""

from collections.abc import Iterable
from dataclasses import astuple
from typing import Any

from core.csv_table import csv_table
from core.people.audit import COLUMNS, Line, lines, record_alone
from core.people.permission import Guard


def lines_for(guard: Guard, **filters: Any) -> list[Line]:
    """Lines for whoever acts; see `core.people.audit.lines`.

    Raises
    ------
    AccessError, ForbiddenError
        It is no administrator.
    """
    guard.require("watch")
    return lines(guard.engine, **filters)


def export(guard: Guard, **filters: Any) -> bytes:
    """`table_of` the lines for whoever acts; that they were taken out is a line as well.

    Raises
    ------
    AccessError, ForbiddenError, StorageError
    """
    rows = lines_for(guard, **filters)
    record_alone(guard.engine, "export", "trail", note=f"csv, {len(rows)} lines")
    return table_of(rows)


def table_of(lines: Iterable[Line]) -> bytes:
    """The lines as CSV with a header, UTF-8; no cell is taken for a formula."""
    return csv_table(COLUMNS, map(astuple, lines))
