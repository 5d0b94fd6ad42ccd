"""Masks that people draw over the model's: versions, what each changed, and drafts.

The model's own mask is version 0 and never changes. A save adds a version; nothing is ever
overwritten, and a save that did not know the newest version is refused.
"""

import gzip
import json
import secrets
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from loguru import logger
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, select

from core import limits, nifti
from core.case import MODEL_MASK, clean_text, warning_count
from core.case_records import Record, mask_key, unknown_case
from core.cases import Cases
from core.database import DRAFTS, MASK_VERSIONS, reading
from core.errors import ConflictError, InputError, NotFoundError, StorageError
from core.measure import MASK_CODES, assess, assess_head, measure, measure_head
from core.nifti_header import LARGEST_HEADER_BYTES, Header, parse_header
from core.segmentation import LABELS, Segmentation
from core.storage import Storage
from core.volume import from_ras, ras_affine, to_ras

_TOKEN_BYTES = 6


@dataclass(frozen=True)
class MaskVersion:
    """A mask of a case.

    Attributes
    ----------
    number : int
        0 is the model's own.
    created_at : str
        ISO 8601, UTC.
    author, comment : str
    difference : dict
        By label, against the model's mask: ``dice`` (None where both are empty), ``added_mm3``,
        ``removed_mm3`` and ``volume_mm3``, the change of the volume.
    """

    number: int
    created_at: str
    author: str
    comment: str
    difference: dict[str, dict[str, float | None]]


@dataclass(frozen=True)
class Draft:
    """What was drawn and not saved: labels in RAS+ as gzip, over the version ``base``."""

    base: int
    at: str
    labels: bytes


