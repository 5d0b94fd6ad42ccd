"""A case beside a reference group, on a sheet: a table of its places, and the curves."""

from dataclasses import dataclass

import numpy as np

from core.cases.study import Study
from core.exports.pdf_chart import GREY as CURVE_GREY
from core.exports.pdf_chart import Chart, draw
from core.exports.sentences import Sentences
from core.exports.sheet import MARGIN_MM, WIDTH_MM, Sheet
from core.references.comparison import Comparison, Standing
from core.references.group import FEMALE, MEASURES, Group
from core.references.quantiles import COVERAGE_PERCENT, Place
from core.references.words import Comparability, place_ends
from core.wording import ML_DIGITS

CURVES = (5, 25, 50, 75, 95)
_CHARTS = ("left", "right")
_CHART_MM = (44.0, 30.0)
_ROW_MM, _POINTS = 4.0, 7.0
_STEPS = 40
# Of texts that an administrator typed.
_MOST_NAME, _MOST_SOURCE = 60, 240
_PERSON = (11, 107, 90)
_SENTENCE = {
    "same": "same", "protocol": "other_protocol", "version": "other_version",
    "unknown version": "unknown_version", "drawn": "drawn",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Compared:
    """A case in a group, for a report.

    Attributes
    ----------
    comparison : Comparison
        With percentiles.
    group : Group
    study : Study
        The person's age and sex.
    """

    comparison: Comparison
    group: Group
    study: Study


def add_compared(pdf: Sheet, compared: Compared, words: Sentences) -> None:
    """Write the section; nothing where there are no percentiles."""
    comparison, group = compared.comparison, compared.group
    if comparison.comparability is None:
        return
    count = len(comparison.people)
    comparable = comparability_words(comparison.comparability, words)
    pdf.ln(1)
    title = words("compared", group=_short(group.name), count=words.number(count, 0, grouped=True))
    pdf.line_of(f"{title}, {comparable}", 9, bold=True)
    top = pdf.get_y()
    drawn = [each for each in comparison.standings if each.measure in _CHARTS]
    wide = WIDTH_MM - _CHART_MM[0] * len(drawn) - 2
    for standing in comparison.standings:
        pdf.set_x(MARGIN_MM)
        pdf.set_font("DejaVu", "B", _POINTS)
        pdf.cell(18, _ROW_MM, words(standing.measure))
        pdf.set_font("DejaVu", "", _POINTS)
        pdf.multi_cell(
            wide - 18, _ROW_MM, f"{_value(standing, words)}, "
            f"{place_in_words(standing.place, count, words)}, {comparable}",
            align="L", new_x="LMARGIN", new_y="NEXT",
        )  # fmt: skip
    pdf.set_font("DejaVu", "", 6)
    pdf.multi_cell(
        wide, 2.7, _short(group.source, _MOST_SOURCE), align="L", new_x="LMARGIN", new_y="NEXT"
    )
    bottom = pdf.get_y()
    for number, standing in enumerate(drawn):
        left = MARGIN_MM + WIDTH_MM - _CHART_MM[0] * (len(drawn) - number)
        draw(pdf, _chart(standing, compared, words), (left, top, *_CHART_MM))
    pdf.set_xy(MARGIN_MM, max(bottom, top + _CHART_MM[1] * bool(drawn)))
    people = words("F_curves" if compared.study.sex == FEMALE else "M_curves")
    same = sum(person.sex == compared.study.sex for person in comparison.people)
    if same != count:
        people = words("of_all", people=people, same=same, count=count)
    if comparison.is_member:
        pdf.paragraph(words("is_member"), 7)
    pdf.paragraph(words("curves", percent=COVERAGE_PERCENT, people=people), 6)


def comparability_words(comparability: Comparability, words: Sentences) -> str:
    """Whether the two can be compared; beside every percentile."""
    return words(
        _SENTENCE[comparability.kind], group_by=_short(comparability.group_by),
        case_by=comparability.case_by,
    )  # fmt: skip


def place_in_words(place: Place, people: int, words: Sentences) -> str:
    """A percentile with its interval; see `core.references.words.place_words`."""
    ends = place_ends(place, people)
    if ends.side == "below":
        reach = ends.high is not None and words("up_to", edge=words.ordinal(ends.high))
        return f"{words('place_below', edge=words.ordinal(ends.first))} {reach or ''}".strip()
    if ends.side == "above":
        reach = ends.low is not None and words("down_to", edge=words.ordinal(ends.low))
        return f"{words('place_above', edge=words.ordinal(ends.last))} {reach or ''}".strip()
    low = (
        words("end_below", edge=words.ordinal(ends.first))
        if ends.low is None
        else words.ordinal(ends.low)
    )
    high = (
        words("end_above", edge=words.ordinal(ends.last))
        if ends.high is None
        else words.ordinal(ends.high)
    )
    return words("place_at", percentile=words.ordinal(ends.percentile), low=low, high=high)


def _short(text: str, most: int = _MOST_NAME) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def _value(standing: Standing, words: Sentences) -> str:
    if MEASURES[standing.measure].unit == "%":
        return f"{words.number(standing.value, 0, sign=True)} %"
    return f"{words.number(standing.value / 1000, ML_DIGITS)} ml"


def _chart(standing: Standing, compared: Compared, words: Sentences) -> Chart:
    """Curves of the person's sex, and the person."""
    measure, study = MEASURES[standing.measure], compared.study
    same = [person for person in compared.comparison.people if person.sex == study.sex]
    ages = [person.age_years for person in same]
    at = np.linspace(min(ages), max(ages), _STEPS)
    is_female = study.sex == FEMALE
    curves = {
        percent: list(
            zip(
                at.tolist(),
                (standing.percentiles.curve(percent, at, is_female=is_female) / 1000).tolist(),
                strict=True,
            )
        )
        for percent in CURVES
    }
    people = [
        (age, measure.of(person.left_mm3, person.right_mm3) / 1000)
        for age, person in zip(ages, same, strict=True)
    ]
    age, value = float(study.age_years or 0), standing.value / 1000
    chart = Chart(
        words("by_age", measure=words(standing.measure)),
        bands=[(curves[5], curves[95])],
        lines=[
            (curve, 0.4 if percent == 50 else 0.15, CURVE_GREY) for percent, curve in curves.items()
        ],
        marks=[(people[:400], "dot", 0.22, CURVE_GREY), ([(age, value)], "diamond", 1.3, _PERSON)],
    )
    if standing.interval is not None:
        ends = [(age, end / 1000) for end in standing.interval]
        chart.lines.append((ends, 0.35, _PERSON))
    return chart
