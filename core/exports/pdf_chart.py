"""A small chart on a sheet: axes, bands, lines and marks, in the sheet's own millimetres."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from core.exports.sheet import Sheet

Points = Sequence[tuple[float, float]]
Mark = Literal["dot", "circle", "square", "diamond"]
Colour = tuple[int, int, int]
_LEFT_MM, _BELOW_MM, _ABOVE_MM, _RIGHT_MM = 8.0, 3.8, 4.2, 1.5
_POINTS = 6.0
_TICKS = 4
GREY, PALE = (138, 143, 152), (214, 217, 221)
_ROOM = 0.06


@dataclass
class Chart:
    """What a chart shows, in the units of its axes.

    Attributes
    ----------
    title : str
    bands : list of (points, points)
        Filled between a lower and an upper line.
    lines : list of (points, width in mm, colour)
    marks : list of (points, mark, half size in mm, colour)
    digits : int
        Of the numbers on the upright axis.
    x_words : dict of float to str
        Numbers of the level axis in words; by default a few whole numbers.
    is_from_zero : bool
        Whether the upright axis begins at 0.
    """

    title: str
    bands: list[tuple[Points, Points]] = field(default_factory=list)
    lines: list[tuple[Points, float, Colour]] = field(default_factory=list)
    marks: list[tuple[Points, Mark, float, Colour]] = field(default_factory=list)
    digits: int = 1
    x_words: dict[float, str] = field(default_factory=dict)
    is_from_zero: bool = False


def draw(pdf: Sheet, chart: Chart, place_mm: tuple[float, float, float, float]) -> None:
    """Draw a chart into a rectangle: left, top, width, height."""
    left, top, width, height = place_mm
    x0, y0 = left + _LEFT_MM, top + _ABOVE_MM
    wide, high = width - _LEFT_MM - _RIGHT_MM, height - _ABOVE_MM - _BELOW_MM
    (x_low, x_high), (y_low, y_high) = _ranges(chart)

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return (
            x0 + wide * (point[0] - x_low) / (x_high - x_low),
            y0 + high * (1 - (point[1] - y_low) / (y_high - y_low)),
        )

    pdf.set_font("DejaVu", "B", _POINTS + 0.5)
    pdf.set_xy(left, top)
    pdf.cell(width, 3.6, chart.title)
    pdf.set_line_width(0.15)
    for lower, upper in chart.bands:
        pdf.set_fill_color(*PALE)
        pdf.polygon([at(p) for p in (*lower, *reversed(upper))], style="F")
    for points, width_mm, colour in chart.lines:
        pdf.set_line_width(width_mm)
        pdf.set_draw_color(*colour)
        pdf.polyline([at(p) for p in points])
    pdf.set_line_width(0.2)
    for points, mark, size_mm, colour in chart.marks:
        for point in points:
            _mark(pdf, at(point), mark, size_mm, colour)
    pdf.set_draw_color(*GREY)
    pdf.line(x0, y0 + high, x0 + wide, y0 + high)
    pdf.line(x0, y0, x0, y0 + high)
    pdf.set_font("DejaVu", "", _POINTS)
    for value in _ticks(y_low, y_high, chart.digits):
        pdf.set_xy(left, at((x_low, value))[1] - 1.3)
        pdf.cell(_LEFT_MM - 0.8, 2.6, pdf.words.number(value, chart.digits), align="R")
    shown = chart.x_words or {value: f"{value:.0f}" for value in _ticks(x_low, x_high, 0)}
    for value, text in shown.items():
        half = pdf.get_string_width(text) / 2 + 0.5
        middle = min(max(at((value, y_low))[0], x0 + half), x0 + wide - half)
        pdf.set_xy(middle - half, y0 + high + 0.4)
        pdf.cell(2 * half, 2.8, text, align="C")
    pdf.set_draw_color(0)
    pdf.set_fill_color(0)


def _mark(pdf: Sheet, at: tuple[float, float], mark: Mark, size: float, colour: Colour) -> None:
    x, y = at
    pdf.set_fill_color(*colour)
    pdf.set_draw_color(*colour)
    if mark == "square":
        pdf.rect(x - size, y - size, 2 * size, 2 * size, style="F")
    elif mark == "diamond":
        pdf.polygon([(x, y - size), (x + size, y), (x, y + size), (x - size, y)], style="F")
    else:
        pdf.circle(x, y, size, style="F")


def _ranges(chart: Chart) -> tuple[tuple[float, float], tuple[float, float]]:
    """Lowest and highest value of both axes, with some room around what is shown."""
    points = [p for lower, upper in chart.bands for p in (*lower, *upper)]
    points += [p for line, *_ in chart.lines for p in line]
    points += [p for marks, *_ in chart.marks for p in marks]
    ranges = []
    for values in zip(*points, strict=True):
        low, high = min(values), max(values)
        room = _ROOM * (high - low) or max(abs(high) * 0.05, 0.5)
        ranges.append((low - room, high + room))
    return ranges[0], (0.0, ranges[1][1]) if chart.is_from_zero else ranges[1]


def _ticks(low: float, high: float, digits: int) -> list[float]:
    """Round numbers within a range."""
    step = (high - low) / _TICKS
    unit = 10.0 ** np.floor(np.log10(step))
    step = max(next(unit * n for n in (1, 2, 5, 10) if unit * n >= step), 10.0**-digits)
    first = np.ceil(low / step) * step
    return [float(value) for value in np.arange(first, high, step)]
