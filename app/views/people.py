"""Parts of the People page. What may be done is asked in `core.people`; here it is only drawn."""

from collections.abc import Callable, Sequence

import streamlit as st

from app.services import Services
from app.views.reviewing import typed, typed_words
from app.views.words import plain
from core.errors import HippoViewError
from core.people.account import Account
from core.people.limits import CODE_HOURS, TOKEN_DAYS
from core.people.roles import ROLES, SCOPES
from core.wording import counted

_ROLE_WORDS = {
    "reader": "Reader: the cases of the own groups",
    "reviewer": "Reviewer: all cases; deletes and restores",
    "administrator": "Administrator: all, with models and people",
    "service": "Service: tokens only",
}
_DAYS = 90
_PROBLEM, _SAID, _SECRET = "people-problem", "people-said", "people-secret"
# The link below the form of the sign-in page.
_WHERE = "on the sign-in page, under *I have a code for a new password*"
_ROLE_HELP = "A person does not become a service, nor the reverse."


def list_accounts(shared: Services) -> list[Account]:
    """What the last act has said, and all accounts."""
    if problem := st.session_state.pop(_PROBLEM, ""):
        st.warning(problem, icon=":material/block:")
    if said := st.session_state.pop(_SAID, ""):
        st.success(said, icon=":material/check:")
    if secret := st.session_state.pop(_SECRET, ""):
        st.code(secret, language=None)
        st.caption("It is shown this once. Hand it over in person.")
    accounts = shared.accounts.find()
    st.dataframe(
        [
            {
                "Name": one.name,
                "Role": one.role.capitalize(),
                "Groups": ", ".join(sorted(one.groups)),
                "Signs in with": _way(one, shared),
                "State": _state(one),
                "Since (UTC)": one.created_at[:10],
            }
            for one in accounts
        ],
        hide_index=True, alt="Accounts with their roles and groups",
    )  # fmt: skip
    st.caption(counted(len(accounts), "account"))
    return accounts


def add_form(shared: Services) -> None:
    """Add an account. A person gets a code for a password, a service none."""
    st.subheader("Add an account", anchor=False)
    with st.form("add-account", border=False, clear_on_submit=True):
        st.text_input("Name", key="add-name", max_chars=64, help="It signs reviews and masks.")
        st.selectbox("Role", ROLES, format_func=_ROLE_WORDS.__getitem__, key="add-role")
        st.text_input("Groups", key="add-groups", placeholder="memory-clinic ward-3")
        st.form_submit_button("Add the account", on_click=_add, args=(shared,))


def edit_form(shared: Services, accounts: Sequence[Account]) -> None:
    """Change an account: role, groups, whether it may sign in, a new password."""
    st.subheader("Change an account", anchor=False)
    by_id = {one.id: one for one in accounts}
    chosen = st.selectbox("Account", list(by_id), format_func=lambda i: plain(by_id[i].name))
    one = by_id[chosen]
    key = f"{one.id}-{one.role}-{'-'.join(sorted(one.groups))}"
    if one.issuer:
        st.markdown(
            f"Signs in with {plain(_way(one, shared))}, which says role and groups at each "
            "sign-in. Here it can be switched off."
        )
    else:
        with st.form(f"edit-{key}", border=False):
            st.selectbox(
                "Role", ROLES, ROLES.index(one.role), format_func=_ROLE_WORDS.__getitem__,
                key=f"role-{key}", help=_ROLE_HELP,
            )  # fmt: skip
            st.text_input("Groups", " ".join(sorted(one.groups)), key=f"groups-{key}")
            st.form_submit_button("Save the account", on_click=_save, args=(shared, one, key))
    with st.container(horizontal=True):
        words = "Switch off" if one.is_active else "Switch on"
        st.button(words, on_click=_switch, args=(shared, one), key=f"switch-{key}-{one.is_active}")
        if one.role != "service" and one.is_active and not one.issuer:
            st.button(
                "Code for a new password", on_click=_code, args=(shared, one), key=f"code-{key}",
                help="The old password and all sign-ins end.",
            )  # fmt: skip


def show_sessions(shared: Services) -> None:
    """Who is signed in now; each sign-in can be ended."""
    st.subheader("Signed in", anchor=False)
    for one in shared.sign_ins.sessions():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"**{plain(one.name)}** since {_time(one.began_at)}, last seen "
                f"{_time(one.seen_at)} UTC, from {plain(one.address) or 'this machine'}"
            )
            st.button(
                "End", key=f"end-{one.id}", on_click=_end, args=(shared, one.account, one.id)
            )  # fmt: skip


