"""The result at a glance: the numbers of a case in one band above the viewer."""

import re
from collections.abc import Sequence
from html import escape
from typing import Any

import streamlit as st

from app.views.patients import person_words
from app.views.words import DASH
from core.anatomy import LABEL_COLOURS, LABELS, SIDES
from core.cases.case import Case, confidence_of, high_words
from core.cases.study import study_of
from core.measures.measure import why_scan_too_small, why_too_small
from core.wording import adds_up, minus, ml_text

ROUNDED = "Each number is rounded by itself: parts may differ from the whole in the last digit."
MM3 = "mm\N{SUPERSCRIPT THREE}"
_CONFIDENCE = {
    "high": ("✓", "High", ""),  # see `high_words`
    "check": ("!", "Check", "look at the masks before you use them"),
    "unreliable": ("✕", "Unreliable", "do not use these masks as they are"),
    "": ("?", "Not judged", "a crop around one hippocampus"),
}
_SHORT = {"anterior": "ant.", "posterior": "post."}
_DAY = re.compile(r"\b\d{4}-\d\d-\d\d\b")
_STYLE = """<style>
.hv-band {display: flex; flex-wrap: wrap; align-items: stretch; gap: .3rem 1.6rem;
  padding: .4rem .9rem; border: 1px solid color-mix(in srgb, currentColor 22%, transparent);
  border-radius: .35rem; font-variant-numeric: tabular-nums; line-height: 1.3}
.hv-band p, .hv-band h3, .hv-band dl, .hv-band dd, .hv-band dt {margin: 0; padding: 0}
.hv-band h3 {font-size: 1.15rem; font-weight: 600; line-height: 1.35; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap}
.hv-band .who {flex: 1 1 9rem; min-width: 0; max-width: 24rem}
.hv-band dl {flex: 2 1 auto; display: flex; flex-wrap: wrap; gap: .3rem 1.6rem;
  justify-content: space-between}
.hv-band dt, .hv-band .small {font-size: .82rem; opacity: .82}
.hv-band .day {white-space: nowrap}
.hv-band .number {font-size: 1.55rem; font-weight: 600; line-height: 1.2; white-space: nowrap}
.hv-band .number span {font-size: .9rem; font-weight: 400}
.hv-band .swatch {display: inline-block; width: .65em; height: .65em; border-radius: 2px}
.hv-band .flag {font-weight: 600; opacity: 1}
.hv-band .flag::before {content: "▲ "}
.hv-band .mark {margin-right: .3em; font-weight: 700}
.hv-band .check, .hv-band .unreliable {border-left: 4px solid #E69F00; padding-left: .6rem}
</style>"""


def show_band(case: Case) -> None:
    """Draw the band; it needs nothing but the record, so it stands before the viewer."""
    st.html(_STYLE + band_html(case))


def band_html(case: Case) -> str:
    """The band as HTML: whose scan, left, right, asymmetry, total, confidence.

    A crop has no side: its labels stand in place of left and right.
    """
    measures = case.report["measures"]
    cells = _of_head(measures) if case.report.get("head") else _of_crop(measures)
    cells.append(_confidence(case))
    who = "".join(f'<p class="small">{_unbroken(line)}</p>' for line in facts(case))
    return (
        '<section class="hv-band" aria-label="Result">'
        f'<div class="who"><h3 title="{escape(case.name)}">{escape(case.name)}</h3>{who}</div>'
        f"<dl>{''.join(cells)}</dl></section>"
    )


def _unbroken(line: str) -> str:
    """A line as HTML whose dates are not broken at a hyphen."""
    return _DAY.sub(r'<span class="day">\g<0></span>', escape(line))


def facts(case: Case) -> list[str]:
    """What is known of patient and scan, in lines; what nobody gave has none."""
    study = study_of(case)
    person = [f"Patient {case.patient}" if case.patient else "", *person_words(study)]
    words = ", ".join(filter(None, person))
    lines = [f"{words[0].upper()}{words[1:]}"] if words else []
    # The day of the segmentation is under *Details*; a reader asks for the scan's.
    day = f"scanned {study.date}" if study.date else f"segmented {case.created_at[:10]}"
    lines.append(f"{case.id}, {day}")
    if drawn := case.report.get("mask"):
        lines.append(f"Of mask version {drawn['version']}, drawn by {drawn['author']}.")
    return lines


