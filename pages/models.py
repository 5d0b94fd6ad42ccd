"""Models: the versions, two of them compared, a shadow, and which one serves."""

import streamlit as st

from app.views.admission import administrator, admit
from app.views.head_figures import whole_heads
from app.views.promotion import confirm_promotion, history_table
from app.views.shadow import shadow_section
from app.views.shared import services
from app.views.versions import comparison, show_outcome, versions_table
from app.views.words import show_error
from core.errors import HippoViewError

admit()
shared = services()
registry = shared.registry
versions = registry.find()
if shared.predictors.failure is not None:
    show_error(shared.predictors.failure)
    st.markdown("No scan can be segmented until another version is put into service below.")
show_outcome()
if not versions:
    st.info("No version is registered yet: the model is still being loaded.")
    st.stop()

serving = next((v for v in versions if v.stage == "serving"), versions[-1])
versions_table(versions)
previous = registry.previous()
if previous is not None and st.button(
    f"Roll back to version {previous}", icon=":material/undo:",
    help="Puts the version back into service that served before this one.",
):  # fmt: skip
    with st.spinner(f"Loading version {previous}. Scans go on meanwhile."):
        try:
            number = shared.roll_back(previous, by=administrator())
        except HippoViewError as error:
            st.session_state["outcome"] = error
        else:
            st.session_state["outcome"] = f"Version {number} is in service again."
    st.rerun()

others = [v for v in versions if v.number != serving.number]
if not others:
    st.info(
        "Only one version so far. A training on the *Retrain* page makes a candidate to compare "
        "with it.",
        icon=":material/compare:",
    )
else:
    st.subheader("Compare", anchor=False)
    numbers = [v.number for v in others]
    number = st.selectbox(
        f"Version {serving.number}, in service, against", numbers, width=360,
        format_func=lambda n: f"Version {n}", key=f"against-{serving.number}-{numbers[0]}",
    )  # fmt: skip
    compared = next(v for v in others if v.number == number)
    comparison(serving, compared)
    whole_heads(serving, compared)
    if st.button(
        f"Promote version {number}", type="primary", icon=":material/arrow_upward:",
        help="Puts it into service after you have confirmed.",
    ):  # fmt: skip
        confirm_promotion(shared, compared.number)

shadow_section(shared, versions)

with st.expander("What was in service when"):
    history_table(registry.history())