def show_tokens(shared: Services, accounts: Sequence[Account]) -> None:
    """The tokens of services, and a form for another."""
    st.subheader("Tokens of services", anchor=False)
    for one in shared.sign_ins.tokens():
        with st.container(horizontal=True, vertical_alignment="center"):
            label = f" ({plain(one.label)})" if one.label else ""
            scopes = ", ".join(sorted(one.scopes))
            st.markdown(f"**{plain(one.name)}**{label}: {scopes}, until {one.expires_at[:10]}")
            st.button("Revoke", key=f"revoke-{one.id}", on_click=_revoke, args=(shared, one.id))
    services = {one.id: one.name for one in accounts if one.role == "service" and one.is_active}
    if not services:
        st.caption("Add an account with the role Service to have tokens.")
        return
    with st.form("new-token", border=False, clear_on_submit=True):
        st.selectbox(
            "Service", list(services), format_func=lambda i: plain(services[i]), key="token-for"
        )
        st.multiselect("Scopes", SCOPES, key="token-scopes")
        st.number_input("Days", 1, TOKEN_DAYS, _DAYS, key="token-days")
        st.text_input("What for", key="token-label", max_chars=64)
        st.form_submit_button("Make a token", on_click=_new_token, args=(shared,))


def _tried(act: Callable[[], str]) -> None:
    """Do what a button asks for; say what came of it above the list."""
    try:
        st.session_state[_SAID] = act()
    except HippoViewError as error:
        st.session_state[_PROBLEM] = f"{error.message}. {error.hint}"


def _add(shared: Services) -> None:
    def act() -> str:
        groups = typed_words("add-groups")
        added = shared.accounts.add(typed("add-name"), typed("add-role"), groups)
        if added.role == "service":
            return f"{plain(added.name)} was added. Make a token below."
        return f"{plain(added.name)} was added. {_with_code(shared, added)}"

    _tried(act)


def _with_code(shared: Services, one: Account) -> str:
    st.session_state[_SECRET] = shared.accounts.new_code(one.id)
    return (
        f"{plain(one.name)} chooses a password with this code within {CODE_HOURS} hours: {_WHERE}."
    )


def _save(shared: Services, one: Account, key: str) -> None:
    def act() -> str:
        groups = typed_words(f"groups-{key}")
        shared.accounts.change(one.id, role=typed(f"role-{key}"), groups=groups)
        return f"{plain(one.name)} was changed."

    _tried(act)


def _switch(shared: Services, one: Account) -> None:
    def act() -> str:
        shared.accounts.change(one.id, is_active=not one.is_active)
        return f"{plain(one.name)} was switched {'off' if one.is_active else 'on'}."

    _tried(act)


def _code(shared: Services, one: Account) -> None:
    _tried(lambda: _with_code(shared, one))


def _end(shared: Services, account_id: str, session_id: str) -> None:
    _tried(lambda: f"{counted(shared.sign_ins.end(account_id, session_id), 'sign-in')} ended.")


def _revoke(shared: Services, token_id: str) -> None:
    def act() -> str:
        shared.sign_ins.revoke(token_id)
        return "The token was revoked."

    _tried(act)


def _new_token(shared: Services) -> None:
    def act() -> str:
        fields = st.session_state.to_dict()
        st.session_state[_SECRET] = shared.sign_ins.new_token(
            typed("token-for"), fields.get("token-scopes", []),
            int(fields.get("token-days") or _DAYS), typed("token-label"),
        )  # fmt: skip
        return "The token was made."

    _tried(act)


def _state(one: Account) -> str:
    if not one.is_active:
        return "Switched off"
    is_ready = one.has_password or one.issuer or one.role == "service"
    return "" if is_ready else "Has no password yet"


def _way(one: Account, shared: Services) -> str:
    """Where an account comes from: this server, or a provider by its name here."""
    if not one.issuer:
        return "Tokens" if one.role == "service" else "A password of this server"
    provider = shared.provider.provider if shared.provider else None
    return provider.name if provider and provider.issuer == one.issuer else one.issuer


def _time(at: str) -> str:
    return at[:16].replace("T", " ")
