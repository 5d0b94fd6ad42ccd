"""What a backup holds: each file with its SHA-256, written last, so that a broken one has none."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from core.errors import InputError
from core.state.fields import check_shape, object_of
from core.state.parts import PART_BYTES
from core.state.storage import write_whole

NAME = "manifest.json"
# Folders and files of a backup.
DATABASE, STORAGE, DATA = "database", "storage", "data"
FORMAT = 1
_SHAPE = {
    "format": int, "id": str, "began_at": str, "ended_at": str, "engine": str, "schema": int,
    "keys": [str], "files": {"*": str}, "removed_cases": [str], "vanished": int,
    "sha256": str,
}  # fmt: skip


@dataclass(frozen=True)
class Manifest:
    """What a backup holds.

    Attributes
    ----------
    id : str
        In hexadecimal; stands in the trail too.
    began_at, ended_at : str
        ISO 8601, UTC. What is in the backup was there at a moment between the two.
    engine : str
        ``sqlite`` or ``postgresql``.
    schema : int
        Number of the newest step of `core.state.migrations` that the database has taken.
    keys : list of str
        Ids of the keys (`core.state.encryption`) that it takes to read everything.
    files : dict
        SHA-256 of each file, by its path in the backup.
    removed_cases : list of str
        Cases that the database still has and whose files were removed for good meanwhile.
    vanished : int
        How many files were deleted between the listing and the copying.
    """

    id: str
    began_at: str
    ended_at: str
    engine: str
    schema: int
    keys: list[str]
    files: dict[str, str]
    removed_cases: list[str]
    vanished: int

    def write(self, folder: Path) -> None:
        """Write it into its backup."""
        told = asdict(self) | {"format": FORMAT, "sha256": _sum_of(self.files)}
        write_whole(folder / NAME, json.dumps(told, indent=1).encode(), 0o600)

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read that of a backup.

        Raises
        ------
        InputError
            There is none, or it is damaged.
        """
        try:
            told = object_of((folder / NAME).read_bytes())
            check_shape(told, _SHAPE)
            if told.pop("sha256") != _sum_of(told["files"]):
                raise ValueError("files were added or struck off")
            for path in told["files"]:
                part, _, key = path.partition("/")
                if part not in (DATABASE, STORAGE, DATA):
                    raise ValueError("a file that belongs nowhere")
                _check_way(key)
            for case_id in told["removed_cases"]:
                os.fsencode(case_id)  # a ValueError, if it can be none
        except FileNotFoundError as error:
            raise InputError(
                "This folder holds no whole backup: it has no manifest",
                "Name the folder that `python -m core backup` wrote to its end; one that broke off "
                "cannot be restored.",
                code="no_backup",
            ) from error
        except (OSError, ValueError) as error:
            raise InputError(
                "The manifest of the backup is damaged", "Take another backup.",
                code="backup_damaged",
            ) from error  # fmt: skip
        number = told.pop("format")
        if number != FORMAT:
            raise InputError(
                f"The backup is of a form that this version does not know ({number})",
                "Restore it with the version of HippoView that made it, or with a newer one.",
                code="backup_newer",
            )
        return cls(**told)

    def below(self, part: str) -> dict[str, str]:
        """SHA-256 of the files of a part, by their paths in it."""
        prefix = f"{part}/"
        return {
            path.removeprefix(prefix): told for path, told in self.files.items()
            if path.startswith(prefix)
        }  # fmt: skip


def check(folder: Path, files: Mapping[str, str]) -> None:
    """Read every file of a backup again, and compare.

    Parameters
    ----------
    folder
    files
        SHA-256 by path.

    Raises
    ------
    InputError
        Files are missing or changed.
    """
    missing = changed = 0
    for path, told in files.items():
        try:
            if not (folder / path).is_file():  # nor a pipe, which would be waited for
                raise FileNotFoundError
            changed += sha256_of(parts_of(folder / path)) != told
        except OSError:
            missing += 1
    if missing or changed:
        raise InputError(
            f"The backup is damaged: {missing:,} of its {len(files):,} files are missing or "
            f"unreadable, {changed:,} are changed",
            "Take another backup; look at the disk that this one lies on.",
            code="backup_damaged",
        )


def parts_of(path: Path) -> Iterable[bytes]:
    """A file in parts."""
    with path.open("rb") as file:
        while part := file.read(PART_BYTES):
            yield part


def sha256_of(parts: Iterable[bytes]) -> str:
    """SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _sum_of(files: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()


def _check_way(path: str) -> None:
    """Refuse what leads out of the folder, or cannot be a file's name."""
    os.fsencode(path)
    if "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError("a file that lies elsewhere")
