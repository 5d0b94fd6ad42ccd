"""Slices in the browser: a component of our own around NiiVue (BSD-2).

The browser fetches the script, the scan and the mask by links (`app.http.viewer_files`); a run of
the page sends what is below `show_slices`, a few hundred bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.http import visitor
from app.http.viewer_files import files_url, moved_url, script_url, view_url
from app.services import Services
from app.viewer.bundle import bundle
from app.viewer.displays import View, display_name
from app.views.waiting import keep_place, say_that_it_fails
from core.anatomy import Convention
from core.cases.case import Case
from core.people.acting import actor

# Streamlit runs this from a blob. The viewer itself comes by its own address, and stays in the
# browser's cache.
_LOADER = """
export default function ({ parentElement, data, setTriggerValue }) {
  const script = import(new URL(data.script, document.baseURI).href);
  script.then((viewer) => viewer.show(parentElement, data, setTriggerValue), () => {
    // As the viewer itself says it to the page: app/views/waiting.py.
    const host = parentElement.host ?? parentElement;
    host.setAttribute("data-shown", "");
    host.setAttribute("data-failed", data.case.split(" ")[0]);
    parentElement.textContent = "The viewer could not be loaded. Reload the page; if it fails " +
      "again, tell the administrator the time.";
  });
  return () => script.then((viewer) => viewer.leave(parentElement), () => {});
}
"""


@dataclass(frozen=True)
class Beside:
    """Another mask or case to show beside the first, linked by position in mm."""

    case_id: str
    version: int
    words: str


def show_slices(
    shared: Services,
    case: Case,
    version: int,
    *,
    beside: Beside | None,
    author: str,
    convention: Convention,
    height: str,
    view: View = "scanned",
) -> None:
    """Draw the viewer. Its own controls act in the browser alone, but for a save.

    Parameters
    ----------
    version
        Of the case's mask, to look at and to draw on.
    author
        Whose name a save is offered.
    height
        Of the picture, a length of CSS.
    view
        Another one than *scanned* is to look at alone, on another grid (`app.viewer.displays`).
    """
    is_as_scanned = view == "scanned"
    data: dict[str, Any] = {
        "files": _files_url(shared, case.id)
        if is_as_scanned
        else view_url(shared.link_secret, _who(), case.id, view),
        "case": case.id if is_as_scanned else display_name(case.id, view),
        "version": version,
        "newest": case.mask_version,
        "author": author,
        "signedIn": actor().role != "nobody",
        "convention": convention,
        "height": height,
        "beside": None,
    }
    if beside is not None:
        data["beside"] = {
            "files": _files_url(shared, beside.case_id),
            "case": beside.case_id,
            "version": beside.version,
            "words": beside.words,
        }
    _show(data, is_head=bool(case.report.get("head")))


def show_moved_slices(
    shared: Services,
    earlier: Case,
    later: Case,
    *,
    first: str,
    second: str,
    convention: Convention,
    height: str,
) -> None:
    """Draw a later scan and beside it an earlier one that is moved onto it, to look at.

    Parameters
    ----------
    first, second
        What stands above the later and the earlier scan.
    """
    view: View = "scanned"
    _show({
        "files": view_url(shared.link_secret, _who(), later.id, view),
        "case": display_name(later.id, view),
        "version": later.mask_version,
        "newest": later.mask_version,
        "author": "",
        "convention": convention,
        "height": height,
        "beside": {
            "files": moved_url(shared.link_secret, _who(), earlier.id, later.id),
            "case": earlier.id,
            "version": earlier.mask_version,
            "words": second,
            "moved": {"first": first, "differences": ["won", "lost"]},
        },
    }, is_head=bool(later.report.get("head")))  # fmt: skip


def _show(data: dict[str, Any], *, is_head: bool) -> None:
    if not bundle().is_file():
        st.error("**The viewer is not built.** Run make install in HippoView's folder.")
        say_that_it_fails(data["case"].split()[0])
        return
    with st.container(key="slices-place"):
        keep_place(str(data["height"]), is_head=is_head)
        # One for all cases: browsers allow few WebGL contexts. A save runs the page again.
        _component()(
            key="slices", data={"script": script_url(), **data}, on_saved_change=_on_saved
        )  # fmt: skip


def _on_saved() -> None:
    """Show the newest version from now on."""


@st.cache_resource(show_spinner=False)
def _component() -> Callable[..., Any]:
    component: Callable[..., Any] = st.components.v2.component("slices", js=_LOADER)
    return component


def _files_url(shared: Services, case_id: str) -> str:
    """Address of a case's files for the browser whose page runs."""
    return files_url(shared.link_secret, _who(), case_id)


def _who() -> str:
    return str(st.context.cookies.get(visitor.COOKIE, ""))
