"""A list that folds away while a case is open, and comes back as it was."""

import streamlit as st

# Out of sight and out of reach, but laid out: it keeps its place, its size and how far it was
# scrolled.
_FOLDED = (
    "<style>[data-testid='stLayoutWrapper']:has(> .st-key-{key}) {{position: absolute; "
    "left: 0; right: 0; pointer-events: none}}"
    # Streamlit makes labels of fields visible by name.
    ".st-key-{key}, .st-key-{key} * {{visibility: hidden !important}}</style>"
)


def fold(key: str, *, is_open: bool) -> bool:
    """Fold the container of this key while a case is open, unless it was asked for.

    Parameters
    ----------
    key
        Of the container that holds the list.
    is_open
        Whether a case is open.

    Returns
    -------
    bool
        Whether the list is folded.
    """
    if not is_open:
        st.session_state.pop(_asked(key), None)
    is_folded = is_open and not st.session_state.get(_asked(key))
    if is_folded:
        st.html(_FOLDED.format(key=key))
    return is_folded


def fold_button(key: str, *, is_folded: bool) -> None:
    """The button that shows the list beside an open case, or folds it again."""
    st.button(
        "Show the list" if is_folded else "Fold the list",
        icon=":material/unfold_more:" if is_folded else ":material/unfold_less:",
        on_click=_ask, args=(key, is_folded), key=f"fold-{key}",
    )  # fmt: skip


def _ask(key: str, is_wanted: bool) -> None:
    st.session_state[_asked(key)] = is_wanted


def _asked(key: str) -> str:
    return f"unfolded-{key}"
