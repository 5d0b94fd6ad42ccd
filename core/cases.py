"""Cases: what was segmented stays, until it is deleted, and a while longer."""

import gzip
import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from loguru import logger
from sqlalchemy import Connection, Engine, Row, and_, select
from sqlalchemy.exc import SQLAlchemyError

from core import limits, nifti
from core.case import (
    MODEL_MASK,
    REVIEW_STATES,
    Case,
    CaseImages,
    CaseRow,
    Review,
    clean_text,
    warning_count,
)
from core.database import CASES, FEATURES, MASK_VERSIONS
from core.drift import Values
from core.errors import HippoViewError, InputError, NotFoundError
from core.nifti_header import LARGEST_HEADER_BYTES, parse_header, stem_of
from core.pipeline import Analysis
from core.sides import sides_file
from core.storage import Storage
from core.volume import ras_affine, to_ras

# No I, L, O, U: a case id is read aloud and typed by hand.
_ID_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID_LENGTH = 6
_FOLDER = "cases"
_IMAGE, _MASK, _RECORD = "image.nii.gz", "mask.nii.gz", "record.json"
_DRAWN = "masks"


class Cases:
    """The cases of one installation: rows in the database, files in the storage."""

    def __init__(
        self,
        engine: Engine,
        storage: Storage,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._storage = storage
        self._now = now

    def add(self, analysis: Analysis, name: str) -> Case:
        """Keep an analysis. The files come first, so that every row has its files."""
        case_id = "HV-" + "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
        created_at = self._timestamp()
        name = _clean_name(name) or case_id
        known = {"case_id": case_id, "created_at": created_at}
        report = json.loads(json.dumps(known | analysis.as_dict()))
        features = analysis.features
        folder = f"{_FOLDER}/{case_id}"
        try:
            image = gzip.compress(analysis.clean_file, compresslevel=1, mtime=0)
            self._storage.write(f"{folder}/{_IMAGE}", image)
            self._storage.write(f"{folder}/{_MASK}", analysis.mask_file)
            row = _row(name, report)
            self._write_record(row | {"features": features})
            with self._engine.begin() as connection:
                _insert(connection, row, features)
        except BaseException:
            self._storage.delete_folder(folder)
            raise
        return Case(case_id, name, created_at, report)

    def adopt(self) -> int:
        """Take in the cases that lie in the storage and that this database does not know.

        So a new server on the same bucket, or one whose database was lost, has its cases.

        Returns
        -------
        int
            How many were taken in.
        """
        with self._engine.begin() as connection:
            known = set(connection.scalars(select(CASES.c.id)))
        adopted = 0
        for case_id in set(self._storage.folders(_FOLDER)) - known:
            try:
                record = json.loads(self._storage.read(f"{_FOLDER}/{case_id}/{_RECORD}"))
                features = record.pop("features")
                drawn = self._drawn(case_id)
                for version in drawn:  # a kill may have left the record behind its masks
                    if version["version"]["number"] > record.get("mask_version", MODEL_MASK):
                        record |= version["case"]
                with self._engine.begin() as connection:
                    if _insert(connection, record, features):
                        for version in drawn:
                            connection.execute(MASK_VERSIONS.insert().values(**version["version"]))
            except (NotFoundError, ValueError, KeyError, SQLAlchemyError) as error:
                logger.warning("A case in the storage was left alone: {}", type(error).__name__)
                continue
            adopted += 1
        return adopted

    def _drawn(self, case_id: str) -> list[dict[str, Any]]:
        """The records of the masks that people drew, in their order."""
        keys = [
            k for k in self._storage.keys(f"{_FOLDER}/{case_id}/{_DRAWN}") if k.endswith(".json")
        ]
        records = [json.loads(self._storage.read(key)) for key in keys]
        return sorted(records, key=lambda record: int(record["version"]["number"]))

    def features(self) -> list[tuple[CaseRow, Values]]:
        """The drift features of every case on the list, the newest first."""
        columns = [CASES.c[field] for field in CaseRow.__dataclass_fields__]
        query = (
            select(*columns, FEATURES.c.content)
            .join(FEATURES)
            .where(_is_there())
            .order_by(CASES.c.created_at.desc(), CASES.c.id)
        )
        with self._engine.begin() as connection:
            rows = connection.execute(query).all()
        return [(CaseRow(*row[:-1]), json.loads(row[-1])) for row in rows]

    def find(self, search: str = "", *, deleted: bool = False) -> list[CaseRow]:
        """Cases whose id or name holds the words searched for, the newest first."""
        columns = [CASES.c[field] for field in CaseRow.__dataclass_fields__]
        query = select(*columns).order_by(CASES.c.created_at.desc(), CASES.c.id)
        query = query.where(CASES.c.deleted_at.is_not(None) if deleted else _is_there())
        for word in search.split():
            query = query.where(
                CASES.c.id.icontains(word, autoescape=True)
                | CASES.c.name.icontains(word, autoescape=True)
            )
        with self._engine.begin() as connection:
            return [CaseRow(*row) for row in connection.execute(query)]

    def get(self, case_id: str) -> Case:
        """One case.

        Raises
        ------
        NotFoundError
            It does not exist, or is deleted.
        """
        drawn = and_(
            MASK_VERSIONS.c.case_id == CASES.c.id, MASK_VERSIONS.c.number == CASES.c.mask_version
        )
        query = select(CASES, MASK_VERSIONS.c.author, MASK_VERSIONS.c.content)
        query = query.outerjoin(MASK_VERSIONS, drawn).where(CASES.c.id == case_id, _is_there())
        with self._engine.begin() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise unknown_case()
        return _case(row)

    def mask_file(self, case_id: str, version: int | None = None) -> bytes:
        """A mask as it was written, ``.nii.gz``; the one that holds now, or one by its number."""
        case = self.get(case_id)
        return self._storage.read(
            mask_key(case.id, case.mask_version if version is None else version)
        )

    def images(self, case_id: str, version: int | None = None) -> CaseImages:
        """Scan and labels of a case, for pictures and surfaces."""
        mask = self.mask_file(case_id, version)
        raw = gzip.decompress(self._storage.read(f"{_FOLDER}/{case_id}/{_IMAGE}"))
        header = parse_header(raw[:LARGEST_HEADER_BYTES])
        values = to_ras(nifti.values_of(raw, header), header).astype(np.float32)
        labels = to_ras(nifti.read_mask(mask), header)
        finite = np.isfinite(values)
        values = np.where(finite, values, values[finite].min())
        return CaseImages(values, labels, ras_affine(header))

    def sides_file(self, case_id: str) -> bytes:
        """Of a head, the newest mask with values of its own for left and right.

        Raises
        ------
        NotFoundError
            It is a crop.
        """
        head = self.get(case_id).report.get("head")
        if not head:
            raise NotFoundError("The side of a crop is not known")
        mask = self.mask_file(case_id)
        header = parse_header(gzip.decompress(mask)[:LARGEST_HEADER_BYTES])
        labels = to_ras(nifti.read_mask(mask), header)
        return sides_file(labels, ras_affine(header), header, head)

    def image_file(self, case_id: str) -> bytes:
        """The scan as ``.nii.gz``, on the file's own grid, without free text."""
        return self._storage.read(f"{_FOLDER}/{self.get(case_id).id}/{_IMAGE}")

    def review(self, case_id: str, state: str, reviewer: str, reason: str = "") -> None:
        """Note what a person says of a case's mask.

        Raises
        ------
        InputError
            A rejection without its reason.
        NotFoundError
        """
        if state not in REVIEW_STATES:
            raise ValueError(f"review {state!r}, expected one of {REVIEW_STATES}")
        reviewer, reason = clean_text(reviewer), clean_text(reason, limits.MAX_COMMENT_CHARS)
        if state == "rejected" and not reason:
            raise InputError("The reason is empty", "Say what is wrong.", code="no_reason")
        at = None if state == "new" else self._timestamp()
        self._update(
            case_id, _is_there(), review=state, reviewer=reviewer, reviewed_at=at, reason=reason
        )

    def rename(self, case_id: str, name: str) -> None:
        """Give a case another name.

        Raises
        ------
        InputError
            The name is empty.
        NotFoundError
        """
        name = _clean_name(name)
        if not name:
            raise InputError("The name is empty", "Type a name.", code="bad_name")
        self._update(case_id, _is_there(), name=name)

    def delete(self, case_id: str) -> None:
        """Take a case off the list; it can be restored for `limits.TRASH_DAYS` days."""
        self._update(case_id, _is_there(), deleted_at=self._timestamp())

    def restore(self, case_id: str) -> None:
        """Undo `delete`."""
        self._update(case_id, CASES.c.deleted_at.is_not(None), deleted_at=None)

    def sweep(self) -> int:
        """Remove for good what was deleted long ago, and files that no row knows.

        Returns
        -------
        int
            How many cases and stray folders were removed.
        """
        expired_at = self._timestamp(-timedelta(days=limits.TRASH_DAYS))
        expired = CASES.c.deleted_at < expired_at
        with self._engine.begin() as connection:
            gone = list(connection.scalars(select(CASES.c.id).where(expired)))
            connection.execute(CASES.delete().where(expired))
            known = set(connection.scalars(select(CASES.c.id)))
        strays = [
            name
            for name in self._storage.folders(_FOLDER)
            if name not in known and self._is_broken(name)
        ]
        for name in (*gone, *strays):
            self._storage.delete_folder(f"{_FOLDER}/{name}")
        return len(gone) + len(strays)

    def _is_broken(self, case_id: str) -> bool:
        """Whether a folder never got its record and nobody is at work on it."""
        folder = f"{_FOLDER}/{case_id}"
        if f"{folder}/{_RECORD}" in self._storage.keys(folder):
            return False
        return self._storage.age_s(folder) > 3600 * limits.STRAY_HOURS

    def _write_record(self, record: dict[str, Any]) -> None:
        key = f"{_FOLDER}/{record['id']}/{_RECORD}"
        self._storage.write(key, json.dumps(record).encode())

    def _update(self, case_id: str, condition: Any, **values: Any) -> None:
        with self._engine.begin() as connection:
            result = connection.execute(
                CASES.update().where(CASES.c.id == case_id, condition).values(**values)
            )
        if not result.rowcount:
            raise unknown_case()
        self.mirror(case_id, values)

    def mirror(self, case_id: str, values: dict[str, Any]) -> None:
        """Bring a case's record in the storage up to date with its row."""
        try:
            key = f"{_FOLDER}/{case_id}/{_RECORD}"
            self._write_record(json.loads(self._storage.read(key)) | values)
        except HippoViewError as error:  # the database has it; the copy follows next time
            logger.warning("A case's record in the storage is behind: {}", error.code)

    def _timestamp(self, offset: timedelta = timedelta(0)) -> str:
        return (self._now() + offset).isoformat(timespec="milliseconds")


def _is_there() -> Any:
    return CASES.c.deleted_at.is_(None)


def _row(name: str, report: dict[str, Any]) -> dict[str, Any]:
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
        "confidence": report["head"]["confidence"] if report["head"] else "",
        "report": json.dumps(report),
    }


