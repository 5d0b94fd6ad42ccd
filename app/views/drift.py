"""Parts of the Drift page."""

from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app.views.words import plain
from core.drift.comparison import State
from core.drift.kinds import KINDS, Kind
from core.drift.of_cases import CaseDrift, KindDrift
from core.drift.words import rule_words, since_words
from core.exports.drift_report import STATE_WORDS, Part, report_html

_PLOT_PX = 320
_BINS = 24
_REFERENCE, _CASES = "#8A8F98", "#4FC1A6"
_BADGES: dict[State, tuple[str, str]] = {
    "quiet": (":material/check_circle:", "Quiet"),
    "watch": (":material/visibility:", "Watch"),
    "act": (":material/warning:", "Act"),
    "not enough yet": (":material/hourglass_empty:", "Not enough yet"),
    "learning the baseline": (":material/school:", "Learning the baseline"),
}
_TITLES: dict[Kind, str] = {"crop": "Crops", "head": "Heads"}
_URGENCY: tuple[State, ...] = ("quiet", "watch", "act")  # of kinds that are compared
_COUNTED = "Scans from the Segment page are counted."


def states(report: CaseDrift, advise: Callable[[KindDrift], None] = lambda found: None) -> None:
    """The states of crops and heads side by side, each with a word, an icon and its counts.

    Parameters
    ----------
    advise
        Shows below what to do.
    """
    for column, kind in zip(st.columns(2, gap="large", border=True), KINDS, strict=True):
        of_kind = report.of(kind)
        icon, word = _BADGES[of_kind.state]
        with column:
            st.markdown(f"### {icon} {_TITLES[kind]}: {word}")
            if of_kind.state != "not enough yet":
                st.markdown(STATE_WORDS[of_kind.state])
            if of_kind.chain and of_kind.chain.scans:
                for words in since_words(of_kind.chain):
                    st.markdown(f"- {_sentence(words)}.")
                for words in of_kind.scanner_words:
                    st.markdown(f"- {plain(words)}.")
                with st.expander("The rule"):
                    st.markdown(rule_words(of_kind.chain))
            elif not of_kind.drift.comparisons:
                st.markdown(f"{_sentence(of_kind.drift.reasons[0].removesuffix('.'))}. {_COUNTED}")
            st.caption(of_kind.counted_words)
            advise(of_kind)


def chosen_kind(report: CaseDrift) -> Kind | None:
    """The kind to show in detail: the one that asks for more, unless a person chooses the other.

    None where neither is compared.
    """
    compared = [kind for kind in KINDS if report.of(kind).drift.comparisons]
    if len(compared) < len(KINDS):
        return compared[0] if compared else None
    first = max(compared, key=lambda kind: _URGENCY.index(report.of(kind).state))
    chosen: Kind = st.segmented_control(
        "Details of", compared, default=first, required=True, format_func=_TITLES.__getitem__,
        key="kind",
    )  # fmt: skip
    return chosen


def details(found: KindDrift) -> None:
    """What moved, which cases are unusual, and each feature's distribution."""
    drift, title = found.drift, _TITLES[found.kind]
    names = [case.id for case in found.cases]
    part = Part(title, drift, found.reference, found.window, names, found.chain)
    st.download_button(
        "Report (.html)", lambda: report_html([part]), "hippoview-drift.html", "text/html",
        on_click="ignore", icon=":material/download:", key=f"report-{found.kind}",
    )  # fmt: skip
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader(f"{title}: what moved in the newest {len(names)}", anchor=False)
        for reason in drift.reasons:
            st.markdown(f"- {_sentence(reason)}")
    with right:
        st.subheader("The most unusual cases", anchor=False)
        st.table(
            [
                {
                    "Case": f"[{names[index]}](/cases?case={names[index]})",
                    "Distance (SD)": f"{far:.1f}",
                    "In": feature,
                }
                for index, far, feature in drift.unusual
            ],
            hide_index=True,
            border="horizontal",
        )
    _features(found)


def _features(found: KindDrift) -> None:
    moved = sorted(found.drift.comparisons, key=lambda c: (not c.moved, -c.distance))
    names = {c.feature.key: c.feature.name for c in moved}
    keys = list(names)
    key = st.selectbox(
        "Feature", keys, format_func=names.__getitem__, key=f"feature-{found.kind}-{keys[0]}",
        width=360,
    )  # fmt: skip
    columns = st.columns(2, gap="large")
    with columns[0]:
        distribution(found, key, names[key])
    with columns[1]:
        timeline(found, key, names[key])


def distribution(found: KindDrift, key: str, name: str) -> None:
    """A feature's histogram in the reference and in the window."""
    figure = go.Figure()
    reference, window = (
        [case[key] for case in cases if key in case] for cases in (found.reference, found.window)
    )
    edges = np.histogram_bin_edges([*reference, *window], _BINS)
    bins = {"start": edges[0], "end": edges[-1], "size": edges[1] - edges[0]}
    for values, title, colour in (
        (reference, "reference", _REFERENCE), (window, "these cases", _CASES),
    ):  # fmt: skip
        figure.add_histogram(
            x=values, name=title, histnorm="percent", xbins=bins, marker_color=colour, opacity=0.7
        )
    _finish(figure, "Against the reference", name, "Share of cases (%)")
    figure.update_layout(barmode="overlay")
    st.plotly_chart(figure, config={"displayModeBar": False}, key=f"distribution-{key}",
                    alt=f"Histogram of {name}: reference and these cases")  # fmt: skip


def timeline(found: KindDrift, key: str, name: str) -> None:
    """A feature case by case, with the band that holds 90 % of the reference."""
    low, high = np.percentile([v[key] for v in found.reference if key in v], [5, 95])
    shown = [
        (number, case.id, values[key])
        for number, (case, values) in enumerate(zip(found.cases, found.window, strict=True), 1)
        if key in values
    ]
    figure = go.Figure()
    figure.add_hrect(
        y0=float(low), y1=float(high), fillcolor=_REFERENCE, opacity=0.25, line_width=0
    )
    figure.add_scatter(
        x=[number for number, _, _ in shown], y=[value for _, _, value in shown], mode="markers",
        marker_color=_CASES, text=[case_id for _, case_id, _ in shown],
        hovertemplate="%{text}: %{y:.3f}<extra></extra>",
    )  # fmt: skip
    _finish(figure, "Case by case; grey holds 90 % of the reference", "Case, the newest last", name)
    st.plotly_chart(figure, config={"displayModeBar": False}, key=f"timeline-{key}",
                    alt=f"{name} of each case in order")  # fmt: skip


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}"


def _finish(figure: go.Figure, title: str, x: str, y: str) -> None:
    figure.update_layout(
        height=_PLOT_PX, title=title, xaxis_title=x, yaxis_title=y,
        margin={"l": 10, "r": 10, "t": 40, "b": 10},
        legend={"orientation": "h", "y": 1.1, "x": 0.5},
    )  # fmt: skip
