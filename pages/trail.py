"""Trail: who did what, when and from where."""

import hashlib
from functools import partial
from typing import Any

import streamlit as st

from app.views.admission import admit
from app.views.recorded import as_visitor
from app.views.shared import services
from app.views.trail import account_names, case_marks, from_words, show_line, who_words
from core.people.audit import ACTS, mark
from core.people.audit_table import export, lines_for
from core.wording import counted

_MOST_SHOWN = 500
_TABLE_PX = 430
_NOTE_PX, _FROM_PX = 230, 90

admit()
guard = services().accounts.guard
with st.container(horizontal=True, vertical_alignment="bottom"):
    days = st.date_input("Days (UTC), from and to", value=(), key="trail-days", width=300)
    who = st.text_input("Name, account or address", key="trail-who", width=220, live=True)
    kinds = ["", *ACTS]
    act = st.selectbox("Act", kinds, key="trail-act", width=150, format_func=lambda a: a or "all")
    case_id = st.text_input("Case id", key="trail-case", width=150, live=True)
since, until = (*(day.isoformat() for day in days), "", "")[:2]
what = mark(guard.engine, "case", case_id.strip()) if case_id.strip() else ""
filters: dict[str, Any] = {
    "since": since, "until": until, "who": who, "act": act, "what": what
}  # fmt: skip
found = lines_for(guard, **filters, most=_MOST_SHOWN)
marks, names = case_marks(services()), account_names(services())
if what:
    marks[what] = f"case {case_id.strip()}"
rows = hashlib.sha256(" ".join(str(line.number) for line in found).encode()).hexdigest()
picked = st.dataframe(
    [
        {
            "Line": line.number,
            "When (UTC)": line.at[:19].replace("T", " "),
            "Who": who_words(line, names),
            "Role": line.role,
            "From": from_words(line),
            "Act": line.act,
            "Note": line.note,
            "About": marks.get(line.what, line.what),
            "Before": line.before[:12],
            "After": line.after[:12],
        }
        for line in found
    ],
    hide_index=True, height=_TABLE_PX if len(found) > 12 else "auto", key=f"trail-{rows}",
    on_select="rerun", selection_mode="single-row",
    column_config={
        "Note": st.column_config.Column(width=_NOTE_PX),
        "From": st.column_config.Column(width=_FROM_PX),
    },
    alt="Lines of the trail, the newest first",
)  # fmt: skip
for number in picked["selection"]["rows"]:
    line = found[number]
    show_line(line, who_words(line, names), marks.get(line.what, line.what))
with st.container(horizontal=True, vertical_alignment="center"):
    st.download_button(
        "Lines (.csv)", as_visitor(services(), partial(export, guard, **filters)),
        "hippoview-trail.csv", "text/csv",
        on_click="ignore", icon=":material/download:",
    )  # fmt: skip
    at_most = f", the newest {_MOST_SHOWN}" if len(found) == _MOST_SHOWN else ""
    st.caption(
        f"{counted(len(found), 'line')}{at_most}. Choose a line to read it whole. The trail names "
        "no case and no patient: cases that are still here are found by their marks, and a mark of "
        "letters and digits is of one that was removed. Whether all lines are as they were written "
        "says the command: python -m core audit verify."
    )