def _insert(connection: Connection, row: dict[str, Any], features: Values | None) -> bool:
    if connection.scalar(select(CASES.c.id).where(CASES.c.id == row["id"])):
        return False  # another process took it in from the storage at this very moment
    connection.execute(CASES.insert().values(**row))
    if features is not None:
        content = json.dumps(features)
        connection.execute(FEATURES.insert().values(case_id=row["id"], content=content))
    return True


def _case(row: Row[Any]) -> Case:
    report = json.loads(row.report)
    if row.content is not None:
        report |= json.loads(row.content)["report"]
    review = Review(row.review, row.reviewer, row.reviewed_at, row.reason)
    return Case(row.id, row.name, row.created_at, report, row.mask_version, review)


def mask_key(case_id: str, version: int) -> str:
    """Where a mask lies in the storage."""
    folder = f"{_FOLDER}/{case_id}"
    return f"{folder}/{_MASK}" if version == MODEL_MASK else f"{folder}/{_DRAWN}/{version}.nii.gz"


def unknown_case() -> NotFoundError:
    """Nobody knows this case, or it was deleted."""
    return NotFoundError("There is no such case", "It may have been deleted: see the Cases page.")


def _clean_name(name: str) -> str:
    """Without control characters, without a NIfTI suffix, not too long."""
    return clean_text(stem_of(name))
