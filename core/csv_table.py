"""A table as CSV in which no spreadsheet sees a formula. Imports nothing of the project."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

# Narrow and wide.
_FORMULA_SIGNS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def csv_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A header and its rows, UTF-8.

    >>> csv_table(("name", "change"), [("=1+1", -3.5), ("Ann", "-3.5")])
    b"name,change\\r\\n'=1+1,-3.5\\r\\nAnn,-3.5\\r\\n"
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return out.getvalue().encode()


def _harmless(cell: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets an apostrophe in front.

    Some leave out what stands before it, and take the wide signs for the narrow ones (OWASP, *CSV
    Injection*).
    """
    if isinstance(cell, str) and (
        cell[:1] in ("\t", "\r", "\n") or cell.lstrip()[:1] in _FORMULA_SIGNS
    ):
        try:
            float(cell)
        except ValueError:
            return "'" + cell
    return cell
