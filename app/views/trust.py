"""Part of a case: how far its masks are expected to agree with an expert's."""

import html
from collections.abc import Mapping
from typing import Any

import streamlit as st

from core.measures.expected import masks_in_words, why_none

_BAR = (
    '<div role="img" aria-label="{label}" style="height:0.4rem;border-radius:0.2rem;'
    'background:rgba(128,128,128,0.35);overflow:hidden">'
    '<div style="width:{percent:.0f}%;height:100%;background:currentColor;opacity:0.75"></div>'
    "</div>"
)


def show_trust(report: Mapping[str, Any]) -> None:
    """A sentence and a bar for each mask, or why there is none."""
    masks = masks_in_words(report)
    for sentence, dice in masks:
        st.markdown(sentence)
        label = html.escape(f"Expected overlap {dice:.2f}, of 1")
        st.html(_BAR.format(label=label, percent=100 * dice))
    reason = (report.get("trust") or {}).get("reason", "")
    if not masks and reason:
        st.caption(f"Expected overlap with an expert: none, {why_none(reason)}.")
