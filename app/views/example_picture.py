"""Pictures of what comes out, drawn from the example."""

import io

import streamlit as st

from app.example import example_file
from app.services import Services
from app.views.measures import swatch
from app.views.words import show_error
from core.cases.case import CaseImages
from core.errors import HippoViewError
from core.exports.strip import labels_png, rows_png
from core.pipeline import Caller


def label_picture(shared: Services) -> None:
    """The two labels on the example, seen from the side."""
    if shared.predictors.serving is None:
        st.caption("The picture appears here once the model is loaded.")
        return
    with st.spinner("Segmenting the example for a picture of the labels"):
        try:
            picture = _pictures(shared)[0]
        except HippoViewError as error:
            show_error(error)
            return
    st.image(
        picture,
        width=460,
        alt="Side view: the head in orange in front, body and tail in blue behind",
    )


def result_picture(shared: Services) -> None:
    """What a result looks like: the example's slices with the outlines of both labels."""
    if shared.predictors.serving is None:
        return
    try:
        picture = _pictures(shared)[1]
    except HippoViewError:
        return  # it is an invitation: the page works without it
    st.image(picture, width="stretch", alt="A result: slices with the outlines of both labels")
    st.caption(
        f"The result for the example: {swatch('anterior')} anterior and {swatch('posterior')} "
        "posterior hippocampus, outlined on the slices."
    )


@st.cache_data(show_spinner=False)
def _pictures(_shared: Services) -> tuple[bytes, bytes]:
    """The labels from the side, and slices in a row, of the example as it is segmented."""
    analysis = _shared.analyse(io.BytesIO(example_file()), "page", Caller())
    segmentation = analysis.segmentation
    volume = segmentation.volume
    images = CaseImages(volume.voxels, segmentation.labels, volume.affine)
    return labels_png(images), rows_png(images, "radiological")
