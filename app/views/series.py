"""The choice of a series, where a file's DICOM export has several that may be meant."""

from functools import partial

import streamlit as st

from app.batch import Batch, Question
from app.views.words import plain
from core.image.dicom.offers import Offer
from core.wording import counted


def ask_series(batch: Batch, questions: list[Question]) -> None:
    """Ask which series to segment, for each file of the batch that waits for it."""
    for question in questions:
        with st.container(border=True):
            _ask(batch, question)


def _ask(batch: Batch, question: Question) -> None:
    usable = {offer.uid: offer for offer in question.offers if not offer.why_not}
    others = [offer for offer in question.offers if offer.why_not]
    st.markdown(f"**{plain(question.name)}**")
    key = f"series-{question.number}"
    if usable:
        st.radio(
            f"{counted(len(usable), 'series', 'series')} may be the T1-weighted scan. Which one is "
            "to be segmented?",
            list(usable), key=key, format_func=lambda uid: _title(usable[uid]),
            captions=[_caption(offer) for offer in usable.values()],
        )  # fmt: skip
    else:
        st.warning("None of the series that may be the T1-weighted scan can be read.")
    if others:
        with st.expander(f"{counted(len(others), 'other series', 'other series')}, and why not"):
            for offer in others:
                st.markdown(f"- {_title(offer)}: {plain(offer.why_not)} ({_caption(offer)})")
    with st.container(horizontal=True):
        if usable:
            st.button(
                "Segment this series", type="primary", icon=":material/play_arrow:",
                key=f"take-{key}", on_click=partial(_choose, batch, question.number, key),
            )  # fmt: skip
        st.button(
            "Give up", type="tertiary", key=f"drop-{key}",
            on_click=partial(batch.choose, question.number, ""),
        )  # fmt: skip


def _choose(batch: Batch, number: int, key: str) -> None:
    batch.choose(number, str(st.session_state[key]))


def _title(offer: Offer) -> str:
    return plain(offer.description or "Without a description")


def _caption(offer: Offer) -> str:
    spacing = " x ".join(f"{step:.2f}" for step in offer.spacing_mm)
    parts = [
        offer.date, counted(offer.slices, "slice"), f"{spacing} mm" if spacing else "",
        "with a contrast agent" if offer.has_contrast_agent else "no contrast agent",
    ]  # fmt: skip
    return ", ".join(part for part in parts if part)
