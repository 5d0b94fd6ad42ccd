"""Marks the folders that commands fill; refuses, untouched, any other folder with content."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from core.errors import InputError
from core.state.storage import write_whole

MARK_NAME = ".hippoview"
Kind = Literal["training", "sweep", "evaluation", "model", "localiser", "job", "backup"]
# DVC writes a .gitignore beside what it tracks before it runs a command; `.new-` is what a killed
# `write_whole` leaves.
_NOBODYS = (".gitignore", ".new-")


def claim(
    folder: Path,
    kind: Kind,
    *,
    also: Sequence[Kind] = (),
    known: Callable[[Path], bool] = lambda folder: False,
) -> None:
    """Create a folder and mark it as HippoView's, or check that it is, before writing to it.

    Parameters
    ----------
    folder
        Created with its parents if it is missing. An empty one is accepted.
    kind
        What it is for; the mark says so.
    also
        Further kinds of folders that are accepted.
    known
        Whether a folder without a mark was made by an earlier version for this purpose.

    Raises
    ------
    InputError
        It holds something that is not HippoView's, or it is marked for another purpose.
    """
    name = folder.resolve().name
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{name} is a file, not a folder", _HINT, code="foreign_folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = _kind_of(folder)
        if held is None:
            if any(_is_somebodys(path) for path in folder.iterdir()) and not known(folder):
                raise InputError(
                    f"The folder {name} is not empty and was not made by this command: nothing "
                    "in it was touched",
                    _HINT,
                    code="foreign_folder",
                )
            mark = {"made_by": "HippoView", "kind": kind}
            write_whole(folder / MARK_NAME, (json.dumps(mark) + "\n").encode())
    except OSError as error:
        raise InputError(
            f"The folder {name} cannot be made or read: {error.strerror}", _HINT, code="unwritable"
        ) from error
    if held is not None and held not in (kind, *also):
        raise InputError(
            f"The folder {name} is of another kind ({held}, not {kind})",
            _HINT,
            code="foreign_folder",
        )


def is_marked(folder: Path, kind: str) -> bool:
    """Whether a folder carries HippoView's mark of this kind."""
    return _kind_of(folder) == kind


_HINT = "Name a folder that does not exist yet, or an empty one."


def _kind_of(folder: Path) -> str | None:
    """The kind in a folder's mark; None where there is no valid mark."""
    try:
        mark = json.loads((folder / MARK_NAME).read_bytes())
        return str(mark["kind"]) if mark["made_by"] == "HippoView" else None
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def _is_somebodys(path: Path) -> bool:
    return not path.name.startswith(_NOBODYS)
