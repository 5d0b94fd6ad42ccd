"""The field of a dialog that is typed into first has the focus as soon as it opens."""

import streamlit as st

# The key of such a field begins so.
FIRST_FIELD = "first-field-"
# Streamlit gives the focus to the dialog itself, a moment after it has drawn it.
_SCRIPT = """<script>
(() => {
  let tries = 20;
  const look = () => {
    const field = document.querySelector("[role='dialog'] [class*='st-key-first-field-'] input");
    if (field && document.activeElement !== field) field.focus();
    if (tries-- > 0 && document.activeElement !== field) setTimeout(look, 50);
  };
  setTimeout(look, 50);
})();
</script>"""


def script() -> str:
    """The script, as the page gets it."""
    return _SCRIPT


def focus_first_field() -> None:
    """Give the focus to the field of this dialog whose key begins with `FIRST_FIELD`."""
    st.html(_SCRIPT, unsafe_allow_javascript=True)
