"""Change from an earlier scan of the patient, on a sheet: a line a side, and the scans in time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from core.anatomy import SIDES
from core.cases.case import Case
from core.cases.persons import day_of, measured
from core.exports.pdf_chart import Chart, Mark, draw
from core.exports.sentences import Sentences
from core.exports.sheet import MARGIN_MM, WIDTH_MM, Sheet
from core.measures.change import Change, band, cautions, changes, differences
from core.measures.repeatability import spreads_of
from core.wording import ML_DIGITS

_CHART_MM = (60.0, 28.0)
_MARKS: dict[str, tuple[Mark, tuple[int, int, int]]] = {
    "left": ("circle", (11, 107, 90)), "right": ("square", (90, 60, 130)),
}  # fmt: skip
_POINTS = 7.0


@dataclass(frozen=True, eq=False)
class Changed:
    """The scans of a patient up to the one that a report is of.

    Attributes
    ----------
    scans : tuple of Case
        In time, two at least; the last is the report's.
    """

    scans: tuple[Case, ...]


def changed_until(case: Case, scans: Sequence[Case]) -> Changed | None:
    """The scans up to a case, of all scans of its patient in time; None where it is the first."""
    ids = [scan.id for scan in scans]
    if case.id not in ids or not ids.index(case.id):
        return None
    return Changed((*scans[: ids.index(case.id)], case))


def add_change(pdf: Sheet, changed: Changed, words: Sentences) -> None:
    """Write how the case differs from the patient's first scan."""
    first, last = changed.scans[0], changed.scans[-1]
    earlier, later = measured(first), measured(last)
    reasons = differences(earlier, later)
    spreads = None if reasons else spreads_of(earlier, later)
    by_side = changes(earlier, later, spreads)
    pdf.ln(1)
    day = words.day(day_of(first))
    day = day if earlier.day else words("segmented_on", day=day)
    pdf.line_of(words("change", day=day, case=first.id), 9, bold=True)
    top = pdf.get_y()
    wide = WIDTH_MM - _CHART_MM[0] - 2
    lines = []
    for side, parts in by_side.items():
        one = parts["total"]
        if one is not None:
            volumes = earlier.volumes_mm3[side]["total"], later.volumes_mm3[side]["total"]
            lines.append(_sentence(words.quoted(side), one, volumes, words))
    lines += [words("not_comparable", reason=words.reason(reason)) for reason in reasons]
    lines += [words("caution", reason=words.reason(reason)) for reason in cautions(earlier, later)]
    if not reasons and spreads is None:
        lines.append(words("not_measured"))
    if spreads and (share := spreads[0].found_of_3_percent) is not None:
        lines.append(words("loss_found", percent=words.number(share, 1)))
    pdf.set_font("DejaVu", "", _POINTS)
    for line in lines:
        pdf.multi_cell(wide, 3.4, line, align="L", new_x="LMARGIN", new_y="NEXT")
    bottom = pdf.get_y()
    half = band((spreads[0].spread["total"], spreads[1].spread["total"])) if spreads else None
    if chart := _chart(changed.scans, half, words):
        place = (MARGIN_MM + WIDTH_MM - _CHART_MM[0], top, *_CHART_MM)
        draw(pdf, chart, place)
        bottom = max(bottom, top + _CHART_MM[1])
        pdf.set_xy(MARGIN_MM, bottom)
        pdf.paragraph(words("scans_over_time"), 6)
    else:
        pdf.set_xy(MARGIN_MM, bottom)


def _sentence(side: str, one: Change, volumes_mm3: tuple[float, float], words: Sentences) -> str:
    earlier, later = (words.number(mm3 / 1000, ML_DIGITS) for mm3 in volumes_mm3)
    percent = words.number(one.percent, 1, sign=True)
    parts = [words("change_is", side=side, earlier=earlier, later=later, percent=percent)]
    if one.interval_percent is not None:
        low, high = (words.number(end, 1, sign=True) for end in one.interval_percent)
        parts.append(words("change_interval", low=low, high=high))
    if one.percent_a_year is not None:
        parts.append(words("a_year", percent=words.number(one.percent_a_year, 1, sign=True)))
    return f"{', '.join(parts)}: {words.quoted(one.meaning)}."


def _chart(scans: Sequence[Case], half: float | None, words: Sentences) -> Chart | None:
    """Both sides over time; None where there is only one point."""
    known = [measured(scan) for scan in scans]
    dated = all(scan.day for scan in known)
    at = [
        float(date.fromisoformat(scan.day).toordinal()) if dated else float(number)
        for number, scan in enumerate(known, 1)
    ]
    days = [words.day(scan.day) if dated else scans[number].id for number, scan in enumerate(known)]
    chart = Chart("ml", x_words={at[0]: days[0], at[-1]: days[-1]}, is_from_zero=True)
    for side in SIDES:
        points = [
            (x, scan.volumes_mm3[side]["total"] / 1000)
            for x, scan in zip(at, known, strict=True)
            if side in scan.volumes_mm3
        ]
        if len(points) < 2:
            continue
        mark, colour = _MARKS[side]
        if half is not None:
            ends = [[(x, points[0][1] * math.exp(sign * half)) for x in at] for sign in (-1, 1)]
            chart.bands.append((ends[0], ends[1]))
        chart.lines.append((points, 0.3, colour))
        chart.marks.append((points, mark, 0.8, colour))
    return chart if chart.marks else None
