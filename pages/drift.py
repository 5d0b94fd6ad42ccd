"""Drift: whether the scans that come in still look like those that are known."""

from functools import partial

import streamlit as st

from app.operations import drift_of_cases
from app.views.admission import admit
from app.views.drift import chosen_kind, details, states
from app.views.drift_looks import advice, outcome, pictures
from app.views.drift_reports import kept_reports
from app.views.shared import services
from app.views.words import show_error
from core.drift.kinds import KINDS
from core.errors import HippoViewError

_WINDOWS = (20, 50, 200)

admit()
shared = services()
last = st.segmented_control(
    "Newest cases of each kind", list(_WINDOWS), default=_WINDOWS[0], required=True, key="window"
)
try:
    report = drift_of_cases(shared, last)
except HippoViewError as error:
    show_error(error)
    st.stop()

outcome()
states(report, partial(advice, shared))
kind = chosen_kind(report)
if kind is not None:
    details(report.of(kind))
for shown in (kind,) if kind is not None else KINDS:
    pictures(shared, report.of(shown))
kept_reports(shared)
