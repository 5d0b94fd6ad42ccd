"""Files may be dropped anywhere on the page, not in Streamlit's field alone.

Streamlit 1.67 takes files in the field only; one that falls beside it makes the browser leave the
page and open the file. The script hands such files to the Segment page's field, as if they had been
chosen there; on a page without one it keeps the browser on the page.
"""

import re

import streamlit as st

# Keys of what the empty Segment page shows, and of the button for the example.
HINT, EXAMPLE = "empty-hint", "try-example"
FIELD = "[class*='st-key-files-'] input[type=file]"
_SCRIPT = """<script>
if (!window.hippoviewDrop) {
  window.hippoviewDrop = true;
  const field = () => document.querySelector("FIELD");
  const isOurs = (event) => event.dataTransfer?.types.includes("Files")
    && !event.target.closest?.('[data-testid="stFileUploader"]');
  const mark = (isOver) => document.documentElement.toggleAttribute("data-dropping", isOver);
  document.addEventListener("dragover", (event) => {
    if (!isOurs(event)) return mark(false);
    event.preventDefault();
    const takes = field() && !field().disabled;
    event.dataTransfer.dropEffect = takes ? "copy" : "none";
    mark(Boolean(takes));
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) mark(false); });
  // What the empty page invites to has begun: the invitation goes, before the server answers.
  const begin = () => document.querySelector("HINT")?.style.setProperty("display", "none");
  document.addEventListener("change", (event) => { if (event.target === field()) begin(); });
  document.addEventListener("click", (event) => { if (event.target.closest("EXAMPLE")) begin(); });
  document.addEventListener("drop", (event) => {
    mark(false);
    if (field() && event.target.closest?.('[data-testid="stFileUploader"]')) begin();
    if (!isOurs(event)) return;
    event.preventDefault();
    const files = new DataTransfer();
    for (const item of event.dataTransfer.items) {
      const entry = item.webkitGetAsEntry?.();
      if (item.kind === "file" && !entry?.isDirectory) files.items.add(item.getAsFile());
    }
    const input = field();
    if (!input || input.disabled || !files.files.length) return;
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}
</script>"""
STYLE = "html[data-dropping] [class*='st-key-files-'] section {outline: 3px dashed currentColor}"


def script() -> str:
    """The script, as the page gets it."""
    words = {"FIELD": FIELD, "HINT": f".st-key-{HINT}", "EXAMPLE": f".st-key-{EXAMPLE} button"}
    return re.sub("|".join(words), lambda found: words[found[0]], _SCRIPT)


def take_drops_anywhere() -> None:
    """Have this page hand on what is dropped beside the field."""
    st.html(script(), unsafe_allow_javascript=True)
