"""An open case on the Segment and Cases pages: numbers, slices, review, downloads, strip."""

from collections.abc import Callable, Mapping
from functools import partial

import streamlit as st

from app.services import Services
from app.viewer.displays import View
from app.views.band import show_band
from app.views.both_sides import both_sides
from app.views.dicom_out import dicom_downloads
from app.views.measures import show_details
from app.views.patients import no_patient_words
from app.views.recorded import recorded
from app.views.references import chosen_group, group_in_use, show_comparison
from app.views.report import report_download
from app.views.reviewing import mask_choice, mask_table, review_bar, reviewer
from app.views.slices import show_slices
from app.views.surfaces import surface_figure
from app.views.trust import show_trust
from app.views.words import show_error
from core.anatomy import CONVENTION_WORDS, Convention
from core.cases.case import Case, CaseImages, distinct_warnings
from core.cases.side_labels import itksnap_labels, lookup_table
from core.cases.study import study_of
from core.errors import HippoViewError
from core.exports.mesh import label_surfaces, ply
from core.exports.strip import NOTHING_FOUND, strip_png
from core.exports.tables import InGroup, report_csv, report_json
from core.references.comparison import compare
from core.references.groups import References

# What stands above and below the picture takes the rest of the window.
_BESIDE_REM = 25.5
_SURFACE_PX = 420
_VIEWS: dict[View, str] = {
    "scanned": "As scanned", "upright": "Upright head", "long-axis": "Along the hippocampus",
}  # fmt: skip
# The words of its button, its content, the end of its name, its type.
_File = tuple[str, bytes | Callable[[], bytes], str, str]
# More than a case has warnings.
_MOST_PARTS = 12


def show_case(
    shared: Services,
    case_id: str,
    on_next: Callable[[str], None] | None = None,
    above_rem: float = 0.0,
) -> None:
    """Everything about one case: the numbers, the slices beside the review, then the rest.

    Parameters
    ----------
    on_next
        Opens the next case after this one that nobody has reviewed; None where there is no list.
    above_rem
        Height of what stands above the case beyond the page's name and one line of buttons.
    """
    try:
        case = shared.cases.get(case_id)
        shared.cases.acts.lines.viewed(case_id)
    except HippoViewError as error:
        show_error(error)
        return
    show_band(case)
    slices, panel = st.columns([5, 2], gap="small")
    # A place of its own for what grows: what comes after it stays where it is.
    with panel:
        with st.container():
            review_bar(shared, case, on_next)
            _blank()
        with st.container():
            show_trust(case.report)
            _warnings(case)
            if words := no_patient_words(case):
                st.info(words, icon=":material/person_off:")
            _blank()
        with st.container():
            view = _switches(case)
            version, beside = mask_choice(shared, case)
            _blank()
    with slices:
        show_slices(
            shared, case, version, beside=beside, author=reviewer(), convention=_convention(),
            height=f"max(20rem, calc(100dvh - {_BESIDE_REM + above_rem}rem))", view=view,
        )  # fmt: skip
        _legend()
    try:
        images = shared.viewer_files.images(case.id, case.mask_version)
        mask = shared.cases.mask_file(case.id, case.mask_version)
    except HippoViewError as error:
        show_error(error)
        return
    with panel:
        report_download(shared, case, _convention())
        _downloads(shared, case, _main_files(shared, case, mask))
        dicom_downloads(shared, case)
    with slices:  # on a laptop the other column is longer
        _downloads(shared, case, _further_files(shared, case))
    with st.container():
        mask_table(shared, case)
        _blank()
    show_comparison(shared, case)
    show_details(case)
    _strip(shared, case, images)
    both_sides(shared, case, _convention())
    _surfaces(shared, case)


def _blank() -> None:
    """Remove what the previous run drew below this, which else stays until this run ends."""
    for _ in range(_MOST_PARTS):
        st.empty()


@st.cache_data(show_spinner=False, max_entries=40)
def _strip_file(
    _case: Case, _images: CaseImages, case_id: str, version: int, convention: Convention
) -> bytes:
    return strip_png(_case, _images, convention)


def _convention() -> Convention:
    chosen: Convention = st.session_state.get("convention", "radiological")
    return chosen


def _legend() -> None:
    st.caption(
        f"**{CONVENTION_WORDS[_convention()]}.** Wheel: next slice. Click: move the crosshair. "
        "Right-drag: window. **?**: all keys. "
        "Letters: R right, L left, A front, P back, S up, I down."
    )


def _warnings(case: Case) -> None:
    reasons = (case.report.get("head") or {}).get("reasons", [])
    for finding in distinct_warnings(case.report):
        if finding["level"] == "warning":
            st.warning(_as_list(finding["message"], reasons), icon=":material/warning:")
        else:
            st.info(finding["message"], icon=":material/info:")


