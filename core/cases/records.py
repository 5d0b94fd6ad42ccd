"""A case's record in the storage, which is authoritative; its row in the database is an index.

``cases/ID/record.json`` holds all columns of the row, the features, the masks that people drew,
and a ``revision`` that each change raises by one. A change takes effect when its record is
written, which replaces exactly the one that was read or fails; then the row is updated. Where the
two differ, the higher revision counts. A mask is written before the record names it. So a killed
process leaves either a complete change or files that no record names.
"""

import json
import re
from collections.abc import Collection
from datetime import date
from typing import Any, Literal, get_args

from sqlalchemy import Connection, Row, and_, select

from core.cases.case import (
    MODEL_MASK,
    REVIEW_STATES,
    SEXES,
    list_words,
    report_now,
    warning_count,
)
from core.errors import NotFoundError, StorageError
from core.predictor.heads import Confidence
from core.state.fields import check_columns, check_shape, check_times, object_of
from core.state.storage import Storage
from core.state.tables import CASES, FEATURES, MASK_VERSIONS

Record = dict[str, Any]
FOLDER, ORIGINS = "cases", "origins"
IMAGE, MASK, RECORD = "image.nii.gz", "mask.nii.gz", "record.json"
DRAWN = "masks"
# A record with this field is being removed for good; its files may be gone already.
REMOVED = "removed_at"
# Code of the error about a record that cannot be read.
DAMAGED = "storage_damaged"
# Shape of the reports in records: all that pages, lists and exports read. Fields with a ? are
# missing in records of earlier versions; see `core.state.fields.check_shape`.
_VECTOR = [float, float, float]
_PART = {
    "volume_mm3": float, "volume_ml?": float, "voxels?": int, "length_mm?": (float,),
    "bounding_box_mm?": (_VECTOR,), "volume_interval_mm3?": ([float, float],),
}  # fmt: skip
_ROW = [float, float, float, float]
_BOX = {"shape": [int, int, int], "affine": [_ROW, _ROW, _ROW, _ROW]}
_PARTS = {"anterior": _PART, "posterior": _PART, "total?": _PART}
_REPORT = {
    "measures": {
        **_PARTS,
        "side?": str,
        "voxel_mm3?": float,
        "anterior_share_percent?": (float,),
        "asymmetry_percent?": (float,),
        "share_of_brain_percent?": (float,),
        "sides?": {"*": _PARTS},
        "too_small?": {"*": {"*": str}},
    },
    "warnings": [{"level": str, "code": str, "message": str}],
    "model": {"version": str, "sha256?": str, "name?": str},
    "input": {"spacing_mm": _VECTOR, "orientation": str, "sha256": str, "shape": [int]},
    "study?": ({"date": str, "sex": str, "age_years": (int,)},),
    "scanner?": (str,),
    "notice": str,
    "device": str,
    "head?": (
        {
            "confidence": frozenset(get_args(Confidence)) - {""},
            "reasons": [str],
            "brain_ml?": float,
            "scale?": float,
            "sides?": {"*": {"centre_mm?": _VECTOR, "box?": _BOX}},
        },
    ),
    "trust?": {
        "expected_dice": ({"whole": float, "anterior": float, "posterior": float},),
        "reason": str,
        "sides": {"*": {"*": float}},
        "interval_percent": float,
    },
    "timings_s?": {"*": float},
    "mask?": {"version": int, "author": str},
}
# The report on a drawn mask: its fields replace those of the case's report.
_REPORT_OF_MASK = {f"{name.removesuffix('?')}?": shape for name, shape in _REPORT.items()}
_TOKEN = re.compile("[0-9a-z]{0,16}")
_CASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MASK_COLUMNS = tuple(column.name for column in MASK_VERSIONS.columns)
# What stands in the columns of a case that an earlier version did not have.
_OPTIONAL: Record = {
    c.name: c.type.python_type(c.server_default.arg) if c.server_default is not None else None  # type: ignore[attr-defined]
    for c in CASES.columns
    if c.nullable or c.server_default is not None
}
_NEEDED = set(CASES.columns.keys()) - set(_OPTIONAL)


def folder_of(case_id: str) -> str:
    """Key of a case's folder in the storage.

    Raises
    ------
    NotFoundError
        The id is not a valid one.
    """
    if not _CASE_ID.fullmatch(case_id):
        raise unknown_case()
    return f"{FOLDER}/{case_id}"


def record_key(case_id: str) -> str:
    """Key of a case's record in the storage."""
    return f"{folder_of(case_id)}/{RECORD}"


