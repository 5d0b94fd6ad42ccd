"""People: accounts with their roles and groups, who is signed in, and tokens of services."""

import streamlit as st

from app.views.admission import admit
from app.views.people import add_form, edit_form, list_accounts, show_sessions, show_tokens
from app.views.shared import services

admit("people")
shared = services()
if shared.accounts.guard.is_open:
    st.markdown(
        "Nobody signs in here. Make the first administrator with the code that the log of the "
        "start shows, on [/first](/first), or with "
        "`python -m core people add NAME --role administrator`."
    )
    st.stop()
accounts = list_accounts(shared)
left, right = st.columns(2, gap="large")
with left:
    edit_form(shared, accounts)
with right:
    add_form(shared)
show_sessions(shared)
show_tokens(shared, accounts)
