"""Reference groups: whom a person's volumes are compared with."""

import streamlit as st

from app.views.admission import admit
from app.views.reference_groups import (
    deletion,
    from_cases,
    from_table,
    groups_table,
    show_outcome,
)
from app.views.shared import services
from app.views.words import show_error
from core.errors import HippoViewError
from core.references.groups import References

_WAYS = {"An uploaded table": from_table, "Cases of this installation": from_cases}

admit()
shared = services()
show_outcome()
try:
    groups = References(shared.storage).all()
except HippoViewError as error:
    show_error(error)
    st.stop()
st.markdown(
    "An open case of a head with known age and sex is compared with the group that its reader "
    "chooses, below the slices."
)
groups_table(groups)
deletion(shared, groups)
st.subheader("A new group", anchor=False)
way = st.segmented_control("Made of", list(_WAYS), default=next(iter(_WAYS)), required=True)
_WAYS[way](shared)
