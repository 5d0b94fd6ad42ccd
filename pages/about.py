"""About and help: what it is and is not, what goes in, how to read what comes out."""

from urllib.parse import urlsplit

import streamlit as st

from app.views.example_picture import label_picture
from app.views.measures import swatch
from app.views.shared import services
from core.limits import (
    CHECK_BELOW_DICE,
    MAX_CROP_MM,
    PLAUSIBLE_TOTAL_MM3,
    UNRELIABLE_BELOW_DICE,
)

st.markdown(
    "HippoView finds the anterior and the posterior hippocampus in a T1-weighted MRI, draws them "
    "on the slices and measures them.\n\n"
    "**It is research software, not a medical device. Not for diagnosis.** Look at every mask "
    "before you use a number."
)

left, right = st.columns(2, gap="large")
with left:
    st.subheader("The labels", anchor=False)
    label_picture(services())
    st.markdown(
        f"- {swatch('anterior')} **Anterior**: the head of the hippocampus.\n"
        f"- {swatch('posterior')} **Posterior**: body and tail together.\n\n"
        "The colours are the same everywhere and are safe for colour-blind eyes."
    )
    st.subheader("Sides", anchor=False)
    st.markdown(
        "Left and right are the patient's. *Radiological* shows the patient's right on the left "
        "of the picture, *neurological* on the right; the switch beside each scan says which is "
        "on, and letters stand on every picture. On a crop nobody can tell which hippocampus it "
        "is: HippoView says *side unknown on a crop* and does not guess."
    )
with right:
    st.subheader("What works", anchor=False)
    low, high = PLAUSIBLE_TOTAL_MM3
    st.markdown(
        "- NIfTI files, `.nii` or `.nii.gz`, one 3-D volume each, in any orientation.\n"
        "- T1-weighted, about 1 mm voxels.\n"
        f"- A whole head (anything over {MAX_CROP_MM:.0f} mm): both hippocampi are found, measured "
        "and judged. A header that lies about left and right cannot be told from the image.\n"
        "- Or a crop around one hippocampus, about 35 x 50 x 35 mm, the hippocampus near its "
        "middle.\n"
        "- Or DICOM: a zip of what the scanner or the PACS exports, or all files of a series at "
        "once. The T1-weighted series is found by its header; slices that are missing, doubled, "
        "uneven or tilted are refused, never interpolated. The case gives a DICOM Segmentation, a "
        "structured report and the report as a PDF for the same study. The patient's name and id "
        "are kept for these alone, encrypted; lists have a pseudonym.\n"
        f"- A hippocampus of {low:,.0f} to {high:,.0f} mm³ is usual; others get a warning.\n"
        "- A volume is marked *too small* where the image seems to end within the hippocampus, and "
        "where voxels are coarse, such as slices of more than 2.25 mm from below to above. Not "
        "every scan that is cut or coarse is noticed."
    )
    st.subheader("How sure it is", anchor=False)
    st.markdown(
        "Beside a volume stands an interval, and an *expected overlap with an expert* (Dice, 0 "
        "none to 1 the same). Both come from how far the network's mirrored predictions agree, "
        "and how clear its borders are, compared with masks whose overlap with an expert's is "
        "known: in 90 % of all of them together, and in 85 % of each kind of change, the expert's "
        "volume lay in the interval (the Model page has the figures). "
        "The expert drew by the Decathlon's protocol, on crops; with another protocol, "
        "or a kind of scan that was not among them, it may be further off. It is about this mask, "
        "not about the person: **never the probability of a disease**.\n\n"
        f"A mask of which less than {CHECK_BELOW_DICE:.2f} is expected is *check*, less than "
        f"{UNRELIABLE_BELOW_DICE:.2f} *unreliable*; other findings may say so as well. A mask that "
        "a person drew has neither number; one that differs by a few voxels from the model's keeps "
        "its doubts. The Model page says on how many persons this was "
        "calibrated, and how far it was off."
    )
    st.subheader("Keys and mouse", anchor=False)
    st.markdown(
        "Wheel: next slice. Click: crosshair. Right-drag: brightness and contrast. In the 3-D "
        "views drag to turn. Tab and arrow keys reach every control outside the picture. `?` in "
        "the viewer lists all keys; `E` begins to correct the mask. On a case: `Y` accepts, `X` "
        "rejects, `J` opens the next one."
    )
    st.subheader("The API", anchor=False)
    base = f"{urlsplit(st.context.url).scheme}://{urlsplit(st.context.url).netloc}/api"
    st.code(
        f"curl -F image=@scan.nii.gz {base}/predict -o mask.nii.gz\n"
        f"curl -F image=@scan.nii.gz -H 'Accept: application/json' {base}/predict\n"
        f"curl {base}/health",
        language=None,
        wrap_lines=True,
    )
    st.markdown("The [interactive API page](/api/docs) lists all of it.")
    st.subheader("Your data", anchor=False)
    st.markdown(
        "Scans and masks stay on this server, in its data folder. Free text in a file's header "
        "is not kept. Exported files are named by case id, not by your file's name."
    )
