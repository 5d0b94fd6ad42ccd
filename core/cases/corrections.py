"""Masks that people draw over the model's: their versions, and what each changed.

The model's own mask is version 0 and never changes. A save adds a version; nothing is ever
overwritten, and a save that did not know the newest version is refused.
"""

import hashlib
import json
import math
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from loguru import logger
from numpy.typing import NDArray
from sqlalchemy import Engine, select

from core import limits
from core.anatomy import SIDES
from core.cases.case import MODEL_MASK, clean_text, list_words, warning_count
from core.cases.drafts import Drafts, draft_key, drop_one
from core.cases.mask_report import difference, report_of_mask
from core.cases.packing import ras_shape, unpacked
from core.cases.records import Record, mask_key, unknown_case
from core.cases.side_labels import centres_mm, with_one_side
from core.cases.store import Cases
from core.errors import (
    ConflictError,
    InputError,
    NewerVersionError,
    NotFoundError,
    StorageError,
)
from core.image import nifti
from core.image.header import Header
from core.image.volume import from_ras, ras_affine, to_ras
from core.predictor.heads import centres_of
from core.predictor.segmentation import Segmentation
from core.state.database import reading
from core.state.storage import Storage
from core.state.tables import MASK_VERSIONS

_TOKEN_BYTES = 6
_GRID_LETTERS = 16


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


