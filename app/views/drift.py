"""Parts of the Drift page."""

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app.operations import CaseDrift
from core.drift.comparison import State

_PLOT_PX = 320
_REFERENCE, _CASES = "#8A8F98", "#4FC1A6"
_BADGES: dict[State, tuple[str, str]] = {
    "quiet": (":material/check_circle:", "Quiet"),
    "watch": (":material/visibility:", "Watch"),
    "act": (":material/warning:", "Act"),
    "not enough yet": (":material/hourglass_empty:", "Not enough yet"),
}


def state_badge(state: State) -> None:
    """The state as a badge with a word and an icon."""
    icon, word = _BADGES[state]
    st.markdown(f"### {icon} {word}")


def distribution(found: CaseDrift, key: str, name: str) -> None:
    """A feature's histogram in the reference and in the window."""
    figure = go.Figure()
    for values, title, colour in (
        ([v[key] for v in found.reference], "training", _REFERENCE),
        ([v[key] for v in found.window], "these cases", _CASES),
    ):
        figure.add_histogram(
            x=values, name=title, histnorm="percent", nbinsx=30, marker_color=colour, opacity=0.7
        )
    _finish(figure, "Against the training", name, "Share of cases (%)")
    figure.update_layout(barmode="overlay")
    st.plotly_chart(figure, config={"displayModeBar": False}, key=f"distribution-{key}",
                    alt=f"Histogram of {name}: training and these cases")  # fmt: skip


def timeline(found: CaseDrift, key: str, name: str) -> None:
    """A feature case by case, with the band that holds 90 % of the training."""
    low, high = np.percentile([v[key] for v in found.reference], [5, 95])
    figure = go.Figure()
    figure.add_hrect(
        y0=float(low), y1=float(high), fillcolor=_REFERENCE, opacity=0.25, line_width=0
    )
    figure.add_scatter(
        x=list(range(1, len(found.window) + 1)), y=[v[key] for v in found.window], mode="markers",
        marker_color=_CASES, text=[case.id for case in found.cases],
        hovertemplate="%{text}: %{y:.3f}<extra></extra>",
    )  # fmt: skip
    _finish(figure, "Case by case; grey holds 90 % of the training", "Case, the newest last", name)
    st.plotly_chart(figure, config={"displayModeBar": False}, key=f"timeline-{key}",
                    alt=f"{name} of each case in order")  # fmt: skip


def _finish(figure: go.Figure, title: str, x: str, y: str) -> None:
    figure.update_layout(
        height=_PLOT_PX, title=title, xaxis_title=x, yaxis_title=y,
        margin={"l": 10, "r": 10, "t": 40, "b": 10},
        legend={"orientation": "h", "y": 1.1, "x": 0.5},
    )  # fmt: skip
