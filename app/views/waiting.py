"""While a scan loads: its place is kept and says so, and its review waits for the picture.

The viewer tells the page which case's picture stands by ``data-shown`` on its element
(app/viewer/frontend/common.js). Style and script go by that, so that nothing waits for the server.
"""

import streamlit as st

# What waits: the class that Streamlit makes of the button's key, with the case's id.
_KEY = r"st-key-(?:accept|reject)-(HV-[0-9A-Z]+)-"
_SCRIPT = """<script>
if (!window.hippoviewWaiting) {
  window.hippoviewWaiting = true;
  const caseOf = (element) => element?.className.match?.(/KEY/)?.[1];
  const waits = (id) => Boolean(id) && !document.querySelector(`[data-shown="${id}"]`);
  const buttons = "[class*='st-key-accept-HV-'], [class*='st-key-reject-HV-']";
  const stop = (event) => { event.stopImmediatePropagation(); event.preventDefault(); };
  window.addEventListener("click", (event) => {
    if (waits(caseOf(event.target.closest?.(buttons)))) stop(event);
  }, true);
  window.addEventListener("keydown", (event) => {
    const isTyped = event.composedPath()[0].matches?.("input, textarea, [contenteditable]");
    if (isTyped || !["y", "x"].includes(event.key.toLowerCase())) return;
    if (waits(caseOf(document.querySelector(buttons)))) stop(event);
  }, true);
}
</script>"""
# Rows of buttons above and below the picture; those of a head's sides besides.
_ROWS_REM, _HEAD_REM = 9.4, 2.3
_PLACE = (
    "<style>.st-key-slices-place {{position: relative; min-height: calc({height} + {rows}rem)}}"
    # It takes none of the viewer's place.
    ".st-key-slices-place > :has(.hv-loading) {{position: absolute; inset: 0; "
    "pointer-events: none}}"
    ".hv-loading {{position: absolute; inset: 2.2rem 0 auto; height: {height}; display: grid; "
    "place-content: center; background: #000; color: #E4E6E9; border-radius: .35rem}}"
    ".st-key-slices-place:has([data-shown]) .hv-loading {{display: none}}</style>"
    '<div class="hv-loading" role="status">Loading the scan</div>'
)
_WAITS = (
    '<style>.stApp:has([data-shown="{id}"]) .hv-waits {{display: none}}'
    '.stApp:not(:has([data-shown="{id}"])) :is([class*="st-key-accept-{id}-"], '
    '[class*="st-key-reject-{id}-"]) button {{opacity: .45; pointer-events: none}}</style>'
    '<span class="hv-waits" role="status">Waits for the picture</span>'
)


def script() -> str:
    """The script, as the page gets it."""
    return _SCRIPT.replace("KEY", _KEY)


def hold_reviews() -> None:
    """Have this page let no click and no key review a case before its picture stands."""
    st.html(script(), unsafe_allow_javascript=True)


def say_that_it_waits(case_id: str) -> None:
    """Dim the buttons of a case's review, and say why, until its picture stands."""
    st.html(_WAITS.format(id=case_id), width="content")


def keep_place(height: str, *, is_head: bool) -> None:
    """Fill the viewer's place until it draws; within the container *slices-place*.

    Parameters
    ----------
    height
        Of the picture, a length of CSS.
    """
    st.html(_PLACE.format(height=height, rows=_ROWS_REM + _HEAD_REM * is_head))
