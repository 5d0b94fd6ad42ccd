"""What the way back from a scan to its DICOM study needs: headers without pixels.

Only what `core.image.dicom.headers.OF_ORIGIN` names is taken over: no private attributes, and no
free text but the study's and the series' description.
"""

import contextlib
import io
import re
import struct
import unicodedata
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from core.image.dicom.headers import OF_ORIGIN, Frame

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_UID = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)
_MOST_UID_CHARS, _MOST_CHARS = 64, 1024
_MOST_SCANNER_CHARS = 64
_LENGTH = struct.Struct(">I")
# Headers of 10,000 slices; the largest enhanced image has less.
_MOST_BYTES = 64 * 2**20
_AGE = re.compile(r"(\d{3})([DWMY])", re.ASCII)
_DAYS = {"D": 1.0, "W": 7.0, "M": 30.4, "Y": 365.25}


@dataclass(frozen=True, eq=False)
class Origin:
    """The DICOM series that a scan came from.

    Attributes
    ----------
    headers : tuple of Dataset
        One a slice of the volume for a classic series, in the order of its slices; exactly one for
        an enhanced image. They hold names and ids.
    frames : tuple of int
        For each slice of the volume its frame's number in its header's instance, from 1.
    """

    headers: tuple[Dataset, ...]
    frames: tuple[int, ...]

    @property
    def patient_id(self) -> str:
        """The patient's id in the hospital; empty where it is missing."""
        return self._text("PatientID")

    @property
    def issuer(self) -> str:
        """Whose patient ids these are."""
        return self._text("IssuerOfPatientID")

    @property
    def patient_name(self) -> str:
        """As DICOM writes it, *Family^Given*."""
        return self._text("PatientName")

    @property
    def birth_date(self) -> str:
        """ISO 8601; empty where it is missing or no date."""
        return "-".join(_date(self._text("PatientBirthDate")))

    @property
    def study_uid(self) -> str:
        """StudyInstanceUID."""
        return self._text("StudyInstanceUID")

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID."""
        return self._text("SeriesInstanceUID")

    @property
    def series_description(self) -> str:
        """As the scanner names it."""
        return self._text("SeriesDescription")

    @property
    def study_date(self) -> str:
        """ISO 8601; empty where it is missing or no date."""
        return "-".join(_date(self._text("StudyDate")))

    @property
    def sex(self) -> str:
        """``F``, ``M``, ``O`` or empty."""
        sex = self._text("PatientSex").upper()
        return sex if sex in ("F", "M", "O") else ""

    @property
    def age_years(self) -> int | None:
        """Whole years at the study, of PatientAge or the date of birth; None where unknown."""
        age = _AGE.fullmatch(self._text("PatientAge").upper())
        if age:
            return int(int(age[1]) * _DAYS[age[2]] / _DAYS["Y"] + 1e-6)
        born, study = _date(self._text("PatientBirthDate")), _date(self._text("StudyDate"))
        if not born or not study:
            return None
        years = int(study[0]) - int(born[0]) - (study[1:] < born[1:])
        return years if 0 <= years < 150 else None

    @property
    def scanner(self) -> str:
        """Manufacturer and model, where neither names the patient; empty where they are missing."""
        words = f"{self._text('Manufacturer')} {self._text('ManufacturerModelName')}"
        plain = " ".join("".join(c if c.isprintable() else " " for c in words).split())
        return "" if self.is_named_in(plain) else plain[:_MOST_SCANNER_CHARS].strip()

    def about(self) -> dict[str, Any]:
        """What a case keeps of its study, which names nobody."""
        return {"date": self.study_date, "sex": self.sex, "age_years": self.age_years}

    def is_named_in(self, text: str) -> bool:
        """Whether a text, such as a file's name, holds a part of the patient's name or the id."""
        words = map(_letters, (*re.split(r"[\^=\s]+", self.patient_name), self.patient_id))
        return any(len(word) > 1 and word in _letters(text) for word in words)

    def to_bytes(self) -> bytes:
        """The origin as `from_bytes` reads it."""
        out = io.BytesIO()
        out.write(_LENGTH.pack(len(self.frames)))
        out.write(np.array(self.frames, ">u4").tobytes())
        for header in self.headers:
            one = io.BytesIO()
            pydicom.dcmwrite(one, header, enforce_file_format=True)
            out.write(_LENGTH.pack(one.tell()))
            out.write(one.getvalue())
        return zlib.compress(out.getvalue(), 6)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Origin":
        """Read what `to_bytes` wrote.

        Raises
        ------
        ValueError
            It is something else.
        """
        try:
            unpack = zlib.decompressobj()
            stream = io.BytesIO(unpack.decompress(data, _MOST_BYTES))
            if not unpack.eof:
                raise ValueError("too large, or cut off")
            (count,) = _LENGTH.unpack(stream.read(_LENGTH.size))
            frames = tuple(int(n) for n in np.frombuffer(stream.read(4 * count), ">u4"))
            headers = []
            while length := stream.read(_LENGTH.size):
                part = stream.read(*_LENGTH.unpack(length))
                headers.append(pydicom.dcmread(io.BytesIO(part)))
        except Exception as error:  # pydicom meets bytes of others with many kinds of exception
            raise ValueError("not the origin of a scan") from error
        if len(frames) != count or len(headers) not in (1, count):
            raise ValueError("not the origin of a scan")
        return cls(tuple(headers), frames)

    def _text(self, name: str) -> str:
        return str(self.headers[0].get(name) or "").strip()


def origin_of(frames: list[Frame]) -> Origin | None:
    """The origin of a volume.

    Parameters
    ----------
    frames
        In the order of the volume's slices, as `core.image.dicom.geometry.arranged` gives them.

    Returns
    -------
    Origin or None
        None if the files do not say which study and which instances they are, or are enhanced
        images of which there are several.
    """
    instances = list({id(frame.header): frame.header for frame in frames}.values())
    uids = {str(header.values.get("SOPInstanceUID")) for header in instances}
    if len(uids) < len(instances) or len(instances) not in (1, len(frames)):
        return None
    kinds = {str(header.values.get("SOPClassUID")) for header in instances}
    if len(instances) > 1 and kinds != {MRImageStorage}:
        return None
    headers = [_kept(header.values) for header in instances]
    if any(not _names(header) for header in headers):
        return None
    first, last = frames[0].position, frames[-1].position
    step_mm = float(np.linalg.norm(last - first)) / (len(frames) - 1)
    orientation = _item(ImageOrientationPatient=_numbers(np.r_[frames[0].row, frames[0].column]))
    measures = _item(
        PixelSpacing=_numbers(frames[0].spacing), SliceThickness=_numbers([step_mm])[0],
    )  # fmt: skip
    if len(instances) == len(frames):
        for header, frame in zip(headers, frames, strict=True):
            header.update(orientation)
            header.update(measures)
            header.ImagePositionPatient = _numbers(frame.position)
        return Origin(tuple(headers), (1,) * len(frames))
    header = headers[0]
    header.NumberOfFrames = len(frames)
    header.SharedFunctionalGroupsSequence = [
        _item(PlaneOrientationSequence=[orientation], PixelMeasuresSequence=[measures])
    ]
    places = sorted((frame.index, k) for k, frame in enumerate(frames))
    header.PerFrameFunctionalGroupsSequence = [
        _item(
            PlanePositionSequence=[_item(ImagePositionPatient=_numbers(frames[k].position))],
            FrameContentSequence=[_item(StackID="1", InStackPositionNumber=k + 1)],
        )
        for _, k in places
    ]
    return Origin((header,), tuple(frame.index + 1 for frame in frames))


def _letters(text: str) -> str:
    """Letters and digits alone, without case and accents, however they are composed."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(letter for letter in plain if letter.isalnum())


