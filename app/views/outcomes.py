"""The files of a visit to the Segment page: their table, and names that can be told apart."""

from collections import Counter

import streamlit as st

from core.cases.case import Case, confidence_of, distinct_warnings
from core.exports.tables import Outcome
from core.measures.measure import why_too_small

_MOST_CHARS = 43
_FILE_PX = 300


def told_apart(names: list[str]) -> list[str]:
    """The names of files, with a number where one stands for several; long ones in the middle cut.

    >>> told_apart(["T1.nii", "T2.nii", "T1.nii"])
    ['T1.nii (1 of 2)', 'T2.nii', 'T1.nii (2 of 2)']
    """
    short = [_short(name) for name in names]
    counts, seen = Counter(short), Counter[str]()
    words = []
    for name in short:
        seen[name] += 1
        words.append(name if counts[name] == 1 else f"{name} ({seen[name]} of {counts[name]})")
    return words


def _short(name: str) -> str:
    """A name as long as its column; the ends are what differs most often."""
    if len(name) <= _MOST_CHARS:
        return name
    half = (_MOST_CHARS - 1) // 2
    return f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"


def best_of(outcomes: list[Outcome]) -> int:
    """Which outcome is open at first: the newest that was segmented, else the newest."""
    good = [i for i, outcome in enumerate(outcomes) if outcome.case is not None]
    return good[-1] if good else len(outcomes) - 1


def outcome_table(outcomes: list[Outcome], key: str) -> Outcome:
    """A table with a row for each file; `best_of` them is selected by default."""
    rows = []
    best = best_of(outcomes)
    for o, name in zip(outcomes, told_apart([o.name for o in outcomes]), strict=True):
        m = o.case.report["measures"] if o.case else None
        rows.append({
            "File": name,
            "State": "segmented" if m else "refused",
            "Confidence": confidence_of(o.case.report) if o.case else "",
            "Case": o.case.id if o.case else "",
            "Anterior (mm³)": round(m["anterior"]["volume_mm3"]) if m else None,
            "Posterior (mm³)": round(m["posterior"]["volume_mm3"]) if m else None,
            "Total (mm³)": round(m["total"]["volume_mm3"]) if m else None,
            "Volumes": why_too_small(m) if m else "",
            "What to look at": o.error or _headlines(o.case),
        })  # fmt: skip
    number = st.column_config.NumberColumn(format="localized", width=105)
    event = st.dataframe(
        rows,
        hide_index=True,
        key=key,
        on_select="rerun",
        selection_mode="single-row-required",
        selection_default={"selection": {"rows": [best]}},
        column_config={
            **{column: number for column in rows[0] if column.endswith("(mm³)")},
            "File": st.column_config.Column(width=_FILE_PX),
            "State": st.column_config.Column(width="small"),
            "Confidence": st.column_config.Column(width=90),
            "Case": st.column_config.Column(width=95),
            "What to look at": st.column_config.Column(width="large"),
        },
        placeholder="",
        alt="Files of this visit with their volumes and warnings",
    )
    chosen = event["selection"]["rows"]
    return outcomes[chosen[0]] if chosen else outcomes[best]


def _headlines(case: Case | None) -> str:
    warnings = distinct_warnings(case.report) if case else []
    return "; ".join(w["message"].split(". ")[0] for w in warnings if w["level"] == "warning")
