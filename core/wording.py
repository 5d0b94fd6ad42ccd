"""Counts and file names in sentences for people."""

import os


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
