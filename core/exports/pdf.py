"""The report of a case as a PDF: one A4 page for the reader, and one with all details."""

import io
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fpdf import FPDF
from PIL import Image

from core.anatomy import LABELS, NOTICE, SIDES, Convention
from core.cases.case import (
    Case,
    CaseImages,
    clean_text,
    confidence_of,
    distinct_warnings,
    is_drawn,
    warning_count,
)
from core.cases.study import Study, dicom_study_of, study_of
from core.exports.pdf_change import Changed, add_change
from core.exports.pdf_compared import Compared, add_compared
from core.exports.pdf_details import add_details
from core.exports.print_picture import print_png
from core.exports.sentences import Language, Sentences
from core.exports.sheet import BOTTOM_MM, GREY, MARGIN_MM, WIDTH_MM, Sheet, time_words
from core.exports.sides_picture import sides_png
from core.measures.expected import why_none
from core.measures.measure import why_too_small
from core.predictor.expectation import COVERAGE_PERCENT
from core.predictor.signals import WHOLE
from core.wording import ML_DIGITS

# It names the letters that a font lacks: they may be a patient's name's.
logging.getLogger("fpdf").setLevel(logging.ERROR)

MM3 = "mm\N{SUPERSCRIPT THREE}"
# The picture is no smaller than this, alone and with charts above it; findings that leave less room
# go to the next page.
_LEAST_PICTURE_MM, _LEAST_BESIDE_MM = 105.0, 80.0
# With less room it has a page of its own.
_LEAST_ROOM_MM = 55.0
_CELL_MM = 25.5
# Of a cell of the band: what its indents take, and the points of its small lines.
_ASIDE_MM, _SMALL_POINTS = 4.5, 7.0


def report_pdf(
    case: Case,
    images: CaseImages,
    convention: Convention = "radiological",
    *,
    identity: str | None = None,
    language: Language = "en",
    compared: Compared | None = None,
    changed: Changed | None = None,
) -> bytes:
    """Write the report of a case; the same case gives the same bytes.

    Parameters
    ----------
    case, images
        Of the same mask version.
    convention
        How the slices show the sides.
    identity
        None for a file that says nothing of the patient. Else age, sex and the scan's date stand
        beside it: name and id where they are known, empty for the pseudonym.
    compared, changed
        The case beside a reference group, and beside earlier scans. They tell age, sex and dates,
        so that they are left out where ``identity`` is None.
    """
    words = Sentences(language)
    with Sheet(words) as pdf:
        pdf.set_lang(language)
        pdf.set_creation_date(datetime.fromisoformat(case.created_at))
        pdf.set_title(f"HippoView {case.id}")
        pdf.set_subject(NOTICE)
        pdf.foot = _foot(case, words)
        pdf.add_page()
        _heading(pdf, words)
        _facts(pdf, _facts_of(case, identity, words))
        _band(pdf, case, words)
        _expected(pdf, case.report, words)
        if compared is not None and identity is not None:
            add_compared(pdf, compared, words)
        if changed is not None and identity is not None:
            add_change(pdf, changed, words)
        _confidence(pdf, case, words)
        has_charts = identity is not None and (compared or changed)
        least_mm = _LEAST_BESIDE_MM if has_charts else _LEAST_PICTURE_MM
        later = _findings(pdf, findings_of(case, words), words, least_mm)
        head = case.report.get("head")
        _picture(pdf, print_png(images, head, convention, words), convention, words)
        pdf.add_page()
        sides = sides_png(images, head, "long axis", convention, words) if head else None
        patient = "" if identity is None else _patient_words(case, identity, words)
        add_details(pdf, case, words, later, sides, patient)
        return bytes(pdf.output())


def findings_of(case: Case, words: Sentences) -> list[str]:
    """The warnings of a case, then its notes, in words."""
    findings = sorted(distinct_warnings(case.report), key=lambda f: f["level"] != "warning")
    return [f"{words(f['level'])}: {words.finding(f['code'], f['message'])}" for f in findings]


def _heading(pdf: FPDF, words: Sentences) -> None:
    pdf.set_font("DejaVu", "B", 15)
    pdf.cell(WIDTH_MM / 2, 8, words("title"))
    pdf.set_font("DejaVu", "B", 9)
    pdf.cell(WIDTH_MM / 2, 8, words("notice"), align="R", new_x="LMARGIN", new_y="NEXT")
    pdf.set_draw_color(*GREY)
    pdf.line(MARGIN_MM, pdf.get_y() + 0.5, MARGIN_MM + WIDTH_MM, pdf.get_y() + 0.5)
    pdf.ln(2.5)


