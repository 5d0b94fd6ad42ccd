"""Part of a patient's page: an earlier scan moved onto a later one, and what was lost and won."""

from typing import Any

import streamlit as st

from app.services import Services
from app.viewer.displays import Displays
from app.views.slices import show_moved_slices
from app.views.words import DASH, show_error
from core.anatomy import CONVENTION_WORDS, LABELS, Convention
from core.cases.case import Case
from core.cases.moved import Compared
from core.cases.persons import day_of
from core.errors import HippoViewError
from core.image.registration import Move
from core.wording import minus

_HEIGHT = "max(24rem, calc(100dvh - 14rem))"


@st.fragment
def show_moved(shared: Services, earlier: Case, later: Case) -> None:
    """Both scans linked, once somebody opens it; a crop and a head are not laid onto each other."""
    if bool(earlier.report.get("head")) != bool(later.report.get("head")):
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
                compared = displays.lost_and_won(
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
        st.table(lost_rows(compared), hide_index=True, border="horizontal")
        st.caption(lost_words(compared))


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


def lost_rows(found: Compared) -> list[dict[str, Any]]:
    """A row for each side and part, in mm³."""
    return [
        {
            "": f"{side.capitalize()}, {part}",
            "Lost (mm³)": f"{one.lost_mm3:,.0f}",
            "Won (mm³)": f"{one.won_mm3:,.0f}",
            "Won less lost (mm³)": minus(f"{one.won_mm3 - one.lost_mm3:+z,.0f}"),
            "By the border (mm³)": DASH
            if part not in LABELS
            else minus(f"{one.border_mm3:+z,.0f}"),
            "In both (mm³)": f"{one.kept_mm3:,.0f}",
        }
        for side, parts in found.sides.items()
        for part, one in parts.items()
    ]


def lost_words(found: Compared) -> str:
    """What the columns of `lost_rows` mean, and what is not counted in them."""
    words = (
        "Lost and won is what only one of the two masks has. *By the border* is what both have, "
        "under another label: there the border between anterior and posterior moved. *Won less "
        "lost* is counted after the earlier mask was moved and resampled onto the later scan, so "
        "it differs a little from *Change* in the table above, which compares each scan's own "
        "volume: quote *Change*, and take this table for where it changed."
    )
    alone = [
        f"{mm3:,.0f} mm³ of the {name} mask"
        for name, mm3 in (("earlier", found.earlier_alone_mm3), ("later", found.later_alone_mm3))
        if round(mm3)
    ]
    if not alone:
        return words
    return f"{words} Not counted: {' and '.join(alone)}, where the other scan shows nothing."