def _of_head(measures: dict[str, Any]) -> list[str]:
    cells = []
    for side in SIDES:
        parts = measures["sides"].get(side)
        if parts is None or not parts["total"]["voxels"]:
            cells.append(_cell(side.capitalize(), DASH, "", "not found"))
            continue
        small = " · ".join(
            f"{_swatch(name)} {_SHORT[name]} {ml_text(parts[name]['volume_mm3'])} ml"
            for name in LABELS
        )  # fmt: skip
        small = _if_rounded([parts[name] for name in LABELS], parts["total"], "") + small
        cells.append(
            _volume(side.capitalize(), parts["total"], why_too_small(measures, side), small)
        )
    # What is computed from a volume says what the volume says.
    flag = _flag(f"of volumes that are too small: {why_scan_too_small(measures)}")
    flag = flag if why_scan_too_small(measures) else ""
    percent = measures.get("asymmetry_percent")
    if percent is None:
        cells.append(_cell("Asymmetry", DASH, "", "needs both sides"))
    else:
        larger = "left larger" if percent > 0 else "right larger"
        small = flag or (larger if round(percent) else "")
        cells.append(_cell("Asymmetry", minus(f"{percent:+z.0f}"), "%", small))
    share = measures.get("share_of_brain_percent")
    of_brain = "" if share is None else f"{share:.2f} % of the brain"
    totals = [parts["total"] for parts in measures["sides"].values() if parts["total"]["voxels"]]
    if len(totals) > 1:
        of_brain = _if_rounded(totals, measures["total"], "L + R ") + of_brain
    cells.append(_volume("Total", measures["total"], why_too_small(measures), of_brain))
    return cells


def _of_crop(measures: dict[str, Any]) -> list[str]:
    remark = why_too_small(measures)
    cells = [_volume(f"{_swatch(n)} {n.capitalize()}", measures[n], remark, "") for n in LABELS]
    share = measures["anterior_share_percent"]
    small = "" if share is None else f"anterior {share:.0f} %"
    small = _if_rounded([measures[name] for name in LABELS], measures["total"], "the sum ") + small
    cells.append(_volume("Total", measures["total"], remark, small))
    cells.append(_cell("Side", DASH, "", "unknown on a crop"))
    return cells


def _volume(title: str, of: dict[str, Any], remark: str, small: str) -> str:
    """A volume in ml, with its mm³ small; ``title`` and ``small`` are HTML."""
    mm3 = f'<span class="small">{of["volume_mm3"]:,.0f} {MM3}</span>'
    return _cell(title, ml_text(of["volume_mm3"]), "ml", _flag(remark) or small, mm3)


def _if_rounded(parts: Sequence[dict[str, Any]], whole: dict[str, Any], name: str) -> str:
    """For a reader who adds: *about*, where rounded parts do not give the rounded whole."""
    if adds_up([part["volume_mm3"] for part in parts], whole["volume_mm3"]):
        return ""
    return f'<span title="{ROUNDED}">≈ {name}</span>'


def _flag(remark: str) -> str:
    """What is wrong with a number: in a word, and whole when it is pointed at."""
    word = escape(remark.split(":")[0])
    return f'<span class="flag" title="{escape(remark)}">{word}</span>' if remark else ""


def _cell(title: str, number: str, unit: str, small: str, beside: str = "") -> str:
    """One number under its title; all but ``number`` and ``unit`` are HTML."""
    unit = f" <span>{unit}</span>" if unit else ""
    under = f'<dd class="small">{small}</dd>' if small else ""
    return (
        f"<div><dt>{title}</dt>"
        f'<dd class="number">{number}{unit} {beside}</dd>{under}</div>'
    )  # fmt: skip


def _confidence(case: Case) -> str:
    word = confidence_of(case.report)
    mark, name, meaning = _CONFIDENCE[word]
    if word == "high":
        meaning = high_words(case.report)
    return (
        f'<div class="{word}"><dt>Confidence</dt><dd class="number">'
        f'<span class="mark" aria-hidden="true">{mark}</span>{name}</dd>'
        f'<dd class="small">{meaning}</dd></div>'
    )


def _swatch(name: str) -> str:
    colour = LABEL_COLOURS[name]
    return f'<span class="swatch" style="background: {colour}" title="{name}"></span>'
