"""A sheet of A4 for reports: margins, lines of words, and the same foot on each page."""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from fpdf import FPDF
from fpdf.fonts import TTFFont

from core.exports.painter import font_file
from core.exports.sentences import Sentences

MARGIN_MM, WIDTH_MM = 12.0, 186.0
_FOOT_MM = 14.0
BOTTOM_MM = 297.0 - MARGIN_MM - _FOOT_MM
GREY = (90, 90, 90)
_MM_A_POINT = 0.48  # height of a line
_FROM_RIGHT = ("R", "AL")  # Unicode's classes of Hebrew, and of Arabic and Syriac


class Sheet(FPDF):
    """A4 pages whose foot says on each what they are and what they are not for.

    Used by ``with``: its fonts' files are open until it ends.
    """

    def __init__(self, words: Sentences) -> None:
        super().__init__(format="A4", unit="mm")
        self.words = words
        self.foot: tuple[str, ...] = ()
        self.set_margins(MARGIN_MM, MARGIN_MM)
        self.set_auto_page_break(auto=False)
        for style in ("", "B"):
            self.add_font("DejaVu", style, font_file(bold=bool(style)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        for font in self.fonts.values():
            if isinstance(font, TTFFont):
                font.ttfont.close()

    def footer(self) -> None:
        """See `FPDF.footer`."""
        self.set_y(BOTTOM_MM + 3)
        self.set_font("DejaVu", "", 6.5)
        self.set_text_color(*GREY)
        for line in self.foot:
            self.cell(WIDTH_MM, 3.2, line, new_x="LMARGIN", new_y="NEXT")
        self.cell(WIDTH_MM / 2, 3.2, self.words("notice"))
        page = self.words("page", number=self.page_no())
        self.cell(WIDTH_MM / 2, 3.2, page, align="R")
        self.set_text_color(0)

    def cell(self, *args: Any, **kwargs: Any) -> Any:
        """See `FPDF.cell`; Hebrew and Arabic in their own direction and joined."""
        with self._shaped(args, kwargs):
            return super().cell(*args, **kwargs)

    def multi_cell(self, *args: Any, **kwargs: Any) -> Any:
        """See `FPDF.multi_cell`; Hebrew and Arabic in their own direction and joined."""
        with self._shaped(args, kwargs):
            return super().multi_cell(*args, **kwargs)

    @contextmanager
    def _shaped(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[None]:
        """Shape what runs from right to left; all else keeps one glyph a letter."""
        texts = (text for text in (*args, *kwargs.values()) if isinstance(text, str))
        if any(unicodedata.bidirectional(letter) in _FROM_RIGHT for t in texts for letter in t):
            # The sentence around a name runs from left to right.
            self.set_text_shaping(direction="ltr")
        try:
            yield
        finally:
            self.set_text_shaping(False)

    def line_of(self, text: str, points: float, *, bold: bool = False) -> None:
        """A heading, over a second line where one is too short; the next text begins below it."""
        self.set_font("DejaVu", "B" * bold, points)
        self.multi_cell(
            WIDTH_MM, _MM_A_POINT * points + 0.4, text, align="L", new_x="LMARGIN", new_y="NEXT"
        )

    def paragraph(self, text: str, points: float) -> None:
        """Words over as many lines as they need."""
        self.set_font("DejaVu", "", points)
        self.multi_cell(
            WIDTH_MM, _MM_A_POINT * points, text, align="L", new_x="LMARGIN", new_y="NEXT"
        )

    def height_of(self, text: str, points: float) -> float:
        """In mm, of what `paragraph` would write."""
        self.set_font("DejaVu", "", points)
        lines: Any = self.multi_cell(
            WIDTH_MM, _MM_A_POINT * points, text, align="L", dry_run=True, output="LINES"
        )
        return _MM_A_POINT * points * len(lines)


def time_words(at: str | None, words: Sentences) -> str:
    """A time as it stands in a report, to the minute."""
    return f"{words.day(at[:10])} {at[11:16]} UTC" if at else ""
