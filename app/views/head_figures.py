"""Part of the Models page: two versions on whole heads, side by side, and their speed."""

import statistics
from typing import Any

import streamlit as st

from app.views.words import DASH
from core.anatomy import LABELS, SIDES
from core.models.registry import Version
from core.wording import counted

_KIND = "heads"
_BOTH = "both"
_NOT_TESTED = "not tested on these"
_SOURCES = {
    "reviewed": "Reviewed heads of the frozen test set",
    "synthetic": "Synthetic heads",
}
_LEGEND = (
    "Found: a mask offered without a doubt. Flagged: none, or called unreliable; the user is told. "
    "Missed: nothing is said, and there is no mask or a wrong one. In brackets the 95 % interval "
    "of the mean."
)
_MM3 = "mm\N{SUPERSCRIPT THREE}"


def whole_heads(serving: Version, other: Version) -> None:
    """Compare two versions on the same whole heads; says what to do where there are no figures."""
    st.markdown("**Whole heads**, from the file to the mask")
    tests = _tests(serving, other)
    if not tests:
        st.info(
            "Neither version was tested on whole heads. A training tests its version and the one "
            f"in service; for this one: `python -m core models test {other.number}`.",
            icon=":material/info:",
        )
        return
    for before, after in tests:
        named = after or before or {}
        st.markdown(_title(named))
        st.table(
            [
                {
                    "Figure": title,
                    f"Version {serving.number}, in service": old,
                    f"Version {other.number}": new,
                }
                for title, old, new in table_rows(before, after)
            ],
            hide_index=True,
            border="horizontal",
        )
        if before is None or after is None:
            untested = serving if before is None else other
            st.info(
                f"Version {untested.number} was not tested on these heads: `python -m core models "
                f"test {other.number}` tests both.",
                icon=":material/info:",
            )
    st.caption(_LEGEND)
    words = speed_words(serving, other)
    if words:
        st.caption(words)


def _tests(
    serving: Version, other: Version
) -> list[tuple[dict[str, Any] | None, dict[str, Any] | None]]:
    """For each source the newest figures of both on the same heads; None where one has none."""
    of_serving, of_other = serving.of_kind(_KIND), other.of_kind(_KIND)
    tests = []
    for source in _SOURCES:
        keys = [
            key
            for version in (of_serving, of_other)
            for key, figures in version.items()
            if figures["source"] == source
        ]
        both = [key for key in keys if key in of_serving and key in of_other]
        if keys:
            key = (both or keys)[-1]
            tests.append((of_serving.get(key), of_other.get(key)))
    return tests


def table_rows(
    before: dict[str, Any] | None, after: dict[str, Any] | None
) -> list[tuple[str, str, str]]:
    """The rows of the table: figure, and its value in both versions, with units."""
    columns = [_NOTHING if figures is None else _cells(figures) for figures in (before, after)]
    titles = next(column for column in columns if column)
    return [
        (title, *(column.get(title, _NOT_TESTED) for column in columns))  # type: ignore[misc]
        for title in titles
    ]


_NOTHING: dict[str, str] = {}


def _cells(figures: dict[str, Any]) -> dict[str, str]:
    summary = figures["summary"]
    both = summary[_BOTH]
    cells = {
        "Found / flagged / missed": f"{both['found']} / {both['flagged']} / {both['missed']} of "
        + counted(both["sides"], "side"),
        "Side errors": str(both["side_errors"]),
        "Dice": _dice(both["dice"]),
    }
    for side in SIDES:
        if summary[side]["dice"]:
            cells[f"Dice, {side}"] = _dice(summary[side]["dice"])
    for name in LABELS:
        if both[f"dice_{name}"]:
            cells[f"Dice {name}"] = _dice(both[f"dice_{name}"])
    cells["Centre error, median"] = _number(both["centre_error_mm"], ".1f", "mm")
    for side in (*SIDES, _BOTH):
        if summary[side]["sides"]:
            where = "" if side == _BOTH else f", {side}"
            cells[f"Volume bias{where}"] = _number(
                summary[side]["volume_bias_percent"], "+.1f", "%"
            )
    limits = both["volume_agreement_mm3"]
    cells["Limits of agreement"] = (
        f"{limits['low']:+,.0f} to {limits['high']:+,.0f} {_MM3}" if limits else DASH
    )
    cells["r of the volumes"] = _number(both["r"], ".2f", "")
    seconds = [head["seconds"] for head in figures["heads"]]
    cells["Time a head, median"] = _number(
        statistics.median(seconds) if seconds else None, ".1f", "s"
    )
    return cells


def _dice(spread: dict[str, float] | None) -> str:
    if spread is None:
        return DASH
    mean = f"{spread['mean']:.3f}"
    if spread["low"] == spread["high"]:  # too few for an interval
        return mean
    return f"{mean} ({spread['low']:.3f} to {spread['high']:.3f})"


def _number(value: float | None, form: str, unit: str) -> str:
    return DASH if value is None else f"{value:{form}} {unit}".strip()


def _title(figures: dict[str, Any]) -> str:
    heads = counted(len(figures["heads"]), "head")
    seen = sum(row["seen"] for row in figures["sides"])
    flatters = f". {counted(seen, 'side')} of patients seen in training" if seen else ""
    return f"**{_SOURCES[figures['source']]}**: {heads}, protocol {figures['protocol']}{flatters}"


def speed_words(serving: Version, other: Version) -> str:
    """How long a version takes for a crop against the one in service; empty where unknown."""
    timed = other.evaluations.get("latency")
    if timed is None or timed["against_sha256"] != serving.sha256:
        return ""
    return (
        f"Time for a crop: version {other.number} takes {timed['ratio']:.2f} times as long as "
        f"version {serving.number} (the shortest of each, "
        f"{counted(timed['cases'], 'test case')}, in turn)."
    )