def _kept(values: Dataset) -> Dataset:
    """A header with what is kept of a file's, each value as its kind may be."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SpecificCharacterSet = "ISO_IR 192"
    header.Rows, header.Columns = int(values.Rows), int(values.Columns)
    for name in (*_UIDS, "FrameOfReferenceUID"):
        uid = str(values.get(name) or "").strip("\0 ")
        if _UID.fullmatch(uid) and len(uid) <= _MOST_UID_CHARS:
            setattr(header, name, uid)
    for name in OF_ORIGIN:
        with contextlib.suppress(Exception):  # values are read when they are asked for
            value = _plain(values.get(name))
            if value is not None:
                setattr(header, name, value)
    return header


def _plain(value: Any) -> Any:
    """A value without what no attribute may hold: control characters, several values, too much."""
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    if value is None or isinstance(value, int | float):
        return value
    text = "".join(letter for letter in str(value) if letter.isprintable() and letter != "\\")
    return text if len(text) <= _MOST_CHARS else None


def _names(header: Dataset) -> bool:
    return all(name in header for name in _UIDS)


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item


def _numbers(values: Iterable[float]) -> list[str]:
    """Decimal strings of at most 16 characters."""
    return [f"{round(float(value), 8) + 0.0:.10g}" for value in values]


def _date(text: str) -> tuple[str, ...]:
    """Year, month and day of a DICOM date; empty if it is none."""
    parts = re.fullmatch(r"(\d{4})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", text, re.ASCII)
    return parts.groups() if parts else ()
