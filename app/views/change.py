"""Change between two scans of a patient: table and curves, beside what the method varies by."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from app.again import of_one_version
from app.views.words import DASH
from core.anatomy import LABEL_COLOURS
from core.cases.case import Case, confidence_of
from core.cases.persons import day_of, measured
from core.measures.change import (
    ALIKE,
    LARGER,
    NOT_JUDGED,
    PARTS,
    SMALLER,
    WITHIN,
    Change,
    Measured,
    Repeatability,
    band,
    cautions,
    changes,
    differences,
    in_order,
    years_between,
)
from core.measures.repeatability import measured_for, spreads_of
from core.wording import counted, minus, ml_text

_PLOT_PX = 340
_INTERVAL = "95 % interval (%)"
_BAND = "rgba(128, 136, 148, .28)"
_GREY = "#8A93A0"
_MARKS = {"total": "circle", "anterior": "square", "posterior": "diamond"}
_DOUBTED = "Unreliable or rejected: not joined to the others"
_SIGNS = {WITHIN: "≈", NOT_JUDGED: "?", SMALLER: "▼", LARGER: "▲"}


def show_change(scans: Sequence[Case]) -> tuple[Case, Case] | None:
    """Compare two of a patient's scans, the first and the last until others are chosen.

    Parameters
    ----------
    scans
        Of one patient, `core.cases.persons.in_time`.

    Returns
    -------
    (Case, Case) or None
        The earlier and the later one, if two are compared.
    """
    st.subheader("Change", anchor=False)
    if len(scans) < 2:
        st.info(
            "A change is shown once this patient has two scans. Give another case the same "
            "patient, on *Cases* under *Patient*, or before its file is dropped on *Segment*.",
            icon=":material/timeline:",
        )
        return None
    names = {case.id: f"{_day(case)}, {case.id}" for case in scans}
    key = "-".join(names)
    trusted = [case for case in scans if _is_trusted(case)]
    alike = of_one_version(trusted if len(trusted) > 1 else scans)
    ends = [alike[0].id, alike[-1].id] if len(alike) > 1 else [scans[0].id, scans[-1].id]
    order = list(names)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        first = st.selectbox(
            "From the scan",
            order,
            index=order.index(ends[0]),
            format_func=names.__getitem__,
            key=f"from-{key}",
            width=300,
        )
        last = st.selectbox(
            "To the scan", order, index=order.index(ends[1]), format_func=names.__getitem__,
            key=f"to-{key}", width=300,
        )  # fmt: skip
    if first == last:
        st.info("Choose two scans.", icon=":material/timeline:")
        return None
    by_id = {case.id: case for case in scans}
    pair = measured(by_id[first]), measured(by_id[last])
    earlier, later = in_order(*pair)
    reasons = differences(earlier, later)
    spreads = None if reasons else spreads_of(earlier, later)
    for reason in reasons:
        st.warning(
            f"**Not comparable without looking: {reason}.** The change is computed and not judged.",
            icon=":material/compare_arrows:",
        )
    for caution in cautions(earlier, later):
        st.warning(f"Before you believe a change: {caution}.", icon=":material/visibility:")
    by_side = changes(earlier, later, spreads)
    if not by_side:
        st.warning(
            "The two scans have no side in common: nothing can be compared.",
            icon=":material/compare_arrows:",
        )
        return None
    st.table(change_rows(earlier, later, by_side), hide_index=True, border="horizontal")
    st.caption(_about_time(earlier, later))
    if not reasons:
        st.markdown(band_words(spreads, earlier))
    st.plotly_chart(
        change_figure(
            [measured(case) for case in scans], list(by_side), earlier, spreads,
            [not _is_trusted(case) for case in scans],
        ),
        config={"displayModeBar": False}, key=f"change-{first}-{last}-{key}",
        alt="Volumes of each side and label from scan to scan",
    )  # fmt: skip
    cases = by_id[first], by_id[last]
    return cases if earlier is pair[0] else cases[::-1]


def change_rows(
    earlier: Measured, later: Measured, found: dict[str, dict[str, Change | None]]
) -> list[dict[str, str]]:
    """A row for each side and part, in words and with units."""
    rows = []
    for side, parts in found.items():
        for part, one in parts.items():
            row = {
                "": f"{side.capitalize()}, {part}",
                "Earlier (ml)": ml_text(earlier.volumes_mm3[side][part]),
                "Later (ml)": ml_text(later.volumes_mm3[side][part]),
                **dict.fromkeys(("Change (ml)", "Change (%)", _INTERVAL, "% a year"), DASH),
                "Meaning": "not found in one scan",
            }
            if one is not None:
                row |= {
                    "Change (ml)": minus(ml_text(one.mm3, sign=True)),
                    "Change (%)": minus(f"{one.percent:+z.1f}"),
                    "Meaning": f"{_SIGNS[one.meaning]} {one.meaning}",
                }
                if one.meaning == NOT_JUDGED and part in _not_measured(found):
                    row["Meaning"] += ": how much it varies was not measured"
                if one.interval_percent is not None:
                    low, high = one.interval_percent
                    row[_INTERVAL] = minus(f"{low:+z.1f} to {high:+z.1f}")
                if one.percent_a_year is not None:
                    row["% a year"] = minus(f"{one.percent_a_year:+z.1f}")
            rows.append(row)
    return rows


def _not_measured(found: dict[str, dict[str, Change | None]]) -> set[str]:
    """Parts that are not judged although others are."""
    judged = {
        part for parts in found.values() for part, one in parts.items()
        if one is not None and one.meaning != NOT_JUDGED
    }  # fmt: skip
    return set(PARTS) - judged if judged else set()


def band_words(spreads: tuple[Repeatability, Repeatability] | None, scan: Measured) -> str:
    """What the band is, and where it comes from."""
    if spreads is None:
        edge_mm = max(scan.spacing_mm)
        return (
            f"**Not measured**: how far the volumes of model version {scan.model_version} differ "
            f"from scan to scan with voxels of {edge_mm:.2g} mm is not known, so no change is "
            f"judged. {_what_is_measured(scan)}"
        )
    one = spreads[0]
    half = 100 * math.expm1(band((one.spread["total"], spreads[1].spread["total"])))
    return (
        f"**What the method varies by**: {100 * one.spread['total']:.1f} % of a hippocampus (SD of "
        f"one scan), so two scans of an unchanged one differ by up to {half:.1f} % in 95 of 100 "
        f"pairs: the grey band around the earlier scan. Measured with "
        f"voxels of {one.edge_mm:.2g} mm on {counted(one.heads, 'head')}, "
        f"{counted(one.scans, 'scan')} each: {one.source}.{loss_words(one)}"
    )


def loss_words(one: Repeatability) -> str:
    """How much of a known loss is found, where it was measured and is too little."""
    if one.found_of_3_percent is None:
        return ""
    return (
        " **A loss may be larger than it looks**: of hippocampi that a known deformation made 3 % "
        f"smaller, {one.found_of_3_percent:.1f} % were found in the mean; the interval does not "
        "know of it."
    )


def _what_is_measured(scan: Measured) -> str:
    """For which scans a change is judged, and what to do where it is not."""
    edges = [f"{one.edge_mm:.2g}" for one in measured_for(scan.model_sha256)]
    if not scan.is_head:
        return "It is measured on whole heads alone: segment the heads, not crops of them."
    if not edges:
        return (
            "Nothing was measured of this version: an administrator can do it with `python -m "
            "benchmarks.rescans`, or segment both scans with a version of which it is known."
        )
    return (
        f"It is measured with voxels of {' and '.join(edges)} mm, and holds up to "
        f"{100 * ALIKE - 100:.0f} % above and below. Where the scanner's own scan has such voxels, "
        "segment that one."
    )


def change_figure(
    scans: Sequence[Measured],
    sides: Sequence[str],
    earlier: Measured,
    spreads: tuple[Repeatability, Repeatability] | None,
    doubted: Sequence[bool] = (),
) -> go.Figure:
    """Each side's volumes over time, with the band of the method around the earlier scan's.

    Parameters
    ----------
    doubted
        Which of the scans are unreliable or were rejected: they are shown, and joined to none.
    """
    doubts = list(doubted) or [False] * len(scans)
    figure = make_subplots(
        cols=len(sides), rows=1, shared_yaxes=True, horizontal_spacing=0.03,
        subplot_titles=[side.capitalize() for side in sides],
    )  # fmt: skip
    dated = all(scan.day for scan in scans)
    doubted_first = next(
        (
            side for side in sides
            if any(d and side in scan.volumes_mm3 for scan, d in zip(scans, doubts, strict=True))
        ),
        "",
    )  # fmt: skip
    for column, side in enumerate(sides, start=1):
        points = [
            (scan.day if dated else f"scan {number}", scan.volumes_mm3[side], doubts[number - 1])
            for number, scan in enumerate(scans, start=1)
            if side in scan.volumes_mm3
        ]
        trusted = [(day, of) for day, of, is_doubted in points if not is_doubted]
        others = [(day, of) for day, of, is_doubted in points if is_doubted]
        for part in PARTS:
            colour = LABEL_COLOURS.get(part, _GREY)
            figure.add_trace(
                go.Scatter(
                    x=[day for day, _ in trusted], y=[of[part] / 1000 for _, of in trusted],
                    name=part.capitalize(), mode="lines+markers", line={"color": colour},
                    marker={"symbol": _MARKS[part], "size": 9}, legendgroup=part,
                    showlegend=column == 1,
                    hovertemplate="%{x}: %{y:.2f} ml<extra>" + part + "</extra>",
                ),
                row=1, col=column,
            )  # fmt: skip
            if others:
                figure.add_trace(
                    go.Scatter(
                        x=[day for day, _ in others], y=[of[part] / 1000 for _, of in others],
                        name=_DOUBTED, mode="markers", legendgroup=_DOUBTED,
                        marker={"symbol": "x-thin", "size": 9, "line_width": 2,
                                "line_color": colour},
                        showlegend=part == PARTS[0] and side == doubted_first,
                        hovertemplate="%{x}: %{y:.2f} ml<extra>" + f"{part}, {_DOUBTED[:22]}"
                        "</extra>",
                    ),
                    row=1, col=column,
                )  # fmt: skip
            # Plotly leaves a rectangle out where nothing is drawn yet.
            if spreads and all(part in of.spread for of in spreads):
                half = band((spreads[0].spread[part], spreads[1].spread[part]))
                middle = earlier.volumes_mm3[side][part] / 1000
                figure.add_hrect(
                    middle * math.exp(-half), middle * math.exp(half), row=1, col=column,
                    fillcolor=_BAND, line_width=0, layer="below",
                )  # fmt: skip
    figure.update_xaxes(type="date" if dated else "category")
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title_text="ml", col=1)
    figure.update_layout(
        height=_PLOT_PX, margin={"l": 50, "r": 10, "t": 40, "b": 30},
        legend={"orientation": "h", "y": -0.12},
    )  # fmt: skip
    return figure


def _about_time(earlier: Measured, later: Measured) -> str:
    years = years_between(earlier.day, later.day)
    if years is None:
        return (
            "No change a year: the date of a scan is not known. Type it on *Cases*, under "
            "*Patient* of the open case."
        )
    return f"{years:.1f} years lie between the scans. From less than three months no change a year."


def _is_trusted(case: Case) -> bool:
    """Whether a scan may stand in the pair that is shown first."""
    return confidence_of(case.report) != "unreliable" and case.review.state != "rejected"


def _day(case: Case) -> str:
    return day_of(case) if measured(case).day else f"segmented {day_of(case)}"
