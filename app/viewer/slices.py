"""Slices in the browser: a component of our own around NiiVue (BSD-2).

The browser fetches the script, the scan and the mask by links (`app.viewer.images`); a run of the
page sends what is below `show_slices`, a few hundred bytes.
"""

from collections.abc import Callable
from typing import Any

import streamlit as st

from app.services import Services
from app.viewer.bundle import bundle
from app.viewer.images import files_url, script_url
from core.cases import Case
from core.strip import Convention

# Streamlit runs this from a blob. The viewer itself comes by its own address, and stays in the
# browser's cache.
_LOADER = """
export default function ({ parentElement, data }) {
  const script = import(new URL(data.script, document.baseURI).href);
  script.then((viewer) => viewer.show(parentElement, data));
  return () => script.then((viewer) => viewer.leave(parentElement));
}
"""


def show_slices(shared: Services, case: Case, *, convention: Convention, height_px: int) -> None:
    """Draw the viewer. Its own controls act in the browser alone."""
    if not bundle().is_file():
        st.error("**The viewer is not built.** Run make install in HippoView's folder.")
        return
    _component()(
        key="slices",  # one for all cases: browsers allow few WebGL contexts
        data={
            "script": script_url(),
            "files": files_url(shared, case.id),
            "case": case.id,
            "convention": convention,
            "height": height_px,
        },
    )


@st.cache_resource(show_spinner=False)
def _component() -> Callable[..., Any]:
    component: Callable[..., Any] = st.components.v2.component("slices", js=_LOADER)
    return component
