"""The keys, on every page; those of the viewer are listed by the viewer itself."""

import streamlit as st

_KEYS = (
    ("Tab, Shift Tab", "next and previous control"),
    ("Enter or Space", "press a button"),
    ("← → ↑ ↓", "choose in a row of options; move a slider"),
    ("Esc", "close a list or a dialog"),
    ("Y", "accept the open case"),
    ("X", "reject it"),
    ("J", "open the next case"),
    ("?", "all keys of the viewer, where a case is open"),
)


def keys_help() -> None:
    """A button in the menu that lists the keys."""
    with st.popover("Keys", icon=":material/keyboard:"):
        st.markdown(
            "| Key | What it does |\n| --- | --- |\n"
            + "".join(f"| **{key}** | {words} |\n" for key, words in _KEYS)
        )
