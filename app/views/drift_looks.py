"""What to do about drift: look at the unusual cases, retrain, or accept the new scans as normal."""

from collections.abc import Sequence
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.operations import accept_normal, take_normal_back
from app.services import Services
from app.views.words import plain, show_error
from core.drift.kinds import Kind
from core.drift.known import Known
from core.drift.looks import NOTHING
from core.drift.normal import who_words
from core.drift.of_cases import KindDrift
from core.drift.words import advice_words
from core.errors import HippoViewError
from core.exports.thumbnail import thumbnail_png
from core.limits import MAX_REASON_CHARS, MIN_DRIFT_CASES, MIN_REASON_CHARS, MOST_NORMAL_CASES
from core.settings import ROOT
from core.wording import counted

_COLUMNS = 5
_PICTURE_PX = 150
_DONE, _PROBLEM = "normal-done", "normal-problem"
_PLACEHOLDER = f"At least {MIN_REASON_CHARS} characters"


def outcome() -> None:
    """What became of the last act, once."""
    if done := st.session_state.pop(_DONE, ""):
        st.success(done, icon=":material/check:")
    if problem := st.session_state.pop(_PROBLEM, None):
        show_error(problem)


def advice(shared: Services, found: KindDrift) -> None:
    """What to do, with a way to each; and what was accepted before."""
    known, chain = found.known, found.chain
    if known is not None and known.normal is not None:
        normal = known.normal
        st.markdown(
            f":material/new_releases: Compared with {found.reference_words}, by "
            f"{plain(who_words(normal))}: “{plain(normal.reason)}”"
        )
        _taking_back(shared, found, known)
    words = advice_words(chain) if chain else []
    if chain is None or not words:
        return
    st.markdown("**What to do**")
    for sentence in words:
        st.markdown(f"- {sentence}")
    ids = ",".join(each.case_id for each in chain.looks.unusual)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(
            str(ROOT / "pages" / "cases.py"), label=f"Open these {len(chain.looks.unusual)}",
            icon=":material/checklist:", query_params={"only": ids},
        )  # fmt: skip
        st.page_link(
            str(ROOT / "pages" / "retrain.py"), label="Retrain", icon=":material/model_training:"
        )
        if known is not None and known.is_complete:
            _accepting(shared, found, known, chain.looks.since)


def pictures(shared: Services, found: KindDrift) -> None:
    """The most unusual cases since the change, beside typical ones of before."""
    looks = found.chain.looks if found.chain else NOTHING
    if not looks.unusual:
        return
    st.subheader("The most unusual since the change", anchor=False)
    st.caption(
        "Sagittal and coronal slice through the middle of the mask, radiological: the patient's "
        "right is on the left of a coronal slice."
    )
    left, right = st.columns([3, 1], gap="large")
    with left:
        captions = {
            each.case_id: f"{each.feature.name} {each.away_sd:+.1f} SD" for each in looks.unusual
        }
        _grid(shared, captions, _COLUMNS)
    with right:
        st.markdown("**Typical before it**")
        if looks.typical:
            _grid(shared, dict.fromkeys(looks.typical, ""), 2)
        else:
            st.caption("No case from before the change is here.")


def _grid(shared: Services, captions: dict[str, str], across: int) -> None:
    columns: list[DeltaGenerator] = []
    for place, (case_id, caption) in enumerate(captions.items()):
        if place % across == 0:  # rows of their own, so that they stand in line
            columns = st.columns(across)
        with columns[place % across]:
            try:
                version = shared.cases.get(case_id).mask_version
                picture = _picture(shared, case_id, version)
            except HippoViewError as error:  # deleted meanwhile, or a file is missing
                st.caption(f"{case_id}: {error.message}.")
                continue
            st.image(picture, width=_PICTURE_PX, alt=f"Slices of {case_id}")
            st.caption(f"[{case_id}](/cases?case={case_id})  \n{caption}")


@st.cache_data(show_spinner="Drawing the cases", max_entries=200)
def _picture(_shared: Services, case_id: str, version: int) -> bytes:
    return thumbnail_png(_shared.cases.images(case_id, version), "radiological")


def _accepting(
    shared: Services, found: KindDrift, known: Known, since: Sequence[str]
) -> None:  # fmt: skip
    """Asks how many of the newest cases are normal, and why."""
    newest = [row.id for row in found.rows]
    most = min(len(newest), MOST_NORMAL_CASES)
    if most < MIN_DRIFT_CASES:
        st.caption(f"A new normal takes {MIN_DRIFT_CASES} cases.")
        return
    with (
        st.popover("Accept as the new normal", icon=":material/new_releases:"),
        st.form(f"accept-{found.kind}", border=False),
    ):
        st.markdown(
            f"{counted(len(since), found.kind).capitalize()} since the change. Those that you "
            f"accept become what later {found.kind}s are compared with, in place of "
            f"{found.reference_words}. It can be taken back."
        )
        st.number_input(
            f"Newest {found.kind}s", MIN_DRIFT_CASES, most,
            value=min(max(len(since), MIN_DRIFT_CASES), most), key=f"accept-count-{found.kind}",
        )  # fmt: skip
        st.text_input(
            "Why are they as they should be?", max_chars=MAX_REASON_CHARS,
            key=f"accept-why-{found.kind}", placeholder=_PLACEHOLDER,
        )  # fmt: skip
        st.caption("The reason stays in the trail: no patient's name.")
        # With what was shown: another tab or person may have decided by the time of the click.
        st.form_submit_button(
            "Accept them", type="primary", on_click=_accept,
            args=(shared, found.kind, newest, known),
        )  # fmt: skip


def _accept(shared: Services, kind: Kind, newest: Sequence[str], known: Known) -> None:
    count, reason = (st.session_state[f"accept-{name}-{kind}"] for name in ("count", "why"))
    act = partial(accept_normal, shared, kind, newest[:count], reason, known)
    _do(act, f"{counted(count, kind).capitalize()} are the new normal.")


def _taking_back(shared: Services, found: KindDrift, known: Known) -> None:
    with (
        st.popover("Back to the reference of before", icon=":material/undo:"),
        st.form(f"take-back-{found.kind}", border=False),
    ):
        st.markdown(
            f"{found.kind.capitalize()}s are compared with what the model, or this house, had "
            "before, and all cases since the last promotion count again."
        )
        key = f"take-back-why-{found.kind}"
        st.text_input(
            "Why?", max_chars=MAX_REASON_CHARS, key=key, placeholder=_PLACEHOLDER
        )  # fmt: skip
        st.form_submit_button(
            "Take it back", on_click=_take_back, args=(shared, found.kind, known)
        )  # fmt: skip


def _take_back(shared: Services, kind: Kind, known: Known) -> None:
    act = partial(take_normal_back, shared, kind, st.session_state[f"take-back-why-{kind}"], known)
    _do(act, "The reference of before holds again.")


def _do(act: partial[None], done: str) -> None:
    """Do it in a callback, and keep what became of it for `outcome`."""
    try:
        act()
    except HippoViewError as error:
        st.session_state[_PROBLEM] = error
    else:
        st.session_state[_DONE] = done