def _facts_of(case: Case, identity: str | None, words: Sentences) -> list[tuple[str, str]]:
    scan, review = case.report["input"], case.review
    drawn = case.report.get("mask")
    by = (
        words("drawn_mask", version=case.mask_version, author=clean_text(drawn["author"]),
              before=case.mask_version - 1)
        if drawn
        else words("own_mask")
    )  # fmt: skip
    state = words(
        "reviewed", state=words(review.state), who=clean_text(review.reviewer) or words("unnamed"),
        at=time_words(review.at, words),
    )  # fmt: skip
    grid = words(
        "grid", shape=" x ".join(str(n) for n in scan["shape"]), axes=scan["orientation"],
        spacing=" x ".join(words.number(edge, 2) for edge in scan["spacing_mm"]),
    )  # fmt: skip
    facts = [
        (words("case"), words("segmented", case=case.id, at=time_words(case.created_at, words))),
        (words("scan"), grid),
        (words("mask"), by),
        (words("review"), state if review.at else words("not_reviewed")),
    ]
    if identity is not None:
        facts.insert(0, (words("patient"), _patient_words(case, identity, words)))
    return facts


def _patient_words(case: Case, identity: str, words: Sentences) -> str:
    study, said = study_of(case), dicom_study_of(case)
    known = [clean_text(identity, 400) or case.patient]
    of_study, of_header = _study_words(study, words), _study_words(said, words)
    known += of_study
    # What was typed stands, and what the scan's own header says beside it.
    if typed := [text for text in of_header if text not in of_study]:
        known.append(words("dicom_says", said=", ".join(typed)))
    return ", ".join(part for part in known if part) or words("no_patient")


def _study_words(study: Study, words: Sentences) -> list[str]:
    """Sex, age and date, as far as they are known."""
    known = []
    if study.sex in ("F", "M", "O"):
        known.append(words("sex", sex=words(study.sex)))
    if study.age_years is not None:
        known.append(words("age", years=study.age_years))
    if study.date:
        known.append(words("scanned", date=words.day(study.date)))
    return known


def _facts(pdf: Sheet, facts: list[tuple[str, str]]) -> None:
    for name, value in facts:
        pdf.set_font("DejaVu", "B", 8.5)
        pdf.cell(20, 4.5, name)
        pdf.set_font("DejaVu", "", 8.5)
        # Whole: a part of an id or of a date would read like another one.
        pdf.multi_cell(WIDTH_MM - 20, 4.5, value, new_x="LMARGIN", new_y="NEXT")
    pdf.ln(2)


@dataclass(frozen=True)
class _Cell:
    """One number of the band."""

    title: str
    number: str
    unit: str
    small: tuple[str, ...] = ()


def _band(pdf: Sheet, case: Case, words: Sentences) -> None:
    """The numbers that a reader looks for first, large and side by side."""
    is_head = bool(case.report.get("head"))
    measures = case.report["measures"]
    cells = _cells_of_head(measures, words) if is_head else _cells_of_crop(measures, words)
    top, width = pdf.get_y(), WIDTH_MM / len(cells)
    pdf.set_draw_color(*GREY)
    pdf.rect(MARGIN_MM, top, WIDTH_MM, _CELL_MM)
    for number, cell in enumerate(cells):
        left = MARGIN_MM + number * width + 2.5
        pdf.set_xy(left, top + 1)
        pdf.set_font("DejaVu", "", 8.5)
        pdf.cell(width - 4, 5, cell.title)
        pdf.set_xy(left, top + 5.5)
        pdf.set_font("DejaVu", "B", 16)
        pdf.cell(pdf.get_string_width(cell.number) + 2.5, 8, cell.number)
        pdf.set_font("DejaVu", "", 9)
        pdf.cell(width / 3, 8.8, cell.unit)
        pdf.set_font("DejaVu", "", _SMALL_POINTS)
        for line, small in enumerate(cell.small):
            pdf.set_xy(left, top + 13.4 + 3.6 * line)
            pdf.set_font_size(_fitting(pdf, small, width - _ASIDE_MM))
            pdf.cell(width - 3, 3.6, small)
    pdf.set_xy(MARGIN_MM, top + _CELL_MM + 2)


def _fitting(pdf: Sheet, text: str, room_mm: float) -> float:
    """The points in which a small line of the band stays in its cell."""
    pdf.set_font_size(_SMALL_POINTS)
    width_mm = float(pdf.get_string_width(text))
    return _SMALL_POINTS * min(1.0, room_mm / max(width_mm, 1.0))


def _cells_of_head(measures: dict[str, Any], words: Sentences) -> list[_Cell]:
    cells = []
    for side in SIDES:
        parts = measures["sides"].get(side)
        if parts is None or not parts["total"]["voxels"]:
            cells.append(_Cell(words(side), "\N{EN DASH}", "", (words("not_found"),)))
            continue
        of_parts = "; ".join(
            f"{words(f'small_{name}')} {words.number(parts[name]['volume_ml'], ML_DIGITS)} ml"
            for name in LABELS
        )
        remark = why_too_small(measures, side)
        cells.append(_volume(words(side), parts["total"], remark, of_parts, words))
    percent = measures.get("asymmetry_percent")
    if percent is None:
        cells.append(_Cell(words("asymmetry"), "\N{EN DASH}", "", (words("needs_both"),)))
    else:
        larger = words("left_larger" if percent > 0 else "right_larger") if round(percent) else ""
        number = words.number(percent, 0, sign=True)
        cells.append(_Cell(words("asymmetry"), number, "%", (larger, words("asymmetry_small"))))
    share = measures.get("share_of_brain_percent")
    of_brain = "" if share is None else words("share_of_brain", percent=words.number(share, 2))
    total = _volume(words("total"), measures["total"], why_too_small(measures), of_brain, words)
    return [*cells, total]


