"""A sheet of a report: no heading runs off the page, no file stays open."""

import gc

import psutil
import pytest

from core.exports.sentences import Sentences
from core.exports.sheet import Sheet


def test_a_heading_too_long_for_a_line_goes_on_in_the_next():
    words = Sentences("de")
    heights_mm = []
    with Sheet(words) as sheet:
        sheet.add_page()
        for text in ("kurz", f"{words('confidence')} {words('high_beside')}"):
            before = sheet.get_y()
            sheet.line_of(text, 10, bold=True)
            heights_mm.append(sheet.get_y() - before)
    assert round(heights_mm[1] / heights_mm[0], 3) == 2


def fonts() -> set[int]:
    """The descriptors of this process's open fonts; other programs' (Matplotlib) among them."""
    return {file.fd for file in psutil.Process().open_files() if file.path.endswith(".ttf")}


def begun_and_failed(before: set[int]) -> None:
    with Sheet(Sentences("en")) as sheet:
        sheet.add_page()
        sheet.paragraph("words", 8)
        assert len(fonts() - before) == 2
        raise RuntimeError("before the sheet is written")


def test_no_font_stays_open_where_a_report_fails():
    gc.collect()
    before = fonts()
    with pytest.raises(RuntimeError):
        begun_and_failed(before)
    assert fonts() == before