class Corrections:
    """The mask versions and drafts of all cases."""

    def __init__(
        self,
        engine: Engine,
        storage: Storage,
        cases: Cases,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._storage = storage
        self._cases = cases
        self._now = now

    def versions(self, case_id: str) -> list[MaskVersion]:
        """The masks of a case, the newest first; the last is the model's.

        Raises
        ------
        NotFoundError
        """
        case = self._cases.get(case_id)
        query = select(MASK_VERSIONS).where(MASK_VERSIONS.c.case_id == case_id)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(MASK_VERSIONS.c.number.desc())).all()
        model = MaskVersion(MODEL_MASK, case.created_at, "the model", "", {})
        return [
            *(
                MaskVersion(
                    row.number, row.created_at, row.author, row.comment,
                    json.loads(row.content)["difference"],
                )
                for row in rows
            ),
            model,
        ]  # fmt: skip

    def save(
        self,
        case_id: str,
        packed: bytes,
        *,
        base: int,
        author: str,
        comment: str,
        visitor: str = "",
    ) -> MaskVersion:
        """Keep a drawn mask as the newest version, and the case as corrected.

        Parameters
        ----------
        packed
            Labels in RAS+, uint8, the first axis fastest, as gzip.
        base
            The version that was the newest when the drawing began.
        visitor
            Whose draft it was, which ends now.

        Raises
        ------
        ConflictError
            Somebody saved a version in the meantime. Nothing has changed.
        InputError
            No author, or labels that do not fit the case.
        NotFoundError
        """
        header = self._header(case_id)
        labels = from_ras(_unpacked(packed, to_ras_shape(header)), header)
        return self._keep(case_id, labels, header, base, author, comment, visitor)

    def restore(self, case_id: str, number: int, *, base: int, author: str) -> MaskVersion:
        """Make an older version the newest again, as a version of its own.

        Raises
        ------
        ConflictError, InputError, NotFoundError
            As `save`.
        """
        name = "the model's mask" if number == MODEL_MASK else f"version {number}"
        labels = nifti.read_mask(self._cases.mask_file(case_id, number))
        header = self._header(case_id)
        return self._keep(case_id, labels, header, base, author, f"Back to {name}", "")

    def segment_here(
        self, case_id: str, segmentation: Segmentation, *, base: int, author: str, comment: str
    ) -> MaskVersion:
        """Keep a head's mask that was made where a person pointed, as a version of its own.

        Raises
        ------
        ConflictError, InputError, NotFoundError
            As `save`.
        """
        header = self._header(case_id)
        labels = from_ras(segmentation.labels, header)
        head = segmentation.head.as_dict() if segmentation.head else None
        return self._keep(case_id, labels, header, base, author, comment, "", head)

    def keep_draft(self, case_id: str, visitor: str, packed: bytes, base: int) -> None:
        """Keep what a browser drew so far, in place of what it sent before.

        Raises
        ------
        InputError, NotFoundError
        """
        _unpacked(packed, to_ras_shape(self._header(case_id)))
        row = {"case_id": case_id, "visitor": visitor, "base": base, "at": self._timestamp()}
        with self._engine.begin() as connection:
            _drop(connection, case_id, visitor)
            connection.execute(DRAFTS.insert().values(**row, labels=packed))

    def draft(self, case_id: str, visitor: str) -> Draft | None:
        """What this browser drew and did not save."""
        query = select(DRAFTS).where(DRAFTS.c.case_id == case_id, DRAFTS.c.visitor == visitor)
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Draft(row.base, row.at, row.labels)

    def drop_draft(self, case_id: str, visitor: str) -> None:
        """Forget a draft; none there is no error."""
        with self._engine.begin() as connection:
            _drop(connection, case_id, visitor)

    def _keep(
        self, case_id: str, labels: NDArray[np.uint8], header: Header, base: int, author: str,
        comment: str, visitor: str, head: dict[str, Any] | None = None,
    ) -> MaskVersion:  # fmt: skip
        author = clean_text(author)
        if not author:
            raise InputError("The author is empty", "Type your name.", code="no_author")
        labels = np.ascontiguousarray(labels)
        model = nifti.read_mask(self._storage.read(mask_key(case_id, MODEL_MASK)))
        report = self._report(case_id, labels, header, head)
        corrected = not np.array_equal(labels, model)
        version = MaskVersion(
            base + 1, self._timestamp(), author, clean_text(comment, limits.MAX_COMMENT_CHARS),
            _difference(labels, model, report["measures"]["voxel_mm3"]),
        )  # fmt: skip
        report["mask"] = {"version": version.number, "author": author,
                          "saved_at": version.created_at}  # fmt: skip
        mask = asdict(version) | {"case_id": case_id, "token": secrets.token_hex(_TOKEN_BYTES)}
        mask["content"] = json.dumps({"difference": mask.pop("difference"), "report": report})
        case = {
            "mask_version": version.number,
            "anterior_mm3": report["measures"]["anterior"]["volume_mm3"],
            "posterior_mm3": report["measures"]["posterior"]["volume_mm3"],
            "warning_count": warning_count(report),
            "review": "corrected" if corrected else "new",
            "reviewer": author if corrected else "",
            "reviewed_at": version.created_at if corrected else None,
            "reason": "",
        }

        def edit(record: Record) -> dict[str, Any]:
            _check_newest(record, base)
            return case | {"masks": [*record["masks"], mask]}

        # The file first: nobody sees it before the case's record names it.
        key = mask_key(case_id, version.number, mask["token"])
        self._storage.replace(key, nifti.mask_bytes(labels, header), None)
        try:
            self._cases.acts.change(
                case_id, edit, lambda connection: _drop(connection, case_id, visitor)
            )
        except (ConflictError, NotFoundError):
            self._forget(key)
            raise
        logger.info("{}: mask version {} was saved", case_id, version.number)
        return version

    def _forget(self, key: str) -> None:
        """Delete the file of a mask that was not saved; else it is swept away after a day."""
        try:
            self._storage.delete(key)
        except StorageError as error:
            logger.warning("A mask that was not saved is still there: {}", error.code)

    def _report(
        self,
        case_id: str,
        labels: NDArray[np.uint8],
        header: Header,
        new_head: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """The parts of a case's report that depend on its mask."""
        before = self._cases.get(case_id).report
        ras = to_ras(labels, header)
        affine, head = ras_affine(header), new_head or before.get("head")
        if head is None:
            measures = measure(ras, affine)
            of_mask = assess(ras, measures)
        else:
            measures = measure_head(ras, affine, head)
            of_mask = assess_head(ras, affine, head)
        of_scan = [w for w in before["warnings"] if w["code"] not in MASK_CODES]
        found = [f.as_dict() for f in of_mask]
        report = {"measures": measures.as_dict(), "warnings": of_scan + found, "head": head}
        return dict(json.loads(json.dumps(report)))

    def _header(self, case_id: str) -> Header:
        mask = gzip.decompress(self._cases.mask_file(case_id, MODEL_MASK))
        return parse_header(mask[:LARGEST_HEADER_BYTES])

    def _timestamp(self) -> str:
        return self._now().isoformat(timespec="milliseconds")


def _check_newest(record: Record, base: int) -> None:
    newest = record["mask_version"]
    if record["deleted_at"] is not None:
        raise unknown_case()
    if newest == base:
        return
    mask = next((m for m in record["masks"] if m["number"] == newest), None)
    if mask is None:
        raise ConflictError("This case has no such version any more", "Reload the page.")
    raise ConflictError(
        f"{mask['author']} saved version {newest} at {mask['created_at'][11:16]} UTC, after you "
        "had begun",
        "Nothing was overwritten, and your drawing is kept as a draft. Compare it with the "
        "newest version, then save yours after it or discard it.",
        code="newer_version",
    )


def to_ras_shape(header: Header) -> tuple[int, int, int]:
    """Shape of a file's voxels once they are turned to RAS+."""
    x, y, z = to_ras(np.empty(header.shape, np.bool_), header).shape
    return x, y, z


def _unpacked(packed: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Labels that a browser sent, never more of them than there are voxels."""
    count = int(np.prod(shape))
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        raw = unzip.decompress(packed, count + 1)
    except zlib.error as error:
        raise _bad_labels() from error
    if len(raw) != count or not unzip.eof:
        raise _bad_labels()
    labels = np.frombuffer(raw, np.uint8)
    if not np.isin(labels, (0, *LABELS.values())).all():
        raise _bad_labels()
    return labels.reshape(shape, order="F")


def _bad_labels() -> InputError:
    return InputError(
        "The drawn labels do not fit this case",
        "Reload the page and draw again.",
        code="bad_labels",
    )


def _difference(
    labels: NDArray[np.uint8], model: NDArray[np.uint8], voxel_mm3: float
) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for name, value in LABELS.items():
        a, b = labels == value, model == value
        both = int(a.sum()) + int(b.sum())
        added, removed = int((a & ~b).sum()), int((b & ~a).sum())
        found[name] = {
            "dice": 1 - (added + removed) / both if both else None,
            "added_mm3": added * voxel_mm3,
            "removed_mm3": removed * voxel_mm3,
            "volume_mm3": (added - removed) * voxel_mm3,
        }
    return found


def _drop(connection: Connection, case_id: str, visitor: str) -> None:
    connection.execute(
        DRAFTS.delete().where(DRAFTS.c.case_id == case_id, DRAFTS.c.visitor == visitor)
    )
