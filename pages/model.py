"""Model: what segments here, how well, and where it ends."""

from typing import Any

import streamlit as st

from app.operations import MEMORY_WORDS, memory_rows
from app.services import wait_for_model
from app.views.shared import services
from app.views.words import show_error
from core.errors import HippoViewError
from core.models.folder import calibrated_on, measured_on
from core.wording import counted


def _by_person(figures: dict[str, Any]) -> str:
    """What the figures are where no scan of the person was trained on."""
    dice = " and ".join(
        f"**{d['mean']:.3f}** ({d['low']:.3f} to {d['high']:.3f}) {label}"
        for label, d in figures["dice"].items()
    )
    others = counted(figures["cases"], "other")
    return (
        f"These cases were split by file: of {figures['other_side_seen']}, the person's other "
        f"hippocampus was trained on. On the {others} the Dice is {dice}."
    )


def _agreement(proof: dict[str, Any]) -> str:
    """How far the masks are the same; of versions proven earlier it is known of all voxels only."""
    if "foreground" not in proof:
        return f"{proof['agreement']:.2%} of all voxels are the same, background included."
    masks = ", ".join(f"{f['dice']:.4f} {label}" for label, f in proof["foreground"].items())
    return f"the Dice of the two masks is {masks}."


predictors = services().predictors
try:
    with st.spinner("Loading the model"):
        wait_for_model(predictors, 300)
except HippoViewError as error:
    show_error(error)
serving = predictors.serving
if serving is None:
    st.stop()

card = serving.model.card
st.markdown(card["summary"])

left, right = st.columns(2, gap="large")
with left:
    st.subheader("In service", anchor=False)
    st.table(
        {
            "Version": serving.model.version,
            "Name": serving.model.name,
            "Configuration": serving.model.configuration,
            "Backend": f"{serving.network.backend}, in {serving.network.precision}",
            "Mirroring": f"{serving.mirroring}, predictions averaged: {serving.passes}",
        },
        border="horizontal",
    )
    if serving.remark:
        st.warning(serving.remark, icon=":material/info:")
    if "int8" in card:
        change = card["int8"]["dice_change"]
        seen = "seen" if card["int8"]["seen_in_training"] else "not seen"
        st.caption(
            f"int8 against float32 on {counted(card['int8']['cases'], 'case')} {seen} in training: "
            f"Dice {change['anterior']:+.4f} anterior, {change['posterior']:+.4f} posterior; "
            + _agreement(card["int8"])
        )
    st.caption("sha256 of the weights")
    st.code(serving.model.sha256, language=None, wrap_lines=True)
    st.subheader("How well it does", anchor=False)
    metrics = card["metrics"]
    st.table(
        [
            {
                "Label": label.capitalize(),
                "Mean Dice": f"{d['mean']:.3f}",
                "95 % interval": f"{d['low']:.3f} to {d['high']:.3f}",
                "Standard deviation": f"{d['sd']:.3f}",
                "Worst case": f"{d['worst']:.3f}",
            }
            for label, d in metrics["dice"].items()
        ],
        hide_index=True,
        border="horizontal",
    )
    st.caption(
        f"On {measured_on(metrics)}, {metrics['settings']}. "
        "Dice: overlap with an expert's mask, 0 none, 1 the same."
    )
    if by_person := metrics.get("by_person"):
        st.markdown(_by_person(by_person))
    st.subheader("Expected overlap", anchor=False)
    st.markdown(calibrated_on(card))
    if serving.not_calibrated and "calibration" in card:
        st.caption(f"Not in use: {serving.not_calibrated}.")
    st.subheader("Memory", anchor=False)
    st.table(memory_rows(), hide_index=True, border="horizontal")
    st.caption(MEMORY_WORDS)
with right:
    st.subheader("Known limits", anchor=False)
    for limit in card["limits"]:
        st.markdown(f"- {limit}")
    for title, part in (("Network", card["network"]), ("Training", card["training"])):
        st.subheader(title, anchor=False)
        st.table(part, border="horizontal")

st.subheader("Licence and attribution", anchor=False)
st.markdown(f"Data and weights: {card['licence']}.")
for source in card["attribution"]:
    st.markdown(f"- {source}")
