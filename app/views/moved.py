"""Part of a patient's page: an earlier scan moved onto a later one, and what was lost and won."""

from typing import Any

import streamlit as st

from app.services import Services
from app.viewer.displays import Displays
from app.views.slices import show_moved_slices
from app.views.words import show_error
from core.anatomy import CONVENTION_WORDS, Convention
from core.cases.case import Case
from core.cases.moved import LostAndWon
from core.cases.persons import day_of
from core.errors import HippoViewError
from core.image.registration import Move

_HEIGHT = "max(24rem, calc(100dvh - 14rem))"


@st.fragment
def show_moved(shared: Services, earlier: Case, later: Case) -> None:
    """Both scans linked, once somebody opens it; of crops there is nothing to move by."""
    if not (earlier.report.get("head") and later.report.get("head")):
        return
    pair = f"{earlier.id}-{later.id}"
    with st.expander(
        "Look at both: the earlier scan moved onto the later one, lost and won in colour",
        on_change="rerun", key=f"moved-{pair}",
    ) as opened:  # fmt: skip
        if not opened.open:
            return
        displays = Displays(shared.viewer_files)
        try:
            with st.spinner("Laying the two scans onto each other"):
                move = displays.move(earlier.id, later.id)
                found = displays.lost_and_won(
                    earlier.id, earlier.mask_version, later.id, later.mask_version
                )
        except HippoViewError as error:
            show_error(error)
            return
        voxel_mm = max(later.report["input"]["spacing_mm"])
        st.markdown(residual_words(move, voxel_mm))
        convention: Convention = st.session_state.get("convention", "radiological")
        show_moved_slices(
            shared, earlier, later, first=f"Later: {day_of(later)}, {later.id}",
            second=f"Earlier, moved: {day_of(earlier)}, {earlier.id}", convention=convention,
            height=_HEIGHT,
        )  # fmt: skip
        st.caption(
            f"**{CONVENTION_WORDS[convention]}.** On the left picture: yellow is won, only in the "
            "later mask; purple is lost, only in the earlier one. A rim as thin as a voxel comes "
            "and goes by itself: the numbers above judge a change, the colours show where to look. "
            "**N**: the largest places. **D**: colours on and off. Nothing is corrected here."
        )
        st.table(lost_rows(found), hide_index=True, border="horizontal")


def residual_words(move: Move, voxel_mm: float) -> str:
    """How exact the move is.

    Parameters
    ----------
    voxel_mm
        The later scan's longest edge.
    """
    size = "less than" if move.residual_mm < voxel_mm else "more than"
    return (
        f"**Residual {move.residual_mm:.2f} mm**: so far apart the move and the one that was found "
        f"the other way round put the hippocampi; {size} a voxel ({voxel_mm:.2g} mm). Moved as a "
        "whole, by shift and turn alone."
    )


def lost_rows(found: dict[str, LostAndWon]) -> list[dict[str, Any]]:
    """A row for each side, in ml."""
    return [
        {
            "": side.capitalize(),
            "Lost (ml)": f"{one.lost_mm3 / 1000:.2f}",
            "Won (ml)": f"{one.won_mm3 / 1000:.2f}",
            "In both (ml)": f"{one.kept_mm3 / 1000:.2f}",
            "Won less lost (ml)": f"{(one.won_mm3 - one.lost_mm3) / 1000:+z.2f}",
        }
        for side, one in found.items()
    ]
