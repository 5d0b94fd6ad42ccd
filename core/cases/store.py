"""The store of cases: kept until they are deleted, and some days longer."""

import gzip
import json
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, Row, and_, select

from core import limits
from core.cases.acts import Acts
from core.cases.caretaker import Caretaker
from core.cases.case import (
    LETTERS,
    MODEL_MASK,
    REVIEW_STATES,
    Case,
    CaseImages,
    Review,
    clean_text,
    doubts_of,
    patient_text,
    report_now,
)
from core.cases.lists import CaseLists, not_deleted
from core.cases.origins import Origins
from core.cases.pseudonyms import pseudonym_here
from core.cases.records import (
    IMAGE,
    MASK,
    Record,
    folder_of,
    mask_key,
    new_record,
    report_of,
    unknown_case,
)
from core.cases.side_labels import sides_file
from core.errors import (
    ChangedError,
    ConflictError,
    ForbiddenError,
    InputError,
    NewerVersionError,
    NotFoundError,
    StorageError,
)
from core.image import nifti
from core.image.header import LARGEST_HEADER_BYTES, parse_header, stem_of
from core.image.volume import ras_affine, to_ras
from core.image.voxels import with_background
from core.people.roles import groups_text
from core.pipeline import Analysis
from core.state.database import reading
from core.state.failures import missing_file
from core.state.private import clear
from core.state.storage import Storage
from core.state.tables import CASES, MASK_VERSIONS

if TYPE_CHECKING:
    from core.image.dicom.origin import Origin

_ID_LENGTH = 6


