"""The report of a case as a PDF: one A4 page with its fonts, for a reader and for the PACS."""

import io
import logging
from datetime import datetime
from typing import Any

from fpdf import FPDF
from PIL import Image

from core.anatomy import NOTICE, Convention
from core.cases.case import (
    Case,
    CaseImages,
    clean_text,
    confidence_of,
    distinct_warnings,
)
from core.exports.painter import font_file
from core.exports.strip import strip_png
from core.measures.measure import why_too_small

# It names the letters that a font lacks: they may be a patient's name's.
logging.getLogger("fpdf").setLevel(logging.ERROR)

_MARGIN_MM, _WIDTH_MM = 12.0, 186.0
_LINE_MM = 4.2
# The strip is no smaller than this; what is too long for the page is shortened before it.
_LEAST_STRIP_MM = 95.0
_FOOT_MM = 12.0
_BOTTOM_MM = 297.0 - _MARGIN_MM - _FOOT_MM
_GREY = (90, 90, 90)
_CONFIDENCE = {
    "high": "high: both sides passed every check",
    "check": "check: look at the masks before you use them",
    "unreliable": "unreliable: do not use these masks as they are",
    "": "not judged: a crop around one hippocampus",
}


def report_pdf(
    case: Case, images: CaseImages, convention: Convention = "radiological", identity: str = ""
) -> bytes:
    """Write the report of a case on one A4 page; the same case gives the same bytes.

    Parameters
    ----------
    case, images
        Of the same mask version.
    convention
        How the slices show the sides.
    identity
        The patient in words; empty for a file that shall name nobody.
    """
    pdf = FPDF(format="A4", unit="mm")
    for style in ("", "B"):
        pdf.add_font("DejaVu", style, font_file(bold=bool(style)))
    pdf.set_creation_date(datetime.fromisoformat(case.created_at))
    pdf.set_title(f"HippoView {case.id}")
    pdf.set_subject(NOTICE)
    pdf.set_margins(_MARGIN_MM, _MARGIN_MM)
    pdf.set_auto_page_break(auto=False)
    pdf.add_page()
    _heading(pdf, case, identity)
    _facts(pdf, _facts_of(case))
    _volumes(pdf, case.report["measures"])
    _judgement(pdf, case)
    _picture(pdf, strip_png(case, images, convention))
    _foot(pdf, case)
    return bytes(pdf.output())


def _heading(pdf: FPDF, case: Case, identity: str) -> None:
    pdf.set_font("DejaVu", "B", 14)
    pdf.cell(_WIDTH_MM / 2, 7, "Hippocampus volumes")
    pdf.set_font("DejaVu", "B", 9)
    pdf.cell(_WIDTH_MM / 2, 7, NOTICE, align="R", new_x="LMARGIN", new_y="NEXT")
    if identity:
        pdf.set_font("DejaVu", "B", 9)
        pdf.cell(_WIDTH_MM, 5, clean_text(identity, 100), new_x="LMARGIN", new_y="NEXT")
    pdf.set_draw_color(*_GREY)
    pdf.line(_MARGIN_MM, pdf.get_y() + 0.5, _MARGIN_MM + _WIDTH_MM, pdf.get_y() + 0.5)
    pdf.ln(2)


def _facts_of(case: Case) -> list[tuple[str, str]]:
    scan = case.report["input"]
    drawn = case.report.get("mask")
    version = f"version {case.mask_version}"
    by = f"{version}, drawn by {drawn['author']}" if drawn else "version 0, the model's own"
    review = case.review
    words = f"{review.state} by {review.reviewer or 'unnamed'}, {_time(review.at)}"
    return [
        ("Case", f"{case.id}, segmented {_time(case.created_at)}"),
        (
            "Scan",
            " x ".join(str(n) for n in scan["shape"])
            + " voxels of "
            + " x ".join(f"{s:.2f}" for s in scan["spacing_mm"])
            + f" mm, axes {scan['orientation']}",
        ),
        ("Mask", by + (f", in place of version {case.mask_version - 1}" if drawn else "")),
        ("Review", words if review.at else "not reviewed by anybody"),
    ]


def _facts(pdf: FPDF, facts: list[tuple[str, str]]) -> None:
    for name, value in facts:
        pdf.set_font("DejaVu", "B", 8)
        pdf.cell(18, _LINE_MM, name)
        pdf.set_font("DejaVu", "", 8)
        pdf.cell(_WIDTH_MM - 18, _LINE_MM, value[:125], new_x="LMARGIN", new_y="NEXT")
    pdf.ln(1.5)


