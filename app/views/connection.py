"""What the page says when the server does not answer.

Streamlit 1.67 has no setting for it (streamlit/streamlit issue 12661): "Streamlit server is not
responding. Are you connected to the internet?" is no help in a hospital. The script waits for that
dialog and puts our words there; where it finds none that it knows, Streamlit's stay. It also sees
when the visitor's sign-in has ended.
"""

import json

import streamlit as st

WORDS = (
    "HippoView does not answer: it is being restarted, or this computer has lost the network. "
    "Leave this page open. It goes on by itself, and what you have drawn in it is kept."
)
_SCRIPT = """<script>
if (!window.hippoviewWords) {
  window.hippoviewWords = new MutationObserver((changes) => {
    for (const { addedNodes } of changes) for (const node of addedNodes) {
      const title = node.querySelector?.('[role="dialog"] h2');
      const said = title?.nextElementSibling;
      if (/not responding|still running|timed out/.test(said?.textContent)) {
        title.textContent = "No connection";
        said.textContent = WORDS;
      }
    }
  });
  window.hippoviewWords.observe(document.body, { childList: true });
  // Where the sign-in has ended, or somebody else has signed in, the page goes.
  let name = null;
  const watch = setInterval(async () => {
    const answer = await fetch("/api/me", { cache: "no-store" }).catch(() => null);
    if (answer?.status === 401) location.reload();
    if (!answer?.ok) return;
    const who = await answer.json();
    if (name !== null && name !== who.name) location.reload();
    name = who.name;
    if (who.role === "nobody") clearInterval(watch);
  }, 15000);
}
</script>"""


def script() -> str:
    """The script, as the page gets it."""
    return _SCRIPT.replace("WORDS", json.dumps(WORDS))


def say_it_in_our_words() -> None:
    """Have this page say `WORDS` when it loses the server."""
    st.html(script(), unsafe_allow_javascript=True)