def origin_key(case_id: str) -> str:
    """Key of a case's origin in the storage; see `core.cases.origins`."""
    folder_of(case_id)  # the id is valid
    return f"{ORIGINS}/{case_id}"


def mask_key(case_id: str, version: int, token: str = "") -> str:
    """Key of a mask in the storage.

    Parameters
    ----------
    token
        Distinguishes the masks of two people who save the same version at the same time: the
        record names one of them. Empty for the model's mask and for masks of earlier versions.
    """
    folder = folder_of(case_id)
    if version == MODEL_MASK:
        return f"{folder}/{MASK}"
    return f"{folder}/{DRAWN}/{version}{'-' if token else ''}{token}.nii.gz"


def mask_keys(record: Record) -> set[str]:
    """Keys of all masks that a record names."""
    drawn = {mask_key(record["id"], m["number"], m["token"]) for m in record["masks"]}
    return drawn | {mask_key(record["id"], MODEL_MASK)}


def is_whole(case_id: str, keys: Collection[str]) -> bool:
    """Whether a case has all of its scan, the model's mask and its record."""
    return all(f"{folder_of(case_id)}/{name}" in keys for name in (IMAGE, MASK, RECORD))


def is_removed(storage: Storage, case_id: str) -> bool:
    """Whether a case was removed for good, or is being removed.

    Raises
    ------
    StorageError
    """
    try:
        return REMOVED in object_of(storage.read(record_key(case_id)))
    except NotFoundError:
        return True


def is_behind(record: Record, row: Record) -> bool:
    """Whether a record is older than its row.

    Older programs counted no revisions and wrote the row first; only of a database from a backup,
    or of a second one, a row has fewer masks.
    """
    if record["revision"] == row["revision"] == 0:
        if record["mask_version"] > row["mask_version"]:
            return False
        return any(record.get(name, value) != value for name, value in row.items())
    return bool(row["revision"] > record["revision"])


def new_record(name: str, report: dict[str, Any]) -> Record:
    """The record of a case that was just segmented, from its name and its report."""
    measures = report["measures"]
    return {
        "id": report["case_id"],
        "name": name,
        "created_at": report["created_at"],
        "deleted_at": None,
        "model_version": report["model"]["version"],
        "anterior_mm3": measures["anterior"]["volume_mm3"],
        "posterior_mm3": measures["posterior"]["volume_mm3"],
        "warning_count": warning_count(report),
        **list_words(report),
        "report": json.dumps(report),
        "mask_version": MODEL_MASK,
        "review": "new",
        "reviewer": "",
        "reviewed_at": None,
        "reason": "",
        "masks": [],
        "revision": 1,
    }


def record_of(
    storage: Storage, case_id: str, content: bytes, keys: Collection[str] | None = None
) -> Record:
    """Parse a record file, also one of an earlier version.

    Parameters
    ----------
    storage
    case_id
        The case in whose folder it lies.
    content
    keys
        Keys of the case's files, if they are known.

    Raises
    ------
    StorageError
        It is damaged, belongs to another case (a folder that somebody copied), or was written by
        a version that is too new.
    """
    try:
        record = object_of(content)
        if record["id"] != case_id:
            raise ValueError("the record of another case")
        folder = folder_of(case_id)
        if "masks" not in record:  # until revisions came, each drawn mask had a record of its own
            keys_there = storage.keys(f"{folder}/{DRAWN}") if keys is None else keys
            records = [
                object_of(storage.read(key))
                for key in keys_there
                if key.startswith(f"{folder}/{DRAWN}/") and key.endswith(".json")
            ]
            records.sort(key=lambda drawn: int(drawn["version"]["number"]))
            for drawn in records:  # a kill may have left the record behind its masks
                if drawn["version"]["number"] > record.get("mask_version", MODEL_MASK):
                    record |= drawn["case"]
            record["masks"] = [drawn["version"] for drawn in records]
        record["masks"] = [{"token": ""} | mask for mask in record["masks"]]
        record = _OPTIONAL | record  # an earlier version had fewer columns
        if _NEEDED - set(record):
            raise KeyError("a column of a case")
        _check(record)
        record |= list_words(report_of(record))  # an earlier version chose other words
        if any(mask["case_id"] != case_id for mask in record["masks"]):
            raise ValueError("a mask of another case")
    except (ValueError, KeyError, TypeError, AttributeError, NotFoundError) as error:
        raise damaged_record() from error
    return record


