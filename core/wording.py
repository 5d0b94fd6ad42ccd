"""Counts, volumes and file names in sentences for people."""

import math
import os
from collections.abc import Iterable
from typing import Any

# Of a volume in ml, where a reader looks: 10 mm3, less than any two measurements agree to.
ML_DIGITS = 2
_MOST_ML_DIGITS = 4  # as in CSV
# Narrow and wide.
_FORMULA_SIGNS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun.

    Parameters
    ----------
    many
        The plural; by default ``one`` with an s.

    >>> counted(1, "whole head"), counted(0, "case"), counted(1200, "person", "people")
    ('1 whole head', '0 cases', '1,200 people')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def shown(name: str | os.PathLike[str]) -> str:
    r"""A file's name as text that can be printed and encoded, whatever bytes it has.

    >>> shown("scan\udcff.nii")  # as Python reads the byte 0xff on Linux
    'scan\\xff.nii'
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def ml_text(volume_mm3: float, *, sign: bool = False) -> str:
    """A volume in ml, as pages and sentences show it; ``sign`` also where it is positive.

    >>> ml_text(2344.0), ml_text(-4.0, sign=True)
    ('2.34', '+0.00')
    """
    return f"{volume_mm3 / 1000:{'+' * sign}z.{ML_DIGITS}f}"


def adds_up(parts_mm3: Iterable[float], whole_mm3: float) -> bool:
    """Whether volumes in ml, as `ml_text` shows them, give the whole as it is shown.

    >>> adds_up([1824.0, 1676.0], 3500.0), adds_up([1824.0, 1674.0], 3498.0)
    (True, False)
    """
    shown = [round(float(ml_text(mm3)) * 10.0**ML_DIGITS) for mm3 in (*parts_mm3, whole_mm3)]
    return sum(shown) == 2 * shown[-1]


def minus(text: str) -> str:
    """A number's text with a minus as it is printed; files for programs keep the hyphen.

    >>> minus("-0.06") == "\N{MINUS SIGN}0.06"
    True
    """
    return text.replace("-", "\N{MINUS SIGN}")


def fine_ml_digits(voxel_mm3: float) -> int:
    """Digits of a volume in ml that tell one voxel from the next, in tables of details.

    >>> fine_ml_digits(8.0), fine_ml_digits(1.0), fine_ml_digits(0.34)
    (3, 3, 4)
    """
    needed = math.ceil(-math.log10(voxel_mm3 / 1000) - 0.05)  # an edge of 0.999 mm is 1 mm
    return max(ML_DIGITS, min(_MOST_ML_DIGITS, needed))


def harmless(cell: Any) -> Any:
    """A cell of CSV: a text that a spreadsheet takes for a formula gets an apostrophe in front.

    Some leave out what stands before it, and take the wide signs for the narrow ones (OWASP, *CSV
    Injection*).

    >>> harmless("=1+1"), harmless(" =1+1"), harmless("-12.5"), harmless(3)
    ("'=1+1", "' =1+1", '-12.5', 3)
    """
    if isinstance(cell, str) and (
        cell[:1] in ("\t", "\r", "\n") or cell.lstrip()[:1] in _FORMULA_SIGNS
    ):
        try:
            float(cell)
        except ValueError:
            return "'" + cell
    return cell
