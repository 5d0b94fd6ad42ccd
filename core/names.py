"""Names of files as text. Imports nothing of the project."""

import os


def shown(name: str | os.PathLike[str]) -> str:
    r"""A file's name as text that can be printed and encoded whatever bytes it has.

    >>> shown("scan\udcff.nii")  # as Python reads the byte 0xff on Linux
    'scan\\xff.nii'
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")
