"""Operations: whether the server is well."""

import streamlit as st

from app.operations import cases_words, damaged_words, status, trash_words
from app.views.admission import admit, is_admitted
from app.views.shared import services
from app.views.steps import in_turn, step_words

_REFRESH_S = 5.0
_DEVICES = {"cpu": "the processor (CPU)", "cuda": "a graphics card (CUDA)"}
_OUTCOMES = {
    "segmented": "Segmented", "refused": "Refused: not a scan that can be segmented",
    "busy": "Turned away: too many waited", "gone": "Given up by whoever sent it",
    "failed": "Failed",
}  # fmt: skip

admit()


@st.fragment(run_every=_REFRESH_S)
def _show() -> None:
    if not is_admitted():
        st.rerun()
    state = status(services())
    first, second, third, fourth = st.columns(4)
    first.metric("State", state["state"].capitalize())
    second.metric("Waiting scans", f"{state['waiting']} of {state['queue_size']}")
    third.metric("Disk free", f"{state['disk_free_gib']:,.1f} GiB",
                 f"of {state['disk_total_gib']:,.1f} GiB", delta_color="off",
                 delta_arrow="off")  # fmt: skip
    fourth.metric("Memory in use", f"{state['memory_used_mib']:,} MiB",
                  f"{state['memory_free_gib']:,.1f} GiB free", delta_color="off",
                  delta_arrow="off")  # fmt: skip
    if state["failure"]:
        st.error(f"{state['failure']}. The Models page can put another version into service.")
    for say in (cases_words, damaged_words, trash_words):
        if words := say(state["cases_health"]):
            st.warning(words)
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Server", anchor=False)
        st.table(
            {
                "Model version": state["model_version"] or "none",
                "Computes on": _DEVICES.get(state["device"], state["device"] or "nothing yet"),
                "Processor cores": str(state["cores"]),
                "Trainings waiting or running": str(state["jobs_active"]),
                "Cases": f"{state['cases']:,}",
                "Storage": state["storage"],
            },
            border="horizontal",
        )
        with st.expander("Versions of the programs it is built on, for a report of a fault"):
            st.table(state["programs"], border="horizontal")
    with right:
        st.subheader("Scans since the start", anchor=False)
        if not state["scans"]:
            st.caption("None yet.")
        else:
            st.table({_OUTCOMES.get(k, k.capitalize()): f"{v:,}"
                      for k, v in state["scans"].items()}, border="horizontal")  # fmt: skip
            timed = state["timings_s"]
            st.table(
                [
                    {"Step": step_words(step), "Scans": f"{timed[step]['count']:.0f}",
                     "Mean time": f"{timed[step]['mean_s']:.2f} s"}
                    for step in in_turn(timed)
                ],
                hide_index=True, border="horizontal",
            )  # fmt: skip
    st.caption(
        "For a monitoring program: /api/live says whether the server runs, /api/health whether the "
        "model serves, /api/metrics gives all figures (Prometheus)."
    )


_show()
