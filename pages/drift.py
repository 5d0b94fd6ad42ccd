"""Drift: whether the scans that come in still look like those of the training."""

import streamlit as st

from app.operations import drift_of_cases
from app.views.admission import admit
from app.views.drift import distribution, state_badge, timeline
from app.views.shared import services
from app.views.words import show_error
from core.errors import HippoViewError
from core.exports.drift_report import STATE_WORDS, report_html
from core.measures.features import FEATURES
from core.wording import counted

_WINDOWS = (20, 50, 200)

admit()
shared = services()
last = st.segmented_control(
    "Newest cases", list(_WINDOWS), default=_WINDOWS[0], required=True, key="window"
)
try:
    report = drift_of_cases(shared, last)
except HippoViewError as error:
    show_error(error)
    st.stop()
drift = report.drift

state_badge(drift.state)
if drift.comparisons:
    st.markdown(STATE_WORDS[drift.state])
st.caption(
    f"{counted(drift.window_cases, 'case')} against the {drift.reference_cases} that model version "
    f"{report.version} was trained on."
    + (
        f" Left out: {counted(report.heads, 'whole head')}; it was trained on crops."
        if report.heads
        else ""
    )
)
if not drift.comparisons:
    reason = drift.reasons[0]
    st.info(
        f"{reason[0].upper()}{reason[1:]}. Scans from the Segment page are counted.",
        icon=":material/hourglass_empty:",
    )
    st.stop()

st.download_button(
    "Report (.html)",
    lambda: report_html(drift, report.reference, report.window, [case.id for case in report.cases]),
    "hippoview-drift.html", "text/html", on_click="ignore", icon=":material/download:",
)  # fmt: skip
left, right = st.columns(2, gap="large")
with left:
    st.subheader("What moved", anchor=False)
    for reason in drift.reasons:
        st.markdown(f"- {reason[0].upper()}{reason[1:]}")
with right:
    st.subheader("The most unusual cases", anchor=False)
    st.table(
        [
            {
                "Case": f"[{report.cases[index].id}](/cases?case={report.cases[index].id})",
                "Distance (SD)": f"{far:.1f}",
                "In": feature,
            }
            for index, far, feature in drift.unusual
        ],
        hide_index=True,
        border="horizontal",
    )

moved = sorted(drift.comparisons, key=lambda c: (not c.moved, -c.distance))
keys = [c.feature.key for c in moved]
names = {feature.key: feature.name for feature in FEATURES}
key = st.selectbox(
    "Feature", keys, format_func=names.__getitem__, key=f"feature-{keys[0]}", width=360
)
columns = st.columns(2, gap="large")
with columns[0]:
    distribution(report, key, names[key])
with columns[1]:
    timeline(report, key, names[key])
