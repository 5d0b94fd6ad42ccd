"""The PACS by DICOMweb: studies found (QIDO), a series fetched (WADO), results sent (STOW)."""

import io
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from core import limits
from core.errors import InputError, PacsError
from core.pacs.failures import in_words, refused
from core.pacs.wire import Wire, gone
from core.settings import Settings

_DATE = re.compile(r"\d{8}(-\d{8})?", re.ASCII)
_UID = re.compile(r"[0-9.]{1,64}", re.ASCII)
# Within a name. Orthanc takes them for letters when they are escaped, as they must be.
_SIGNS = re.compile(r"[\^ ]")
_RETRY = "Nothing was kept. Check that the PACS runs, then try again."
_RETRY_SEND = (
    "What arrived is not known. Check that the PACS runs, then send again: objects that are there "
    "already are not doubled."
)


@dataclass(frozen=True)
class Study:
    """One study as the PACS lists it. ``date`` is YYYYMMDD; what is not known is ""."""

    uid: str
    date: str
    description: str
    patient_id: str
    patient_name: str
    accession: str


@dataclass(frozen=True)
class Series:
    """One series as the PACS lists it; ``instances`` is 0 where the PACS does not say."""

    uid: str
    study_uid: str
    modality: str
    description: str
    number: str
    instances: int


@dataclass(frozen=True)
class Progress:
    """How far a series has come: files so far, files in all, and bytes so far."""

    files: int
    of: int
    bytes: int


