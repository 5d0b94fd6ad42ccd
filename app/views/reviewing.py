"""Parts for judging a mask: the review of a case, the versions of its mask, what lies beside it.

A click or a key may arrive when the page has gone on to another case. So each control belongs to
one case and one version of its mask, by its key, and acts in a callback that was given them: it
never acts on what the page shows by then.
"""

from collections.abc import Callable

import streamlit as st

from app.services import Services
from app.views.focus import FIRST_FIELD, focus_first_field
from app.views.slices import Beside
from app.views.waiting import say_that_it_waits
from app.views.words import plain
from core.anatomy import LABELS
from core.cases.case import MODEL_MASK, Case, doubts_of
from core.cases.corrections import MaskVersion
from core.errors import ConflictError, HippoViewError
from core.limits import MAX_COMMENT_CHARS, MAX_NAME_CHARS
from core.people.acting import actor

REVIEW_WORDS = {
    "new": ":material/radio_button_unchecked: Not reviewed",
    "accepted": ":material/check_circle: Accepted",
    "corrected": ":material/edit: Corrected",
    "rejected": ":material/cancel: Rejected",
}
_NAME_KEY = "reviewer"
_NAMELESS = "Type your name first: a review is signed."
# The case and mask of which it is asked whether to accept it all the same.
_MOST_OTHERS = 200


def reviewer() -> str:
    """Who signs reviews and masks: whoever has signed in, else the name that was typed."""
    who = actor()
    return typed(_NAME_KEY) if who.role == "nobody" else who.name


def typed(key: str) -> str:
    """The content of a field, for a callback.

    ``st.session_state[key]`` would end the callback before it has acted if another click has
    arrived meanwhile, and the act would be lost; `to_dict` does not look for one. It leaves out
    keys that end in "-None", which Streamlit takes for fields without a key.
    """
    fields = st.session_state.to_dict()
    return str(fields[key] if key in fields else st.session_state.get(key, ""))


def typed_words(key: str) -> list[str]:
    """The words of a field, between spaces or commas, for a callback."""
    return typed(key).replace(",", " ").split()


def review_bar(shared: Services, case: Case, on_next: Callable[[str], None] | None = None) -> None:
    """The review of a case's mask, with the buttons to change it.

    Parameters
    ----------
    on_next
        Opens the next case after this one that nobody has reviewed; None where there is no list.
    """
    review, seen = case.review, f"{case.id}-{case.mask_version}"
    who = f" by {review.reviewer}" if review.reviewer else ""
    when = f", {review.at[:16].replace('T', ' ')} UTC" if review.at else ""
    if actor().role == "nobody":
        st.text_input(
            "Your name", key=_NAME_KEY, max_chars=MAX_NAME_CHARS, width=260,
            placeholder="Signs reviews and corrections", persist_state="session",
        )  # fmt: skip
    is_nameless = not reviewer().strip()
    why_not = _NAMELESS if is_nameless else None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Accept", icon=":material/check:", shortcut="Y", on_click=_accept,
            args=(shared, case), disabled=is_nameless or review.state == "accepted",
            key=f"accept-{seen}", help=why_not,
        )  # fmt: skip
        st.button(
            "Reject", icon=":material/close:", shortcut="X", on_click=_ask_why_later,
            args=(case,), key=f"reject-{seen}", disabled=is_nameless, help=why_not,
        )  # fmt: skip
        if review.state != "new":
            st.button(
                "Undo the review", icon=":material/undo:", on_click=_review,
                args=(shared, case, "new"), key=f"unreview-{seen}",
            )  # fmt: skip
        if on_next is not None:
            st.button(
                "Next case", icon=":material/skip_next:", shortcut="J", on_click=on_next,
                args=(case.id,), help="The next one that nobody has reviewed.",
                key=f"next-{case.id}",
            )  # fmt: skip
    if doubtful := st.session_state.pop("accepting", None):
        _ask_whether(shared, doubtful)
    if asked := st.session_state.pop("rejecting", None):
        _ask_why(shared, asked)
    with st.container(horizontal=True):
        st.markdown(f"**{REVIEW_WORDS[review.state]}**{plain(who)}{when}", width="content")
        say_that_it_waits(case.id)
    if is_nameless:
        st.caption(_NAMELESS)
    if review.reason:
        st.markdown(f"Reason: {plain(review.reason)}")
    if problem := st.session_state.pop("review-problem", ""):
        st.warning(problem, icon=":material/edit:")


def _accept(shared: Services, case: Case) -> None:
    """Accept a mask; for an unreliable one, ask first."""
    if doubts_of(case.report) and reviewer().strip():
        st.session_state["accepting"] = case
    else:
        _review(shared, case, "accepted")


@st.dialog("Accept an unreliable mask?")
def _ask_whether(shared: Services, case: Case) -> None:
    """No key answers it: two quick presses of *Y* must not accept what nobody has read."""
    reasons = plain("; ".join(doubts_of(case.report)))
    st.markdown(f"{plain(case.name)}, {case.id}")
    st.warning(f"**{reasons[0].upper()}{reasons[1:]}.**", icon=":material/warning:")
    st.markdown("Accept it all the same? Accepted masks are trained on.")
    with st.container(horizontal=True):
        if st.button(
            "Accept it all the same", on_click=_review, args=(shared, case, "accepted"),
            kwargs={"despite_doubts": True},
        ):  # fmt: skip
            st.rerun()
        if st.button("Cancel"):
            st.rerun()