def _cells_of_crop(measures: dict[str, Any], words: Sentences) -> list[_Cell]:
    remark = why_too_small(measures)
    share = measures["anterior_share_percent"]
    of_parts = "" if share is None else words("anterior_share", percent=words.number(share, 0))
    return [
        *(_volume(words(name), measures[name], remark, "", words) for name in LABELS),
        _volume(words("total"), measures["total"], remark, of_parts, words),
        _Cell(words("side"), "\N{EN DASH}", "", (words("unknown_side"),)),
    ]


def _volume(title: str, of: dict[str, Any], remark: str, small: str, words: Sentences) -> _Cell:
    """A volume in ml, and below it in mm³, its interval, and what is wrong with it."""
    mm3 = f"{words.number(of['volume_mm3'], 0, grouped=True)} {MM3}"
    lines = [mm3, interval_words(of, words), small]
    if remark:
        lines.insert(0, words.quoted(remark.split(":")[0]))
    return _Cell(
        title, words.number(of["volume_ml"], ML_DIGITS), "ml", tuple(line for line in lines if line)
    )


def interval_words(of: dict[str, Any], words: Sentences) -> str:
    """The interval of a volume; empty where none is known."""
    interval = of.get("volume_interval_mm3")
    if interval is None:
        return ""
    low, high = (words.number(mm3, 0, grouped=True) for mm3 in interval)
    return words("interval", percent=COVERAGE_PERCENT, low=low, high=high)


def _expected(pdf: Sheet, report: dict[str, Any], words: Sentences) -> None:
    trust = report.get("trust")
    if not trust:
        return
    sides = trust.get("sides") or {}
    if not trust["expected_dice"] and not sides:
        reason = words.quoted(why_none(trust["reason"]))
        pdf.paragraph(words("not_expected", reason=reason), 8)
        return
    dice = [f"{words(side).lower()} {words.number(of[WHOLE], 2)}" for side, of in sides.items()]
    dice = dice or [words.number(trust["expected_dice"][WHOLE], 2)]
    pdf.paragraph(
        f"{words('expected', sides='; '.join(dice))}. "
        f"{words('what_interval', percent=COVERAGE_PERCENT)}", 8,
    )  # fmt: skip


def _confidence(pdf: Sheet, case: Case, words: Sentences) -> None:
    word = confidence_of(case.report) or "not_judged"
    name = word
    if word == "high" and is_drawn(case.report):
        name = "high_drawn"
    elif word == "high" and warning_count(case.report):
        name = "high_beside"
    elif word == "high" and not case.report.get("head"):
        name = "high_crop"
    pdf.ln(1)
    pdf.line_of(f"{words('confidence')} {words(name)}", 10, bold=True)


def _findings(pdf: Sheet, findings: list[str], words: Sentences, least_mm: float) -> list[str]:
    """Write what there is room for; the rest is returned, for the next page."""
    for number, text in enumerate(findings):
        if pdf.get_y() + pdf.height_of(text, 7.5) + 3.6 > BOTTOM_MM - least_mm:
            left = findings[number:]
            pdf.paragraph(words("more_findings", count=len(left)), 7.5)
            return left
        pdf.paragraph(text, 7.5)
    return []


def _picture(pdf: Sheet, png: bytes, convention: Convention, words: Sentences) -> None:
    pdf.ln(2)
    caption = words("outlines", convention=words(convention))
    below_mm = pdf.height_of(caption, 7) + 1
    if BOTTOM_MM - pdf.get_y() - below_mm < _LEAST_ROOM_MM:
        pdf.add_page()
    room_mm = BOTTOM_MM - pdf.get_y() - below_mm
    with Image.open(io.BytesIO(png)) as picture:
        width_mm = min(WIDTH_MM, room_mm * picture.width / picture.height)
    left = MARGIN_MM + (WIDTH_MM - width_mm) / 2
    image = pdf.image(io.BytesIO(png), left, pdf.get_y(), width_mm, alt_text=words("slices"))
    pdf.set_xy(MARGIN_MM, pdf.get_y() + image.rendered_height + 1)
    pdf.paragraph(caption, 7)


def _foot(case: Case, words: Sentences) -> tuple[str, ...]:
    model = case.report["model"]
    return (
        words("model", version=model["version"], name=model.get("name", ""),
              sha256=model.get("sha256", "")),
        words("scan_hash", sha256=case.report["input"]["sha256"]),
    )  # fmt: skip