class Pacs:
    """The image archive that the settings name.

    Parameters
    ----------
    url
        Root of its DICOMweb service.
    user, password
        For HTTP's basic authentication; "" without.
    ca
        File of the certificate authority; "" takes the well-known ones.
    most_bytes
        What a series may have.
    """

    def __init__(
        self, url: str, user: str = "", password: str = "", ca: str = "",
        most_bytes: int = limits.PACS_SERIES_BYTES,
    ) -> None:  # fmt: skip
        session = requests.Session()
        # Else REQUESTS_CA_BUNDLE and .netrc win over the settings.
        session.trust_env = False
        session.verify = ca or True
        if user:
            session.auth = (user, password)
        self._wire = Wire(url, session)
        self._most_bytes = most_bytes

    @classmethod
    def of(cls, settings: Settings) -> "Pacs | None":
        """The PACS of the settings; None where none is set."""
        if not settings.pacs_url:
            return None
        return cls(
            settings.pacs_url, settings.pacs_user, settings.pacs_password, settings.pacs_ca
        )  # fmt: skip

    def studies(
        self, *, patient_id: str = "", name: str = "", date: str = "", accession: str = ""
    ) -> list[Study]:
        """Studies that fit, the newest first.

        Parameters
        ----------
        name
            Of the patient, family name first; * stands for anything.
        date
            YYYYMMDD, or YYYYMMDD-YYYYMMDD.

        Raises
        ------
        InputError
            Nothing to search for, or the date is none.
        PacsError
        """
        wanted = {
            "PatientID": patient_id.strip(), "PatientName": _SIGNS.sub("?", name.strip()),
            "StudyDate": date.strip(), "AccessionNumber": accession.strip(),
        }  # fmt: skip
        filters = {key: value for key, value in wanted.items() if value}
        if not filters:
            raise InputError(
                "Nothing to search for", "Give a patient's id or name, a date or an accession.",
                code="bad_request",
            )  # fmt: skip
        if date.strip() and not _DATE.fullmatch(date.strip()):
            raise InputError(
                "The date cannot be read", "Write 20261130, or 20261101-20261130.",
                code="bad_request",
            )  # fmt: skip
        with in_words(_RETRY):
            answer = self._wire.search_for_studies(
                search_filters=filters, limit=limits.PACS_STUDIES, fields=["StudyDescription"]
            )
            studies = [
                Study(
                    _text(d, "StudyInstanceUID"), _text(d, "StudyDate"),
                    _text(d, "StudyDescription"), _text(d, "PatientID"), _text(d, "PatientName"),
                    _text(d, "AccessionNumber"),
                )
                for d in _datasets(answer)
            ]  # fmt: skip
        return sorted(studies[: limits.PACS_STUDIES], key=lambda study: study.date, reverse=True)

    def series(self, study_uid: str) -> list[Series]:
        """The series of a study, by number.

        Raises
        ------
        PacsError
        """
        with in_words(_RETRY):
            answer = self._wire.search_for_series(
                _uid(study_uid), limit=limits.PACS_SERIES,
                fields=["SeriesDescription", "NumberOfSeriesRelatedInstances"],
            )  # fmt: skip
            every = [
                Series(
                    _text(d, "SeriesInstanceUID"), study_uid, _text(d, "Modality"),
                    _text(d, "SeriesDescription"), _text(d, "SeriesNumber"),
                    int(_text(d, "NumberOfSeriesRelatedInstances") or 0),
                )
                for d in _datasets(answer)
            ]  # fmt: skip
        return sorted(every, key=lambda one: (len(one.number), one.number))

    def retrieve(
        self,
        series: Series,
        parent: Path,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        is_gone: Callable[[], bool] = lambda: False,
    ) -> Path:
        """Fetch all files of a series into a new folder below ``parent``; the caller removes it.

        Raises
        ------
        PacsError
            Also where a file is missing at the end. No folder is left.
        GoneError
            ``is_gone`` said so. No folder is left.
        StorageError
            The disk fails. No folder is left.
        """
        with in_words(_RETRY):
            folder = Path(tempfile.mkdtemp(prefix="pacs-", dir=parent))
        try:
            with in_words(_RETRY):
                self._fill(folder, series, on_progress, is_gone)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder

    def _fill(
        self, folder: Path, series: Series, on_progress: Callable[[Progress], None],
        is_gone: Callable[[], bool],
    ) -> None:  # fmt: skip
        study_uid, series_uid = _uid(series.study_uid), _uid(series.uid)
        expected = self._instances(study_uid, series_uid)
        if not expected:
            raise refused(404)
        if len(expected) > limits.PACS_FILES:
            raise PacsError(
                f"The series has more than {limits.PACS_FILES:,} files",
                "Choose a series of one head.", code="pacs_too_large",
            )  # fmt: skip
        arrived: set[str] = set()

        def tell(so_far: int) -> None:
            if is_gone():
                raise gone()
            on_progress(Progress(len(arrived), len(expected), so_far))

        path = f"studies/{study_uid}/series/{series_uid}"
        for number, part in enumerate(self._wire.parts(path, self._most_bytes, tell)):
            file = folder / f"{number:05d}.dcm"
            file.write_bytes(part)
            # The head of the file only: the rest may be deflated.
            meta = read_file_meta_info(file)
            uid = str(meta.MediaStorageSOPInstanceUID)
            if uid not in expected or uid in arrived or not _is_of(file, meta, series):
                raise PacsError(
                    "The PACS sent a file that is not of this series, or twice",
                    "Try again; if it stays, the series is damaged in the PACS.",
                    code="pacs_answer",
                )
            arrived.add(uid)
        if arrived != expected:
            raise PacsError(
                f"Of {len(expected)} files of the series {len(arrived)} came", _RETRY,
                code="pacs_incomplete",
            )  # fmt: skip

    def _instances(self, study_uid: str, series_uid: str) -> set[str]:
        listed = self._wire.search_for_instances(study_uid, series_uid, limit=limits.PACS_FILES + 1)
        return {_text(d, "SOPInstanceUID") for d in _datasets(listed)}

    def send(self, files: Sequence[bytes], on_sent: Callable[[], object] = lambda: None) -> None:
        """Send DICOM files, then see that the PACS lists each and gives the last one back.

        Parameters
        ----------
        files
        on_sent
            Called when the PACS has taken them, before it is asked for them.

        Raises
        ------
        InputError
            One of them is not DICOM. Nothing was sent.
        PacsError
            They are not all there, or that is not known; sending them again doubles nothing.
        """
        try:
            sent = [dcmread(io.BytesIO(file), stop_before_pixels=True) for file in files]
            for one in sent:
                _ = one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID
        except (InvalidDicomError, AttributeError, ValueError, EOFError) as error:
            raise InputError(
                "What should be sent is not DICOM", "Send files of DICOM alone.", code="bad_input"
            ) from error
        with in_words(_RETRY_SEND):
            answer = self._wire.post(list(files))
            failed = len(answer.get("FailedSOPSequence") or [])
            if failed:
                raise PacsError(
                    f"The PACS refused {failed} of {len(files)} objects",
                    "Its log says why: often it does not keep objects of this kind.",
                    code="pacs_refused",
                )
        on_sent()
        with in_words(_RETRY_SEND):
            listed: dict[str, set[str]] = {}
            for one in sent:
                series_uid = str(one.SeriesInstanceUID)
                if series_uid not in listed:
                    listed[series_uid] = self._instances(str(one.StudyInstanceUID), series_uid)
            lost = [o for o in sent if str(o.SOPInstanceUID) not in listed[o.SeriesInstanceUID]]
            if lost or not self._gives_back(sent[-1], files[-1]):
                raise PacsError(
                    f"The PACS took {len(files)} objects and does not have "
                    f"{f'{len(lost)} of them' if lost else 'the last one as it was sent'}",
                    "Send them again; if it stays, the log of the PACS says why.",
                    code="pacs_lost",
                )

    def _gives_back(self, sent: Dataset, file: bytes) -> bool:
        path = (
            f"studies/{_uid(sent.StudyInstanceUID)}/series/{_uid(sent.SeriesInstanceUID)}"
            f"/instances/{_uid(sent.SOPInstanceUID)}"
        )
        most = len(file) + limits.MIB  # it may add to the header
        back = [dcmread(io.BytesIO(part)) for part in self._wire.parts(path, most, lambda n: None)]
        return len(back) == 1 and _content(back[0]) == _content(dcmread(io.BytesIO(file)))


def _is_of(file: Path, meta: Dataset, series: Series) -> bool:
    """Whether a file says that it is of a series; a deflated one is not asked."""
    if meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        return True
    tags = ["StudyInstanceUID", "SeriesInstanceUID"]
    head = dcmread(file, stop_before_pixels=True, specific_tags=list(tags))
    return [str(head.get(tag)) for tag in tags] == [series.study_uid, series.uid]


def _content(dataset: Dataset) -> tuple[str, str, bytes, bytes]:
    """What an archive never changes: identity, and pixels or document."""
    return (
        str(dataset.SOPClassUID), str(dataset.SOPInstanceUID),
        bytes(dataset.get("PixelData") or b""), bytes(dataset.get("EncapsulatedDocument") or b""),
    )  # fmt: skip


def _datasets(found: list[dict[str, Any]]) -> list[Dataset]:
    return [Dataset.from_json(one) for one in found]


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value)


def _uid(uid: str) -> str:
    """The UID itself; it becomes a part of an address."""
    if not _UID.fullmatch(uid):
        raise ValueError("not a UID")
    return uid