def _volumes(pdf: FPDF, measures: dict[str, Any]) -> None:
    """A row for each side of a head, with their sum; a crop has one row."""
    rows = [(side.capitalize(), side, parts) for side, parts in measures.get("sides", {}).items()]
    if len(rows) != 1:
        name = "Both" if rows else "Side unknown"
        rows.append((name, "total", measures))
    pdf.set_font("DejaVu", "B", 8)
    columns = ("Volume in mm³", "Anterior", "Posterior", "Total", "")
    widths = (34, 24, 24, 24, 80)
    for title, width in zip(columns, widths, strict=True):
        pdf.cell(width, 5, title, border="B", align="L" if width in (34, 80) else "R")
    pdf.ln(5)
    for name, whose, parts in rows:
        pdf.set_font("DejaVu", "B", 9)
        pdf.cell(widths[0], 5, name)
        pdf.set_font("DejaVu", "", 9)
        for label in ("anterior", "posterior", "total"):
            pdf.cell(24, 5, f"{parts[label]['volume_mm3']:,.0f}", align="R")
        pdf.set_font("DejaVu", "", 7)
        pdf.cell(widths[-1], 5, "  " + why_too_small(measures, whose).split(":")[0])
        pdf.ln(5)
    more = []
    if measures.get("asymmetry_percent") is not None:
        more.append(f"Asymmetry (L - R) / mean {measures['asymmetry_percent']:+.0f} %")
    if measures.get("share_of_brain_percent") is not None:
        more.append(f"both are {measures['share_of_brain_percent']:.2f} % of the brain")
    pdf.set_font("DejaVu", "", 8)
    if more:
        pdf.cell(_WIDTH_MM, _LINE_MM, "; ".join(more), new_x="LMARGIN", new_y="NEXT")
    pdf.ln(1.5)


def _judgement(pdf: FPDF, case: Case) -> None:
    pdf.set_font("DejaVu", "B", 9)
    words = _CONFIDENCE[confidence_of(case.report)]
    pdf.cell(_WIDTH_MM, 5, f"Confidence {words}", new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("DejaVu", "", 7.5)
    findings = distinct_warnings(case.report)
    findings.sort(key=lambda finding: finding["level"] != "warning")
    for number, finding in enumerate(findings):
        text = f"{finding['level'].capitalize()}: {finding['message']}"
        lines: Any = pdf.multi_cell(_WIDTH_MM, 3.6, text, dry_run=True, output="LINES")
        if pdf.get_y() + 3.6 * (len(lines) + 1) > _BOTTOM_MM - _LEAST_STRIP_MM:
            left = len(findings) - number
            text = f"{left} more stand on the case's page."
            pdf.cell(_WIDTH_MM, 3.6, text, new_x="LMARGIN", new_y="NEXT")
            break
        pdf.multi_cell(_WIDTH_MM, 3.6, text, new_x="LMARGIN", new_y="NEXT")
    pdf.ln(2)


def _picture(pdf: FPDF, png: bytes) -> None:
    room_mm = _BOTTOM_MM - pdf.get_y()
    with Image.open(io.BytesIO(png)) as picture:
        width_mm = min(_WIDTH_MM, room_mm * picture.width / picture.height)
    pdf.image(
        io.BytesIO(png), _MARGIN_MM + (_WIDTH_MM - width_mm) / 2, pdf.get_y(), width_mm,
        alt_text="Coronal, sagittal and axial slices with the outlines of both labels",
    )  # fmt: skip


def _foot(pdf: FPDF, case: Case) -> None:
    model = case.report["model"]
    pdf.set_y(_BOTTOM_MM + 2)
    pdf.set_font("DejaVu", "", 6.5)
    pdf.set_text_color(*_GREY)
    for line in (
        f"HippoView model version {model['version']} ({model.get('name', '')}), weights sha256 "
        f"{model.get('sha256', '')}",
        f"Scan sha256 {case.report['input']['sha256']}",
        NOTICE,
    ):
        pdf.cell(_WIDTH_MM, 3.2, line, new_x="LMARGIN", new_y="NEXT")


def _time(at: str | None) -> str:
    return f"{at[:16].replace('T', ' ')} UTC" if at else ""