def _as_list(message: str, reasons: list[str]) -> str:
    """Show the warnings; a judgement with several reasons gets a line for each."""
    joined = "; ".join(reasons)
    if len(reasons) < 2 or joined not in message:
        return message
    return message.replace(f" {joined}.", "\n" + "".join(f"\n- {reason}" for reason in reasons))


def _surfaces_file(shared: Services, case: Case) -> bytes:
    images = shared.viewer_files.images(case.id, case.mask_version)
    return ply(label_surfaces(images.labels, images.affine))


def _measures(
    written: Callable[[Case, InGroup], bytes], shared: Services, case: Case,
    chosen: Mapping[str, str],
) -> bytes:  # fmt: skip
    """The measures; with percentiles once the part that compares them was opened."""
    in_group = None
    if chosen.get("case") == case.id:
        group = group_in_use(References(shared.storage).all(), chosen)
        in_group = compare(case, study_of(case), group), group
    return written(case, in_group)


def _main_files(shared: Services, case: Case, mask: bytes) -> list[_File]:
    return [
        ("Mask (.nii.gz)", mask, "mask.nii.gz", "application/gzip"),
        ("Measures (.csv)", partial(_measures, report_csv, shared, case, chosen_group()),
         "measures.csv", "text/csv"),
        ("Measures (.json)", partial(_measures, report_json, shared, case, chosen_group()),
         "measures.json", "application/json"),
    ]  # fmt: skip


def _further_files(shared: Services, case: Case) -> list[_File]:
    files: list[_File] = [
        ("Surfaces (.ply)", partial(_surfaces_file, shared, case), "surfaces.ply",
         "application/octet-stream"),
    ]  # fmt: skip
    if case.report.get("head"):
        files += [
            ("Mask by side (.nii.gz)",
             partial(shared.cases.sides_file, case.id, case.mask_version), "mask_sides.nii.gz",
             "application/gzip"),
            ("Names for FreeView, Slicer", lookup_table(), "sides_lut.txt", "text/plain"),
            ("Names for ITK-SNAP", itksnap_labels(), "sides.label", "text/plain"),
        ]  # fmt: skip
    return files


def _downloads(shared: Services, case: Case, files: list[_File]) -> None:
    with st.container(horizontal=True, gap="xsmall"):
        for label, data, suffix, mime in files:
            st.download_button(
                label, recorded(shared, case.id, suffix, data), f"{case.id}_{suffix}", mime,
                on_click="ignore",
                icon=":material/download:", key=f"get-{suffix}-{case.id}",
            )  # fmt: skip


def _strip(shared: Services, case: Case, images: CaseImages) -> None:
    picture = _strip_file(case, images, case.id, case.mask_version, _convention())
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        st.subheader("Slice strip", anchor=False, width="content")
        st.download_button(
            "Slice strip (.png)", recorded(shared, case.id, "slices.png", picture),
            f"{case.id}_slices.png", "image/png", on_click="ignore",
            icon=":material/download:", key=f"get-strip-{case.id}",
        )  # fmt: skip
    is_found = bool(images.labels.any())
    outlines = "with the outlines of both labels" if is_found else "of the whole scan, no label"
    st.image(picture, width="stretch", alt=f"Coronal, sagittal and axial slices {outlines}")
    if not is_found:
        st.caption(f"{NOTHING_FOUND}.")


@st.fragment
def _surfaces(shared: Services, case: Case) -> None:
    # Not of the images themselves: Streamlit keeps what it is called with as long as the page.
    # Plotly draws with WebGL as the viewer does; on a computer without a GPU it holds up the page
    # for seconds, so it starts when somebody asks for it.
    with st.expander("Surfaces", on_change="rerun", key=f"surfaces-{case.id}") as opened:
        if not opened.open:
            return
        images = shared.viewer_files.images(case.id, case.mask_version)
        surfaces = label_surfaces(images.labels, images.affine)
        if not surfaces:
            st.caption("The mask is empty: there is no surface.")
            return
        st.plotly_chart(
            surface_figure(surfaces, _SURFACE_PX), key=f"chart-{case.id}-{case.mask_version}",
            config={"displaylogo": False}, alt="Surfaces of the anterior and posterior hippocampus",
        )  # fmt: skip
        st.caption("Drag to turn. Smoothed for the eye; the volumes are counted from the voxels.")


def _switches(case: Case) -> View:
    """The ways of showing sides and slices; both hold for the whole visit."""
    with st.container(horizontal=True):
        st.segmented_control(
            "Sides", list(CONVENTION_WORDS), default=_convention(), required=True,
            format_func=str.capitalize, key="convention-switch",
            on_change=lambda: st.session_state.update(
                convention=st.session_state["convention-switch"]
            ),
        )  # fmt: skip
        if not case.report.get("head"):
            return "scanned"
        # A list, not a row of buttons: it stands beside the first switch.
        view: View = st.selectbox(
            "Slices", list(_VIEWS), format_func=_VIEWS.__getitem__, width=190, key="view-switch",
            persist_state="session",
            help="The mask can be corrected as scanned alone.",
        )  # fmt: skip
    return view
