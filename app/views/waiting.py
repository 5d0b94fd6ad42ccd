"""While a scan loads: its place is kept and says so, and its review waits for the picture.

The viewer tells the page which case's picture stands by ``data-shown`` on its element, and which
cannot be shown by ``data-failed`` (app/viewer/frontend/common.js): such a case can be rejected, not
accepted. Style and script go by that, so that nothing waits for the server.
"""

import streamlit as st

# What waits: the class that Streamlit makes of the button's key, with the case's id.
_KEY = r"st-key-(accept|reject)-(HV-[0-9A-Z]+)-"
_SCRIPT = """<script>
if (!window.hippoviewWaiting) {
  window.hippoviewWaiting = true;
  const buttons = { y: "[class*='st-key-accept-HV-']", x: "[class*='st-key-reject-HV-']" };
  const waits = (element) => {
    const [, act, id] = element?.className.match?.(/KEY/) ?? [];
    const stands = `[data-shown="${id}"]` + (act === "reject" ? `, [data-failed="${id}"]` : "");
    return Boolean(id) && !document.querySelector(stands);
  };
  const stop = (event) => { event.stopImmediatePropagation(); event.preventDefault(); };
  window.addEventListener("click", (event) => {
    if (waits(event.target.closest?.(`${buttons.y}, ${buttons.x}`))) stop(event);
  }, true);
  window.addEventListener("keydown", (event) => {
    const isTyped = event.composedPath()[0].matches?.("input, textarea, [contenteditable]");
    const button = buttons[event.key.toLowerCase()];
    if (!isTyped && button && waits(document.querySelector(button))) stop(event);
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
    "<style>:is(.hv-waits, .hv-fails) {{display: none}}"
    '.stApp:not(:has([data-shown="{id}"], [data-failed="{id}"])) .hv-waits, '
    '.stApp:has([data-failed="{id}"]) .hv-fails {{display: inline}}'
    '.stApp:not(:has([data-shown="{id}"])) [class*="st-key-accept-{id}-"] button, '
    '.stApp:not(:has([data-shown="{id}"], [data-failed="{id}"])) '
    '[class*="st-key-reject-{id}-"] button {{opacity: .45; pointer-events: none}}</style>'
    '<span class="hv-waits" role="status">Waits for the picture</span>'
    '<span class="hv-fails" role="status">The picture cannot be shown: it can be rejected, not '
    "accepted</span>"
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


def say_that_it_fails(case_id: str) -> None:
    """Tell the page that there will be no picture of a case: it can be rejected all the same."""
    st.html(f'<span data-failed="{case_id}"></span>')


def keep_place(height: str, *, is_head: bool) -> None:
    """Fill the viewer's place until it draws; within the container *slices-place*.

    Parameters
    ----------
    height
        Of the picture, a length of CSS.
    """
    st.html(_PLACE.format(height=height, rows=_ROWS_REM + _HEAD_REM * is_head))
