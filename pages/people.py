"""People: accounts with their roles and groups, who is signed in, and tokens of services."""

import streamlit as st

from app.views.admission import admit
from app.views.people import add_form, edit_form, list_accounts, show_sessions, show_tokens
from app.views.shared import services

admit("people")
shared = services()
if shared.accounts.guard.is_open:
    st.markdown(
        "**Make the first administrator**, in one of two ways:\n\n"
        "- The server wrote a code into its log as it started: type it on [/first](/first).\n"
        "- On the server's command line: "
        "`python -m core people add NAME --role administrator`.\n\n"
        "From then on everybody signs in, and this page adds the others."
    )
    st.stop()
accounts = list_accounts(shared)
left, right = st.columns(2, gap="large")
with left:
    add_form(shared)
with right:
    edit_form(shared, accounts)
show_sessions(shared)
show_tokens(shared, accounts)
