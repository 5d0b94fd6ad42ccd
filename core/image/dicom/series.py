"""The series of an export, and what each one is."""

import re
from dataclasses import dataclass

from pydicom.uid import EnhancedMRImageStorage, MRImageStorage

from core.errors import InputError
from core.image.dicom.headers import Header, group_value

_ECHO_PLANAR = "echo-planar images (fMRI, diffusion or perfusion)"
# Words of a description, and what the series then is; the first two also of one that names a T1.
_DESCRIPTIONS = (
    (r"locali[sz]er|scout|survey|3.?plane|aahead", "a localizer"),
    (r"field.?map|fieldmap|gre_field|\bb0\b|shim", "a field map"),
    (r"dti|dwi|diff|trace|\badc\b|\bfa\b|tensor", "diffusion images"),
    (r"bold|fmri|\brest|perf|\basl\b|dsc|dce|\bep2d", _ECHO_PLANAR),
    (r"flair", "FLAIR images"),
    (r"(?<![a-z0-9])t2|haste|space_t2|ciss|fiesta", "T2-weighted images"),
    (r"swi|swan|\bmip\b|mip_|tof|angio|\bmra\b|\bpd\b|proton", "another contrast than T1"),
    (r"phase|\bpha\b", "phase images"),
)
_T1 = re.compile(
    r"(?<![a-z0-9])t1|mp.?rage|mp2rage|bravo|spgr|fspgr|\btfe\b|vibe|tfl3d|\birspgr|gre_fsp", re.I
)
# Echo time (ms) above which an image is not T1-weighted.
_LONGEST_ECHO_MS = 35.0
# Largest distance between slices (mm) of what counts as a 3-D acquisition where no one says so.
_THIN_MM = 2.0


@dataclass(frozen=True, eq=False)
class Series:
    """One series.

    Attributes
    ----------
    uid : str
    description : str
        As the scanner names it.
    headers : tuple of Header
    why_not : str
        What it is instead of a T1-weighted volume; empty if it may be one.
    rank : tuple of int
        The larger, the likelier it is what is to be segmented: thin, as acquired, named T1, without
        a contrast agent, and the number of slices.
    """

    uid: str
    description: str
    headers: tuple[Header, ...]
    why_not: str
    rank: tuple[int, ...]

    @property
    def has_contrast_agent(self) -> bool:
        """Whether a contrast agent was given, as far as the header says."""
        return bool(self.headers[0].values.get("ContrastBolusAgent"))

    @property
    def slices(self) -> int:
        """How many images there are."""
        return _slices(self.headers)

    @property
    def in_words(self) -> str:
        """Such as *t1_mprage_sag: 176 slices (1.2.3)*."""
        what = f"{self.slices} slices{f', {self.why_not}' if self.why_not else ''}"
        return f"{self.description or 'without a description'}: {what} ({self.uid})"


def series_of(headers: list[Header]) -> list[Series]:
    """Group files into series, the likeliest first.

    Raises
    ------
    InputError
        One series has images of two patients.
    """
    groups: dict[str, list[Header]] = {}
    for header in headers:
        groups.setdefault(str(header.values.get("SeriesInstanceUID") or ""), []).append(header)
    return sorted((_series(uid, tuple(own)) for uid, own in groups.items()), key=_likeliest)


def _series(uid: str, headers: tuple[Header, ...]) -> Series:
    first = headers[0].values
    if len({(h.values.get("PatientID"), h.values.get("StudyInstanceUID")) for h in headers}) > 1:
        raise InputError(
            "One series has images of two patients, or of two studies",
            "Export it again: nothing of it is used.",
            code="dicom_two_patients",
        )
    description = str(first.get("SeriesDescription") or first.get("ProtocolName") or "")
    why_not = next((why for h in (headers[0], headers[-1]) if (why := _why_not(h))), "")
    of_volume = str(first.get("MRAcquisitionType") or "").upper() == "3D"
    is_original = "DERIVED" not in _image_type(headers[0])
    names_t1 = bool(_T1.search(_named(headers[0])))
    is_thin = of_volume or _thickness_mm(headers[0]) <= _THIN_MM
    return Series(
        uid, description, headers, why_not,
        (is_thin, is_original, names_t1, not first.get("ContrastBolusAgent"),
         _slices(headers)),
    )  # fmt: skip


def _slices(headers: tuple[Header, ...]) -> int:
    return sum(int(header.values.get("NumberOfFrames") or 1) for header in headers)


def _why_not(header: Header) -> str:
    values, kinds = header.values, _image_type(header)
    modality = str(values.get("Modality") or "")
    storage = values.get("SOPClassUID")
    if modality != "MR":
        return f"images of the modality {modality[:16] or '(none)'}"
    if storage not in (MRImageStorage, EnhancedMRImageStorage):
        return "no MR images (a secondary capture, a report or the like)"
    if int(values.get("SamplesPerPixel") or 1) != 1:
        return "pictures in colour"
    if "MOSAIC" in kinds:
        return "a Siemens mosaic (all slices in one picture)"
    if "VFRAME" in kinds:
        return "a mosaic (all slices in one picture)"
    if kinds & {"LOCALIZER", "SCOUT"}:
        return "a localizer"
    if kinds & {"P", "PHASE", "PHASE MAP", "R", "I", "REAL", "IMAGINARY"} and not kinds & {"M"}:
        return "phase, real or imaginary images"
    if kinds & {"PROJECTION IMAGE", "MIP", "MNIP", "ADC", "FA", "TRACEW", "DIFFUSION"}:
        return "images computed from others"
    named = _named(header)
    for pattern, what in _DESCRIPTIONS[: 2 if _T1.search(named) else None]:
        if re.search(pattern, named, re.I):
            return what
    if "EP" in _many(values.get("ScanningSequence")) or (
        str(values.get("EchoPlanarPulseSequence") or "").upper() == "YES"
    ):
        return _ECHO_PLANAR
    if re.search(r"epfid|epse|epi", str(values.get("SequenceName") or ""), re.I):
        return _ECHO_PLANAR
    if float(values.get("DiffusionBValue") or 0) > 0:
        return "diffusion images"
    echo_ms = float(_echo_ms(header) or 0)
    if echo_ms > _LONGEST_ECHO_MS:
        return f"not T1-weighted (echo time {echo_ms:.0f} ms)"
    return ""


def _echo_ms(header: Header) -> float | None:
    values = header.values
    shared = values.get("SharedFunctionalGroupsSequence")
    own = values.get("PerFrameFunctionalGroupsSequence")
    places = [part[0] for part in (own, shared) if part]
    echo_ms = group_value("EffectiveEchoTime", *places) or values.get("EchoTime")
    return None if echo_ms in (None, "") else float(echo_ms)


def _thickness_mm(header: Header) -> float:
    spacing = header.values.get("PixelSpacing")
    return float(max(spacing)) if spacing and header.values.get("MRAcquisitionType") != "2D" else 99


def _named(header: Header) -> str:
    values = header.values
    return " ".join(
        str(values.get(name) or "")
        for name in ("SeriesDescription", "ProtocolName", "PulseSequenceName")
    )


def _image_type(header: Header) -> set[str]:
    return {part.upper().strip() for part in _many(header.values.get("ImageType"))}


def _many(value: object) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    try:
        return [str(part) for part in value]  # type: ignore[attr-defined]
    except TypeError:
        return [str(value)]


def _likeliest(series: Series) -> tuple[bool, tuple[int, ...], str]:
    return bool(series.why_not), tuple(-int(part) for part in series.rank), series.uid
