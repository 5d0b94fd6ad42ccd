"""Part of a patient's page: scans of other versions, segmented again by the one that serves."""

from collections.abc import Sequence
from functools import partial

import streamlit as st
from streamlit.runtime import get_instance
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.again import Again, to_do, touched
from app.services import Services
from app.views.following import follow
from core.cases.case import Case
from core.wording import counted

_KEY = "again"


def show_again(shared: Services, scans: Sequence[Case]) -> None:
    """Offer it where a patient's scans have several versions, say what it does, and follow it."""
    batch = _batch_of(shared)
    if batch.now().active:
        follow(batch)
        st.rerun()
    for outcome in batch.now().outcomes:
        if outcome.error:
            st.error(f"**{outcome.name}**: {outcome.error}", icon=":material/block:")
    versions = {case.report["model"].get("sha256", ""): case for case in scans}
    serving = shared.predictors.serving
    if len(versions) < 2 or serving is None:
        return
    old = to_do(scans, serving.model.sha256)
    if not old:
        return
    version = serving.model.version
    names = sorted({case.report["model"]["version"] for case in scans})
    by_hand = [case.id for case in old if touched(case)]
    kept = (
        f" Corrections and reviews stay where they are, on {', '.join(by_hand)}: the new masks are "
        "the model's own, and nobody has looked at them."
        if by_hand
        else " Nobody has reviewed the new masks."
    )
    st.info(
        f"Model versions {', '.join(names)} segmented these scans: their volumes are not "
        f"comparable. Segmented again, {counted(len(old), 'scan')} of other versions "
        f"get{'s' * (len(old) == 1)} a new case by version {version}. No case is changed or "
        f"removed.{kept}",
        icon=":material/autorenew:",
    )
    st.button(
        f"Segment all again with version {version}", icon=":material/autorenew:",
        on_click=batch.add_cases, args=(old,), key=f"again-{'-'.join(case.id for case in old)}",
    )  # fmt: skip


def _batch_of(shared: Services) -> Again:
    if _KEY not in st.session_state:
        context = get_script_run_ctx()
        session = context.session_id if context else ""
        st.session_state[_KEY] = Again(shared, partial(get_instance().is_active_session, session))
    batch: Again = st.session_state[_KEY]
    return batch
