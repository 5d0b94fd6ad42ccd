"""The second page of the PDF report: every measure, as exact as the CSV, and the method."""

import io
from typing import Any

from PIL import Image

from core.anatomy import SIDES
from core.cases.case import Case
from core.exports.sentences import Sentences
from core.exports.sheet import BOTTOM_MM, MARGIN_MM, WIDTH_MM, Sheet
from core.measures.measure import why_too_small
from core.predictor.expectation import COVERAGE_PERCENT
from core.predictor.signals import WHOLE
from core.wording import fine_ml_digits

MM3 = "mm\N{SUPERSCRIPT THREE}"
_PARTS = ("anterior", "posterior", "total")
_FIRST_MM = 39.0
_LINE_MM = 4.6
# Below the picture and the findings: the method.
_BELOW_MM = 35.0
_LEAST_FINDINGS_MM = 15.0


def add_details(
    pdf: Sheet,
    case: Case,
    words: Sentences,
    later: list[str],
    sides: bytes | None,
    patient: str = "",
) -> None:
    """Fill a page with all measures.

    Parameters
    ----------
    later
        Findings that the first page has no room for.
    sides
        `core.exports.sides_picture.sides_png` of a head.
    patient
        Whose scan it is, as on the first page: sheets are parted. Empty to say nothing of it.
    """
    pdf.line_of(f"{words('details')}   {case.id}", 13, bold=True)
    if patient:
        pdf.paragraph(f"{words('patient')}: {patient}", 8)
    pdf.ln(1.5)
    _table(pdf, _rows(case.report, words), words)
    if case.report.get("head"):
        pdf.paragraph(words("no_length"), 7)
    pdf.ln(2)
    for name, value in _scalars(case.report, words):
        pdf.set_font("DejaVu", "", 8)
        pdf.cell(70, 4.2, name)
        pdf.multi_cell(WIDTH_MM - 70, 4.2, value, new_x="LMARGIN", new_y="NEXT")
    pdf.ln(2)
    if sides:
        pdf.paragraph(words("sides"), 7.5)
        # A stroke far from the rest makes the picture higher than the page.
        room_mm = BOTTOM_MM - _BELOW_MM - pdf.get_y() - (_LEAST_FINDINGS_MM if later else 0)
        with Image.open(io.BytesIO(sides)) as picture:
            width_mm = min(WIDTH_MM, room_mm * picture.width / picture.height)
        left = MARGIN_MM + (WIDTH_MM - width_mm) / 2
        image = pdf.image(
            io.BytesIO(sides), left, pdf.get_y() + 1, width_mm, alt_text=words("sides")
        )
        pdf.set_xy(MARGIN_MM, pdf.get_y() + image.rendered_height + 2)
    if later:
        _findings(pdf, later, words)
    pdf.line_of(words("method"), 9, bold=True)
    report = case.report
    device = [report.get("device", ""), report.get("backend", ""), report.get("precision", "")]
    computed = words("computed", device=", ".join(part for part in device if part))
    pdf.paragraph(f"{words('how')} {computed}.", 8)


def _findings(pdf: Sheet, findings: list[str], words: Sentences) -> None:
    pdf.line_of(words("findings"), 9, bold=True)
    room_mm = BOTTOM_MM - _BELOW_MM
    for number, text in enumerate(findings):
        if pdf.get_y() + pdf.height_of(text, 7.5) > room_mm:
            pdf.paragraph(words("still_more_findings", count=len(findings) - number), 7.5)
            break
        pdf.paragraph(text, 7.5)
    pdf.ln(2)


def _rows(report: dict[str, Any], words: Sentences) -> list[list[str]]:
    """A row for each part of each side, then of both together; of a crop three."""
    measures, trust = report["measures"], report.get("trust") or {}
    is_head = bool(report.get("head"))
    ml_digits = fine_ml_digits(measures["voxel_mm3"])
    rows = []
    for side, parts in measures.get("sides", {}).items():
        dice = (trust.get("sides") or {}).get(side, {})
        rows += [
            _row(
                f"{words(side)}, {_uncapped(words(name))}",
                parts[name],
                name,
                dice,
                ml_digits,
                words,
            )
            for name in _PARTS
        ]
    dice = trust.get("expected_dice") or {}
    for name in _PARTS:
        title = f"{words('both')}, {_uncapped(words(name))}" if is_head else words(name)
        row = _row(title, measures[name], name, dice, ml_digits, words)
        if is_head and row[-3]:
            row[-3] = f"({row[-3]})"
        rows.append(row)
    return rows


def _row(
    title: str,
    sizes: dict[str, Any],
    name: str,
    dice: dict[str, float],
    ml_digits: int,
    words: Sentences,
) -> list[str]:
    expected = dice.get(WHOLE if name == "total" else name)
    interval = sizes.get("volume_interval_mm3") or ()
    length = sizes["length_mm"]
    return [
        title,
        words.number(sizes["volume_mm3"], 1),
        words.number(sizes["volume_ml"], ml_digits),
        str(sizes["voxels"]),
        " \N{EN DASH} ".join(words.number(mm3, 1) for mm3 in interval),
        "" if length is None else words.number(length, 1),
        " x ".join(words.number(edge, 1) for edge in sizes["bounding_box_mm"] or ()),
        "" if expected is None else words.number(expected, 3),
    ]


def _table(pdf: Sheet, rows: list[list[str]], words: Sentences) -> None:
    titles = (
        words("structure"), MM3, "ml", words("voxels"),
        words("interval_column", percent=COVERAGE_PERCENT), words("length"), words("box"),
        words("dice"),
    )  # fmt: skip
    widths = (_FIRST_MM, 16.0, 15.0, 14.0, 30.0, 17.0, 32.0, 23.0)
    for points, lines in ((6.5, [titles]), (7.5, rows)):
        pdf.set_font("DejaVu", "B" if lines[0] is titles else "", points)
        for line in lines:
            for column, (text, width) in enumerate(zip(line, widths, strict=True)):
                pdf.cell(width, _LINE_MM, text, border="B", align="R" if column else "L")
            pdf.ln(_LINE_MM)


def _scalars(report: dict[str, Any], words: Sentences) -> list[tuple[str, str]]:
    measures, head = report["measures"], report.get("head")
    rows: list[tuple[str, str]] = []
    if measures.get("asymmetry_percent") is not None:
        asymmetry = words.number(measures["asymmetry_percent"], 1)
        rows.append((words("asymmetry_is"), f"{asymmetry} %"))
    share = measures["anterior_share_percent"]
    if share is not None:
        rows.append((words("anterior_share_is"), f"{words.number(share, 1)} %"))
    if head and measures.get("share_of_brain_percent") is not None:
        of_brain = words.number(measures["share_of_brain_percent"], 3)
        rows.append((words("share_of_brain_is"), f"{of_brain} %"))
        rows.append((words("brain_is"), f"{words.number(head['brain_ml'], 0)} ml"))
    rows.append((words("voxel_is"), f"{words.number(measures['voxel_mm3'], 4)} {MM3}"))
    spacing = " x ".join(words.number(edge, 4) for edge in report["input"]["spacing_mm"])
    rows.append((words("spacing_is"), f"{spacing} mm"))
    for whose in (*SIDES, "total"):
        remark = why_too_small(measures, whose)
        if remark:
            kind, _, why = remark.partition(":")
            of_side = f"{words('too_small_is')}, {_uncapped(words(whose))}"
            rows.append((of_side, f"{words.quoted(kind)}:{why}"))
    return rows


def _uncapped(words: str) -> str:
    """With a small first letter alone: German nouns keep their capitals."""
    return words[:1].lower() + words[1:]