class Cases(CaseLists):
    """The cases of one installation: rows in the database, files in the storage."""

    def __init__(
        self,
        engine: Engine,
        storage: Storage,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        origins: Origins | None = None,  # without it no way back to a DICOM study is kept
    ) -> None:
        super().__init__(engine)
        self._storage = storage
        self._now = now
        self._origins = origins
        self.acts = Acts(engine, storage)
        self.caretaker = Caretaker(self.acts, now)

    def add(
        self, analysis: Analysis, name: str, patient: str = "", owners: str | None = None
    ) -> Case:
        """Keep an analysis, under an id that no other case has.

        Parameters
        ----------
        name
            The user's name for it. Of a DICOM series it is left out where it names the patient.
        patient
            Pseudonym of its patient; by default that of the DICOM series, if there is one.
        owners
            Of another case with this scan (`Case.owners`); by default the groups of whoever acts.

        Raises
        ------
        StorageError
            It could not be kept. Nothing of it is left, and no other case was touched.
        AccessError, ForbiddenError
            Whoever acts may keep no cases, or would not see this one.
        """
        who = self.guard.require("add")
        if who.role == "reader" and not who.groups:
            raise ForbiddenError(
                "You are in no group, so that nobody could see the case",
                "Ask an administrator for a group.",
                code="no_group",
            )
        created_at = self._timestamp()
        image = analysis.scan_file()
        origins, origin = self._origins, analysis.origin
        if origins and origin:
            name = "" if origin.is_named_in(name) else name
            patient = patient or pseudonym_here(origin, origins, self._engine)
        for _ in range(limits.MAX_ID_TRIES):
            case_id = "HV-" + "".join(secrets.choice(LETTERS) for _ in range(_ID_LENGTH))
            identity = {"case_id": case_id, "created_at": created_at}
            report = json.loads(json.dumps(identity | analysis.as_dict()))
            record = new_record(_clean_name(name) or case_id, report)
            record |= {"features": analysis.features, "patient": patient_text(patient)}
            record["owners"] = groups_text(who.groups) if owners is None else owners
            with reading(self._engine) as connection:
                if connection.scalar(select(CASES.c.id).where(CASES.c.id == case_id)):
                    continue
            try:
                apart = origins.sealed(case_id, origin) if origins and origin else {}
                self.acts.create(record, {IMAGE: image, MASK: analysis.mask_file}, apart)
            except ChangedError:  # another database on this bucket has it
                continue
            return Case(
                case_id, record["name"], created_at, report, patient=record["patient"],
                owners=record["owners"],
            )  # fmt: skip
        raise StorageError("No free case id was found", "Try again.", code="no_case_id")

    def import_from_storage(self) -> int:
        """Make the database agree with the storage; see `Caretaker.import_from_storage`."""
        return self.caretaker.import_from_storage()

    def purge_expired(self) -> int:
        """Remove for good the cases deleted long ago, and folders of cases that have no record.

        Returns
        -------
        int
            How many cases and stray folders were removed.
        """
        return self.caretaker.purge_deleted() + self.caretaker.purge_strays()

    def get(self, case_id: str, version: int | None = None) -> Case:
        """One case, with the report on the current mask, or on the mask version of a number.

        Raises
        ------
        NotFoundError
            It does not exist, is deleted, or is not one that whoever acts sees.
        AccessError, ForbiddenError
        """
        self.guard.require("see")
        number = CASES.c.mask_version if version is None else version
        drawn = and_(MASK_VERSIONS.c.case_id == CASES.c.id, MASK_VERSIONS.c.number == number)
        query = select(CASES, MASK_VERSIONS.c.author, MASK_VERSIONS.c.content)
        query = query.outerjoin(MASK_VERSIONS, drawn).where(CASES.c.id == case_id, not_deleted())
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None and not self.caretaker.progress.finished:
            self.acts.refresh(case_id)  # it was not imported yet
            with reading(self._engine) as connection:
                row = connection.execute(query).one_or_none()
        if row is None or not self.guard.sees(row.owners):
            raise unknown_case()
        return _case(row)

    def mask_file(self, case_id: str, version: int | None = None) -> bytes:
        """A mask as it was written, ``.nii.gz``: the current one, or the version of a number."""
        case = self.get(case_id)
        number = case.mask_version if version is None else version
        token = ""
        if number != MODEL_MASK:
            query = select(MASK_VERSIONS.c.token).where(
                MASK_VERSIONS.c.case_id == case_id, MASK_VERSIONS.c.number == number
            )
            with reading(self._engine) as connection:
                stored_token = connection.scalar(query)
            if stored_token is None:
                raise missing_file()
            token = stored_token
        return self._storage.read(mask_key(case.id, number, token))

    def images(self, case_id: str, version: int | None = None) -> CaseImages:
        """Scan and labels of a case, for pictures and surfaces."""
        mask = self.mask_file(case_id, version)
        raw = gzip.decompress(self._storage.read(f"{folder_of(case_id)}/{IMAGE}"))
        header = parse_header(raw[:LARGEST_HEADER_BYTES])
        stored = nifti.stored_of(raw, header)
        labels = to_ras(nifti.read_mask(mask), header)
        turned = stored.with_stored(to_ras(stored.stored, header))
        return CaseImages(with_background(turned), labels, ras_affine(header))

    def origin(self, case_id: str) -> "Origin | None":
        """The way back to a case's DICOM study; None if it came as NIfTI.

        Raises
        ------
        NotFoundError, StorageError
        """
        case = self.get(case_id)
        return self._origins.load(case.id) if self._origins else None

    def sides_file(self, case_id: str, version: int | None = None) -> bytes:
        """A head's newest mask, or its version of a number, with separate values for each side.

        Raises
        ------
        NotFoundError
            It is a crop.
        """
        case = self.get(case_id, version)
        head = case.report.get("head")
        if not head:
            raise NotFoundError("The side of a crop is not known")
        mask = self.mask_file(case_id, case.mask_version if version is None else version)
        header = nifti.header_of(mask)
        labels = to_ras(nifti.read_mask(mask), header)
        return sides_file(labels, ras_affine(header), header, head)

    def image_file(self, case_id: str) -> bytes:
        """The scan as ``.nii.gz``, on the file's own grid, without free text."""
        return self._storage.read(f"{folder_of(self.get(case_id).id)}/{IMAGE}")

    def review(
        self, case_id: str, state: str, reviewer: str, reason: str = "", seen: int | None = None,
        *, despite_doubts: bool = False, seen_review: str | None = None,
    ) -> None:  # fmt: skip
        """Record a person's review of a case's mask.

        Parameters
        ----------
        reviewer
            The name that was typed; whoever has signed in signs with the account's own.
        seen
            The version of the mask that was looked at; by default the current one.
        despite_doubts
            Accept masks even if they are unreliable; the doubts become the review's reason.
        seen_review
            When the review that was looked at was made, empty for none; by default whichever it is.

        Raises
        ------
        ConflictError
            Another version was saved meanwhile, which nobody has looked at; or another review was;
            or the masks are unreliable and ``despite_doubts`` is not set.
        InputError
            A rejection has no reason.
        NotFoundError
        """
        if state not in REVIEW_STATES:
            raise ValueError(f"review {state!r}, expected one of {REVIEW_STATES}")
        self.acts.admit(case_id, "review")
        reviewer = self.guard.signature(reviewer)
        reviewer, reason = clean_text(reviewer), clean_text(reason, limits.MAX_COMMENT_CHARS)
        if state == "rejected" and not reason:
            raise InputError("The reason is empty", "Say what is wrong.", code="no_reason")
        at = None if state == "new" else self._timestamp()

        def also(record: Record) -> dict[str, Any]:
            is_other = seen_review not in (None, record["reviewed_at"] or "")
            if is_other and (record["review"], record["reviewer"]) != (state, reviewer):
                what = record["review"] if record["review"] != "new" else "not reviewed any more"
                by = f" by {record['reviewer']}" if record["reviewer"] else ""
                why = f": {record['reason']}" if record["reason"] else ""
                raise ConflictError(
                    f"{case_id} is {what}{by} since you looked{why}",
                    "Decide again if you still want to.",
                    code="reviewed_meanwhile",
                )
            doubts = _doubts(record) if state == "accepted" else []
            if doubts and not despite_doubts:
                raise ConflictError(
                    f"{case_id} was not accepted: {'; '.join(doubts)}",
                    "Look at the masks, and accept them all the same if they are right.",
                    code="unreliable",
                )
            words = f"Accepted all the same: {'; '.join(doubts)}." if doubts else ""
            return {"reason": reason or clean_text(words, limits.MAX_COMMENT_CHARS)}

        values: dict[str, Any] = {"review": state, "reviewer": reviewer, "reviewed_at": at}
        self._change(case_id, "review", also, state, seen=seen, **values)

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
        self.acts.admit(case_id, "describe")
        self._change(case_id, "edit", note="name", name=name)

    def set_patient(self, case_id: str, patient: str) -> None:
        """Say whose scan a case is, by a pseudonym; an empty one takes it away.

        Raises
        ------
        NotFoundError
        """
        self.acts.admit(case_id, "describe")
        self._change(case_id, "edit", note="patient", patient=patient_text(patient))

    def set_owners(self, case_id: str, groups: Iterable[str]) -> None:
        """Say which groups see a case.

        Raises
        ------
        InputError
            A group's name is none.
        NotFoundError, AccessError, ForbiddenError
        """
        self.acts.admit(case_id, "assign")
        self._change(case_id, "edit", note="groups", owners=groups_text(groups))

    def set_patient_owners(self, patient: str, groups: Iterable[str]) -> int:
        """Say which groups see a patient: all cases of this pseudonym; returns how many.

        Raises
        ------
        InputError, AccessError, ForbiddenError
        """
        self.guard.require("assign")
        owned = groups_text(groups)
        query = select(CASES.c.id).where(clear(CASES.c.patient) == patient, not_deleted())
        with reading(self._engine) as connection:
            case_ids = connection.scalars(query).all()
        for case_id in case_ids:
            self._change(case_id, "edit", note="groups", owners=owned)
        return len(case_ids)

    def delete(self, case_id: str) -> None:
        """Take a case off the list; it can be restored for `limits.TRASH_DAYS` days."""
        self.acts.admit(case_id, "delete")
        self._change(case_id, "delete", deleted_at=self._timestamp())

    def restore(self, case_id: str) -> None:
        """Undo `delete`."""
        self.acts.admit(case_id, "delete")
        self._change(case_id, "restore", deleted=True, deleted_at=None)

    def _change(
        self, case_id: str, act: str, also: Callable[[Record], dict[str, Any]] = lambda record: {},
        note: str = "", *, deleted: bool = False, seen: int | None = None, **values: Any,
    ) -> None:  # fmt: skip
        def edit(record: Record) -> dict[str, Any]:
            if (record["deleted_at"] is not None) != deleted:
                raise unknown_case()
            if seen is not None and record["mask_version"] != seen:
                raise NewerVersionError(
                    f"{case_id} was not reviewed: mask version {record['mask_version']} was saved "
                    "meanwhile",
                    "Look at it first.",
                    newest=record["mask_version"],
                )
            return values | also(record)

        self.acts.update_record(case_id, edit, act=act, note=note)

    def _timestamp(self, offset: timedelta = timedelta(0)) -> str:
        return (self._now() + offset).isoformat(timespec="milliseconds")


def _case(row: Row[Any]) -> Case:
    report = report_now(row.report, row.content)
    review = Review(row.review, row.reviewer, row.reviewed_at, row.reason)
    return Case(
        row.id, row.name, row.created_at, report, row.mask_version, review, row.patient,
        row.scan_date, row.sex, row.age_years, row.owners,
    )  # fmt: skip


def _doubts(record: Record) -> list[str]:
    """`doubts_of` the current mask."""
    return doubts_of(report_of(record))


def _clean_name(name: str) -> str:
    """Without control characters, without a NIfTI suffix, not too long."""
    return clean_text(stem_of(name))