class Corrections:
    """The mask versions of all cases; their drafts are in ``drafts``."""

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
        self.drafts = Drafts(engine, cases, now)

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
        drawing: str = "",
    ) -> MaskVersion:
        """Keep a drawn mask as the newest version, and the case as corrected.

        Parameters
        ----------
        author
            The name that was typed; whoever has signed in signs with the account's own.
        packed
            Labels in RAS+, uint8, the first axis fastest, as gzip.
        base
            The version that was the newest when the drawing began.
        visitor, drawing
            Whose draft it was, which ends now, and no other drawing's.

        Raises
        ------
        ConflictError
            Somebody saved a version in the meantime. Nothing has changed.
        InputError
            No author, or labels that do not fit the case.
        NotFoundError
        """
        header = self._header(case_id)
        labels = from_ras(unpacked(packed, ras_shape(header)), header)
        key = draft_key(visitor, drawing)
        return self._keep(case_id, labels, header, base, author, comment, key)

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
        # With the sides that it was measured by: a place that was pointed at later is not its own.
        head = self._cases.get(case_id, number).report.get("head")
        return self._keep(case_id, labels, header, base, author, f"Back to {name}", "", head)

    def segment_here(
        self, case_id: str, segmentation: Segmentation, *, base: int, author: str, comment: str,
        side: str = "",
    ) -> MaskVersion:  # fmt: skip
        """Keep one side of a head, segmented where a person pointed, as a version of its own.

        The other side stays as it is in the version ``base``.

        Parameters
        ----------
        side
            ``left`` or ``right``; left out, the one that was pointed at last.

        Raises
        ------
        ConflictError, InputError, NotFoundError
            As `save`, `check_model`, and as `core.cases.side_labels.with_one_side`.
        """
        self.check_newest(case_id, base)
        self.check_model(case_id, segmentation.model.sha256, segmentation.model.version)
        head, head_before = segmentation.head, self._cases.get(case_id).report.get("head")
        if head is None or not head_before:
            raise InputError("This case is a crop, not a head", code="no_sides")
        made, known = head.as_dict(), head_before["sides"]
        side = side or _pointed_last(made["sides"], known)
        header = self._header(case_id)
        before = to_ras(nifti.read_mask(self._cases.mask_file(case_id, base)), header)
        labels = with_one_side(
            before, segmentation.labels, ras_affine(header), side, centres_of(head_before),
            centres_mm(made["sides"]),
        )  # fmt: skip
        now = known | {side: made["sides"][side]}
        made["sides"] = {name: now[name] for name in SIDES if name in now}
        return self._keep(
            case_id, from_ras(labels, header), header, base, author, comment, "", made
        )

    def check_newest(self, case_id: str, base: int) -> None:
        """Whether a version is still the newest: asked before work that would be in vain.

        Raises
        ------
        ConflictError, NotFoundError
            As `save`.
        """
        newest = self._cases.get(case_id).mask_version
        if newest != base:
            version = next((v for v in self.versions(case_id) if v.number == newest), None)
            raise _newer(version.author, newest, version.created_at) if version else _gone()

    def check_model(self, case_id: str, sha256: str, version: str) -> None:
        """Whether a model is the one that segmented a case: asked before a side is done anew.

        A case's record names one model, and what is expected of its masks is that model's.

        Parameters
        ----------
        sha256, version
            Of the model.

        Raises
        ------
        ConflictError
            It is another. Nothing has changed.
        NotFoundError
        """
        known = self._cases.get(case_id).report["model"]
        if known.get("sha256") != sha256:
            raise ConflictError(
                f"This case was segmented by model version {known['version']}, and version "
                f"{version} serves",
                "Nothing was changed: one case has one model. Segment the scan again as a new "
                "case and point there, or draw this side by hand.",
                code="other_model",
            )

    def check_is_of(self, case_id: str, named_case_id: str, grid: str | None = None) -> None:
        """Whether what a browser sends was drawn on this case, on its grid.

        Parameters
        ----------
        named_case_id, grid
            The case that it was drawn on, and that case's `grid` as the browser had it; None
            where no voxels are sent.

        Raises
        ------
        ConflictError
            It is another's. Nothing has changed.
        NotFoundError
        """
        if named_case_id != case_id:
            mismatch = f"This was drawn on the case {clean_text(named_case_id)}, not on {case_id}"
        elif grid is not None and grid != self.grid(case_id):
            mismatch = "This was drawn on another grid of voxels than this case has"
        else:
            return
        raise ConflictError(
            mismatch,
            "Nothing was saved or overwritten. Reload the page and open the case that you drew "
            "on: its draft is there.",
            code="other_case",
        )

    def grid(self, case_id: str) -> str:
        """A fingerprint of a case's voxels: of the model's mask, header included.

        The model's mask never changes, so this does not either.

        Raises
        ------
        NotFoundError
        """
        mask = self._cases.mask_file(case_id, MODEL_MASK)
        return hashlib.sha256(mask).hexdigest()[:_GRID_LETTERS]

    def voxel_count(self, case_id: str) -> int:
        """How many voxels a case has.

        Raises
        ------
        NotFoundError
        """
        return math.prod(self._header(case_id).shape)

    def _keep(
        self, case_id: str, labels: NDArray[np.uint8], header: Header, base: int, author: str,
        comment: str, visitor: str, head: dict[str, Any] | None = None,
    ) -> MaskVersion:  # fmt: skip
        self._cases.acts.admit(case_id, "correct")
        author = clean_text(self._cases.guard.signature(author))
        if not author:
            raise InputError(
                "A version is signed", "Type your name in the field Your name.", code="no_author"
            )
        labels = np.ascontiguousarray(labels)
        model = nifti.read_mask(self._storage.read(mask_key(case_id, MODEL_MASK)))
        earlier = (
            nifti.read_mask(self._cases.mask_file(case_id, number)) for number in range(base, 0, -1)
        )
        report = report_of_mask(
            labels, model, header, self._cases.get(case_id).report, head, earlier
        )
        corrected = not np.array_equal(labels, model)
        version = MaskVersion(
            base + 1, self._timestamp(), author, clean_text(comment, limits.MAX_COMMENT_CHARS),
            difference(labels, model, report["measures"]["voxel_mm3"]),
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
            **list_words(report),
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
            self._cases.acts.update_record(
                case_id, edit, lambda connection: drop_one(connection, case_id, visitor),
                act="correction", note=f"mask version {version.number}",
            )  # fmt: skip
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

    def _header(self, case_id: str) -> Header:
        return nifti.header_of(self._cases.mask_file(case_id, MODEL_MASK))

    def _timestamp(self) -> str:
        return self._now().isoformat(timespec="milliseconds")


def _check_newest(record: Record, base: int) -> None:
    newest = record["mask_version"]
    if record["deleted_at"] is not None:
        raise unknown_case()
    if newest == base:
        return
    mask = next((m for m in record["masks"] if m["number"] == newest), None)
    raise _newer(mask["author"], newest, mask["created_at"]) if mask else _gone()


def _newer(author: str, newest: int, created_at: str) -> NewerVersionError:
    return NewerVersionError(
        f"{author} saved version {newest} at {created_at[11:16]} UTC, after you had begun",
        "Nothing was overwritten, and your drawing is kept as a draft. Compare it with the "
        "newest version, then save yours after it or discard it.",
        newest=newest,
    )


def _gone() -> ConflictError:
    return ConflictError("This case has no such version any more", "Reload the page.")


def _pointed_last(made: dict[str, Any], before: dict[str, Any]) -> str:
    """The side that a person pointed at, and had not pointed at there before."""
    pointed = [name for name, side in made.items() if side["pointed"]]
    anew = [n for n in pointed if n not in before or before[n]["found_mm"] != made[n]["found_mm"]]
    if not pointed:
        raise ValueError("a mask of which no side was pointed at")
    return (anew or pointed)[0]