def _check(record: Record) -> None:
    """Raise ``ValueError`` for a record that pages could not show."""
    check_columns(record, CASES.columns)
    check_times(record["created_at"], record["deleted_at"], record["reviewed_at"])
    check_shape(record["review"], frozenset(REVIEW_STATES))
    check_shape(record["sex"], frozenset(SEXES))
    if record["scan_date"]:
        date.fromisoformat(record["scan_date"])
    check_shape(object_of(record["report"]), _REPORT)
    check_shape(record.get("features"), ({"*": float},))
    for mask in record["masks"]:
        if set(_MASK_COLUMNS) - set(mask):
            raise KeyError("a column of a mask")
        check_columns(mask, MASK_VERSIONS.columns)
        check_times(mask["created_at"])
        check_shape(object_of(mask["content"]), {"report": _REPORT_OF_MASK, "difference": dict})
        if not _TOKEN.fullmatch(mask["token"]):
            raise ValueError("a name that no file can have")
    numbers = [mask["number"] for mask in record["masks"]]
    if MODEL_MASK in numbers or len(set(numbers)) < len(numbers):
        raise ValueError("two masks of one number")


def report_of(record: Record) -> dict[str, Any]:
    """The report on the current mask."""
    drawn = (m["content"] for m in record["masks"] if m["number"] == record["mask_version"])
    return report_now(record["report"], next(drawn, None))


def file_of(record: Record) -> bytes:
    """The content of ``record.json``."""
    return json.dumps(record).encode()


def record_of_row(connection: Connection, case_id: str) -> Record | None:
    """The record as the database has it; None if the case is not in it."""
    query = select(CASES, FEATURES.c.content).outerjoin(FEATURES).where(CASES.c.id == case_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    masks = connection.execute(
        select(MASK_VERSIONS)
        .where(MASK_VERSIONS.c.case_id == case_id)
        .order_by(MASK_VERSIONS.c.number)
    ).all()
    features = None if row.content is None else json.loads(row.content)
    return _columns(row) | {"features": features, "masks": [dict(mask._mapping) for mask in masks]}


def update_row(connection: Connection, record: Record) -> Literal["new", "newer", ""]:
    """Insert or update a case's row, if its record is new to the database or newer."""
    case_id = record["id"]
    row_revision = connection.scalar(select(CASES.c.revision).where(CASES.c.id == case_id))
    row = {column.name: record[column.name] for column in CASES.columns if column.name in record}
    if row_revision is None:
        connection.execute(CASES.insert().values(**row))
        if record.get("features") is not None:
            content = json.dumps(record["features"])
            connection.execute(FEATURES.insert().values(case_id=case_id, content=content))
    elif record["revision"] > row_revision:
        connection.execute(CASES.update().where(CASES.c.id == case_id).values(**row))
    else:
        return ""
    if record["masks"]:
        query = select(MASK_VERSIONS.c.number).where(MASK_VERSIONS.c.case_id == case_id)
        numbers_in_rows = set(connection.scalars(query))
        for mask in record["masks"]:
            if mask["number"] not in numbers_in_rows:
                values = {name: mask[name] for name in _MASK_COLUMNS}
                connection.execute(MASK_VERSIONS.insert().values(**values))
    return "new" if row_revision is None else "newer"


def stale_words(connection: Connection) -> dict[str, dict[str, Any]]:
    """By case, the words of lists that differ from those in its row, set by an earlier version."""
    holds = and_(
        MASK_VERSIONS.c.case_id == CASES.c.id, MASK_VERSIONS.c.number == CASES.c.mask_version
    )
    query = select(CASES, MASK_VERSIONS.c.content).outerjoin(MASK_VERSIONS, holds)
    stale = {}
    for row in connection.execute(query):
        words = list_words(report_now(row.report, row.content))
        if any(row._mapping[name] != word for name, word in words.items()):
            stale[row.id] = words
    return stale


def refresh_words(connection: Connection) -> None:
    """Update the words of lists that an earlier version set otherwise."""
    for case_id, words in stale_words(connection).items():
        connection.execute(CASES.update().where(CASES.c.id == case_id).values(**words))


def damaged_record() -> StorageError:
    """The error for a record that cannot be read or does not fit the database."""
    return StorageError(
        "The record of a case in the storage is damaged",
        "Restore it from a backup, or delete the case's folder.",
        code=DAMAGED,
    )


def unknown_case() -> NotFoundError:
    """The error for a case that does not exist or was deleted."""
    return NotFoundError(
        "There is no such case",
        "It may have been deleted, or belong to a group that you are not in.",
    )


def _columns(row: Row[Any]) -> Record:
    return {column.name: row._mapping[column.name] for column in CASES.columns}
