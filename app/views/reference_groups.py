"""Parts of the page Reference groups: the list, and the two ways to make one."""

import streamlit as st

from app.services import Services
from app.views.admission import administrator, is_admitted
from app.views.words import plain, show_error
from core.errors import HippoViewError
from core.limits import MAX_COMMENT_CHARS, MAX_NAME_CHARS
from core.references.group import LEAST_PEOPLE, OUR_PROTOCOL, Group
from core.references.groups import DEMONSTRATION, References
from core.references.of_cases import Candidate, candidates, group_of
from core.references.table import COLUMNS, MAX_TABLE_BYTES, read_table
from core.references.words import protocol_words
from core.wording import ML_DIGITS, counted

_OUTCOME = "group-outcome"
_TABLE_PX = 320
_FIELD_PX = 620
_ANOTHER = "another protocol"


def show_outcome() -> None:
    """What the last button did, once."""
    outcome = st.session_state.pop(_OUTCOME, None)
    if isinstance(outcome, HippoViewError):
        show_error(outcome)
    elif outcome:
        st.success(outcome, icon=":material/check:")


def groups_table(groups: list[Group]) -> None:
    """Every group: who is in it, its protocol, and who made it."""
    st.table(
        [
            {
                "Group": plain(group.name),
                "People": group.in_words,
                "Protocol": plain(protocol_words(group)),
                "Source": plain(group.source),
                "Model version": plain(group.model_version) or "not known",
                "Made": _made(group),
            }
            for group in groups
        ],
        hide_index=True,
        border="horizontal",
    )


def deletion(shared: Services, groups: list[Group]) -> None:
    """Delete one of the installation's own groups, after a question."""
    own = {group.id: group for group in groups if group.id != DEMONSTRATION}
    if not own:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Delete a group", list(own), format_func=lambda key: own[key].name,
            key="group-to-delete", width=360,
        )  # fmt: skip
        is_asked = st.button("Delete", icon=":material/delete:")
    if is_asked:
        _ask(shared, own[chosen])


def from_table(shared: Services) -> None:
    """A form that makes a group of an uploaded table."""
    turn = st.session_state.setdefault("group-round", 0)
    with st.form(f"group-of-table-{turn}", width=_FIELD_PX):
        name = st.text_input("Name", max_chars=MAX_NAME_CHARS)
        source = st.text_input("Source: who the people are", max_chars=MAX_COMMENT_CHARS)
        ours = st.radio("Volumes measured by", [OUR_PROTOCOL, _ANOTHER], horizontal=True)
        other = st.text_input(
            "Which, if another", max_chars=MAX_NAME_CHARS, placeholder="Such as FreeSurfer 7.4",
            help="The group is named not comparable without conversion wherever it is shown.",
        )  # fmt: skip
        file = st.file_uploader(
            f"Table (.csv, .tsv) with a row a person and the columns {COLUMNS}",
            type=["csv", "tsv"], max_upload_size=max(1, MAX_TABLE_BYTES >> 20),
        )  # fmt: skip
        is_sent = st.form_submit_button("Make the group", type="primary")
    if not is_sent:
        return
    if file is None:
        st.warning("Choose a table first.", icon=":material/upload_file:")
        return
    try:
        protocol = OUR_PROTOCOL if ours == OUR_PROTOCOL else other
        group = References(shared.storage, shared.accounts.guard).add(
            Group("", name, protocol, source, read_table(file.getvalue())), administrator()
        )
    except HippoViewError as error:
        show_error(error)
        return
    _made_it(group)


def from_cases(shared: Services) -> None:
    """Choose accepted cases, and make a group of them."""
    people = candidates(shared.cases)
    st.markdown(
        f"{counted(len(people), 'accepted head')} with age, sex, both sides and the model's own "
        "masks; of a patient the newest. Cut, coarse and unreliable ones are left out."
    )
    if len(people) < LEAST_PEOPLE:
        st.info(f"A group has {LEAST_PEOPLE} people at least.", icon=":material/info:")
        return
    event = st.dataframe(
        [_row(candidate) for candidate in people], hide_index=True, height=_TABLE_PX,
        on_select="rerun", selection_mode="multi-row", alt="Cases that can stand in a group",
        # Of other cases the rows that were chosen would be others.
        key=f"group-cases-{hash(tuple(candidate.case.id for candidate in people))}",
    )  # fmt: skip
    chosen = event["selection"]["rows"]
    turn = st.session_state.setdefault("group-round", 0)
    with st.form(f"group-of-cases-{turn}", width=_FIELD_PX):
        name = st.text_input("Name", max_chars=MAX_NAME_CHARS)
        source = st.text_input("Source: who the people are", max_chars=MAX_COMMENT_CHARS)
        is_sent = st.form_submit_button(
            f"Make the group of {counted(len(chosen), 'case')}", type="primary"
        )
    if not is_sent:
        return
    try:
        group = group_of([people[row] for row in chosen], name, source)
        kept = References(shared.storage, shared.accounts.guard).add(group, administrator())
    except HippoViewError as error:
        show_error(error)
        return
    _made_it(kept)


def _made_it(made: Group) -> None:
    st.session_state["group-round"] += 1
    st.session_state[_OUTCOME] = f"{plain(made.name)} was made: {made.in_words}."
    st.rerun()


def _row(candidate: Candidate) -> dict[str, str | float]:
    person = candidate.person
    return {
        "Case": candidate.case.id, "Name": candidate.case.name, "Patient": candidate.case.patient,
        "Age": person.age_years, "Sex": person.sex,
        "Left (ml)": round(person.left_mm3 / 1000, ML_DIGITS),
        "Right (ml)": round(person.right_mm3 / 1000, ML_DIGITS),
        "Model version": str(candidate.case.report["model"]["version"]),
    }  # fmt: skip


def _made(group: Group) -> str:
    if group.id == DEMONSTRATION:
        return "ships with the program"
    return f"{group.created_at[:10]}, {plain(group.created_by)}"


@st.dialog("Delete the group?")
def _ask(shared: Services, group: Group) -> None:
    if not is_admitted():
        st.rerun()  # the sign-in has ended: the page asks again
    st.markdown(f"{plain(group.name)}, {group.in_words}. It cannot be restored.")
    with st.container(horizontal=True):
        if st.button("Delete it", type="primary"):
            try:
                References(shared.storage, shared.accounts.guard).delete(group.id)
                st.session_state[_OUTCOME] = f"{plain(group.name)} was deleted."
            except HippoViewError as error:
                st.session_state[_OUTCOME] = error
            st.rerun()
        if st.button("Cancel"):
            st.rerun()