def _review(
    shared: Services, case: Case, state: str, reason: str = "", *, despite_doubts: bool = False
) -> None:
    """Store a review of the mask version that was shown."""
    problem = ""
    if not reviewer().strip() and state != "new":
        problem = _NAMELESS
    else:
        try:
            shared.cases.review(
                case.id, state, reviewer(), reason, seen=case.mask_version,
                despite_doubts=despite_doubts, seen_review=case.review.at or "",
            )  # fmt: skip
        except ConflictError as error:
            problem = f"{error.message}. {error.hint}"
        except HippoViewError as error:
            problem = f"{case.id}: {error.message}. {error.hint}"
    if problem:
        st.session_state["review-problem"] = problem


def _ask_why_later(case: Case) -> None:
    st.session_state["rejecting"] = case


@st.dialog("Reject the mask")
def _ask_why(shared: Services, case: Case) -> None:
    st.markdown(f"{plain(case.name)}, {case.id}")
    with st.form(f"reject-form-{case.id}-{case.mask_version}", border=False):
        reason = st.text_input(
            "What is wrong with it?", max_chars=MAX_COMMENT_CHARS,
            key=f"{FIRST_FIELD}reason-{case.id}-{case.mask_version}",
        )  # fmt: skip
        sent = st.form_submit_button("Reject", type="primary")
    focus_first_field()
    if sent and not reason.strip():
        st.warning("Say in a few words what is wrong.")
    elif sent:
        _review(shared, case, "rejected", reason)
        st.rerun()


def mask_choice(shared: Services, case: Case) -> tuple[int, Beside | None]:
    """Choose the version of the mask to show, and what to show beside it."""
    versions = shared.corrections.versions(case.id)
    names = {v.number: _name(v, case) for v in versions}
    shown = case.mask_version
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if len(names) > 1:
            shown = st.selectbox(
                "Mask", list(names), format_func=names.__getitem__, width=260,
                key=f"shown-{case.id}-{case.mask_version}",
            )  # fmt: skip
        others = {f"{case.id} {n}": Beside(case.id, n, names[n]) for n in names if n != shown}
        for row in shared.cases.find()[:_MOST_OTHERS]:
            if row.id != case.id:
                others[row.id] = Beside(row.id, row.mask_version, f"{row.id} {row.name}")
        chosen = st.selectbox(
            "Beside it", [None, *others], width=260, key=f"beside-{case.id}",
            format_func=lambda k: "Nothing" if k is None else others[k].words,
            help="Another mask or another case, linked by place in mm.",
        )  # fmt: skip
        if shown != case.mask_version:
            st.button(
                "Make this the newest", icon=":material/restore:", on_click=_restore,
                args=(shared, case, shown), key=f"restore-{case.id}-{case.mask_version}-{shown}",
                help="As a version of its own: nothing is overwritten.",
            )  # fmt: skip
    if shown != case.mask_version:
        st.caption("Measures and downloads are of the newest mask.")
    if problem := st.session_state.pop("version-problem", ""):
        st.warning(problem, icon=":material/edit:")
    return shown, others.get(chosen) if chosen else None


def mask_table(shared: Services, case: Case) -> None:
    """The versions of a case's mask, once there are several."""
    versions = shared.corrections.versions(case.id)
    if len(versions) > 1:
        st.subheader("Mask versions", anchor=False)
        st.table([_row(v) for v in versions], hide_index=True, border="horizontal")


def _restore(shared: Services, case: Case, number: int) -> None:
    problem = ""
    if not reviewer().strip():
        problem = "Type your name first: a version is signed."
    else:
        try:
            shared.corrections.restore(case.id, number, base=case.mask_version, author=reviewer())
        except HippoViewError as error:
            problem = f"{case.id}: {error.message}. {error.hint}"
    if problem:
        st.session_state["version-problem"] = problem


def _name(version: MaskVersion, case: Case) -> str:
    if version.number == MODEL_MASK:
        return "The model's mask"
    newest = ", newest" if version.number == case.mask_version else ""
    return f"Version {version.number} by {version.author}{newest}"


def _row(version: MaskVersion) -> dict[str, str]:
    row = {
        "Mask": f"Version {version.number}" if version.number else "The model's",
        "Saved (UTC)": version.created_at[:16].replace("T", " "),
        "By": plain(version.author) if version.number else "",
        "Comment": plain(version.comment),
    }
    for name in LABELS:
        difference = version.difference.get(name)
        dice = difference["dice"] if difference else None
        row[f"{name.capitalize()}: Dice with the model's"] = "" if dice is None else f"{dice:.3f}"
        change = f"{difference['volume_mm3']:+,.0f} mm³" if difference else ""
        row[f"{name.capitalize()}: change"] = change
    return row
