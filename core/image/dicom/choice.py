"""Which series of an export is segmented: the plausible one, or the one that a person chooses."""

import re

import numpy as np

from core.errors import HippoViewError, InputError
from core.image.dicom.geometry import arranged
from core.image.dicom.headers import frames_of
from core.image.dicom.offers import Offer, SeveralSeriesError
from core.image.dicom.series import Series

_MOST_LISTED = 8
# Of the rank: thin, as acquired, and named T1. If these are the same, a person has to say which.
_TELLING = 3
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})", re.ASCII)


def choose(series: list[Series], uid: str = "") -> Series:
    """The series to segment.

    Parameters
    ----------
    series
        As `series_of` has them.
    uid
        Whose it is to be; by default the one that is plausible alone.

    Raises
    ------
    SeveralSeriesError
    InputError
        None is a T1-weighted volume; the hint lists them.
    """
    listed = "; ".join(one.in_words for one in series[:_MOST_LISTED])
    if uid:
        asked = next((one for one in series if one.uid == uid), None)
        if asked is None:
            raise InputError(
                "There is no such series in the export", f"These are there: {listed}.",
                code="no_series",
            )  # fmt: skip
        series = [asked]
    plausible = [one for one in series if not one.why_not]
    if not plausible:
        what = series[0].why_not if len(series) == 1 else f"none of {len(series)} series is one"
        raise InputError(
            f"There is no T1-weighted volume of a head: {what}",
            f"Send a 3-D T1-weighted series. Found: {listed}.",
            code="no_t1_series",
        )
    if len({patient for one in plausible if (patient := _patient(one))}) > 1:
        raise InputError(
            "The files are of two patients",
            "Send one patient's scan alone: nothing of them is used.",
            code="dicom_two_patients",
        )
    if len(plausible) > 1 and plausible[0].rank[:_TELLING] == plausible[1].rank[:_TELLING]:
        raise SeveralSeriesError(
            f"{len(plausible)} series may be the T1-weighted volume",
            f"Say which by its series UID, or send one alone: {listed}.",
            tuple(sorted(map(_offer, series), key=lambda offer: bool(offer.why_not))),
        )
    return plausible[0]


def _patient(series: Series) -> str:
    return str(series.headers[0].values.get("PatientID") or "").strip()


def _offer(series: Series) -> Offer:
    spacing_mm: tuple[float, ...] = ()
    why_not = series.why_not
    if not why_not:
        try:
            spacing_mm = _spacing_mm(series)
        except HippoViewError as error:
            why_not = error.message
    values = series.headers[0].values
    date = _DATE.fullmatch(str(values.get("SeriesDate") or values.get("StudyDate") or ""))
    return Offer(
        series.uid, series.description, "-".join(date.groups()) if date else "", series.slices,
        spacing_mm, series.has_contrast_agent, why_not,
    )  # fmt: skip


def _spacing_mm(series: Series) -> tuple[float, ...]:
    _, affine = arranged([frame for header in series.headers for frame in frames_of(header)])
    return tuple(float(step) for step in np.linalg.norm(affine[:3, :3], axis=0))
