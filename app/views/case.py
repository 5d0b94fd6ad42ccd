"""Parts that two pages share."""

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from app.services import Services, example_file
from app.views.reviewing import mask_choice, mask_table, review_bar, reviewer
from app.views.slices import show_slices
from app.views.surfaces import surface_figure
from app.views.words import plain, show_error
from core.anatomy import CONVENTION_WORDS, LABEL_COLOURS, Convention
from core.cases.case import Case, CaseImages, confidence_of, distinct_warnings
from core.cases.side_labels import itksnap_labels, lookup_table
from core.errors import HippoViewError
from core.exports.mesh import label_surfaces, ply
from core.exports.strip import labels_png, strip_png
from core.exports.tables import Outcome, report_csv, report_json
from core.measures.measure import NOT_LOOKED_AT, ONE_SIDE, why_scan_too_small, why_too_small
from core.pipeline import Caller

_VIEWER_PX = 600
_SURFACE_PX = 420
# More than a case has warnings.
_MOST_PARTS = 12


def outcome_table(outcomes: list[Outcome], key: str) -> Outcome:
    """A table with a row for each file; the newest is selected by default."""
    rows = []
    for o in outcomes:
        m = o.case.report["measures"] if o.case else None
        rows.append({
            "File": o.name,
            "State": "segmented" if m else "refused",
            "Confidence": confidence_of(o.case.report) if o.case else "",
            "Case": o.case.id if o.case else "",
            "Anterior (mm³)": round(m["anterior"]["volume_mm3"]) if m else None,
            "Posterior (mm³)": round(m["posterior"]["volume_mm3"]) if m else None,
            "Total (mm³)": round(m["total"]["volume_mm3"]) if m else None,
            "Volumes": why_too_small(m) if m else "",
            "What to look at": o.error or _headlines(o.case),
        })  # fmt: skip
    number = st.column_config.NumberColumn(format="localized", width=105)
    event = st.dataframe(
        rows,
        hide_index=True,
        key=key,
        on_select="rerun",
        selection_mode="single-row-required",
        selection_default={"selection": {"rows": [len(outcomes) - 1]}},
        column_config={
            **{column: number for column in rows[0] if column.endswith("(mm³)")},
            "State": st.column_config.Column(width="small"),
            "Confidence": st.column_config.Column(width=90),
            "Case": st.column_config.Column(width=95),
            "What to look at": st.column_config.Column(width="large"),
        },
        placeholder="",
        alt="Files of this visit with their volumes and warnings",
    )
    chosen = event["selection"]["rows"]
    return outcomes[chosen[0]] if chosen else outcomes[-1]


def _headlines(case: Case | None) -> str:
    warnings = distinct_warnings(case.report) if case else []
    return "; ".join(w["message"].split(". ")[0] for w in warnings if w["level"] == "warning")


def show_case(shared: Services, case_id: str, on_next: Callable[[str], None] | None = None) -> None:
    """Everything about one case: slices, review, measures, warnings, downloads, strip, surfaces.

    Parameters
    ----------
    on_next
        Opens the next case after this one that nobody has reviewed; None where there is no list.
    """
    try:
        case = shared.cases.get(case_id)
        images = shared.viewer_files.images(case.id, case.mask_version)
        mask = shared.cases.mask_file(case.id, case.mask_version)
    except HippoViewError as error:
        show_error(error)
        return
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"
    ):
        with st.container(horizontal=True, vertical_alignment="bottom", width="content"):
            st.subheader(plain(case.name), anchor=False, width="content")
            # A place of its own, filled or not: what comes after it stays where it is.
            st.caption(f"Patient {plain(case.patient)}" if case.patient else "", width="content")
        _convention_switch()
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _viewer(shared, case)
    # A place of its own for what grows: what comes after it stays where it is.
    with right:
        with st.container():
            review_bar(shared, case, on_next)
            _blank()
        with st.container():
            _measures(case)
            _blank()
        with st.container():
            _warnings(case)
            _blank()
        _downloads(shared, case, mask)
    with st.container():
        mask_table(shared, case)
        _blank()
    _strip(case, images)
    _surfaces(shared, case)
    _details(case)


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


def _viewer(shared: Services, case: Case) -> None:
    place = st.container()
    version, beside = mask_choice(shared, case)
    with place:
        show_slices(
            shared, case, version, beside=beside, author=reviewer(), convention=_convention(),
            height_px=_VIEWER_PX,
        )  # fmt: skip
        _legend()


def _legend() -> None:
    st.caption(
        f"**{CONVENTION_WORDS[_convention()]}.** Wheel: next slice. Click: move the crosshair. "
        "Right-drag: window. Question mark: all keys. "
        "Letters: R right, L left, A front, P back, S up, I down."
    )


def swatch(name: str) -> str:
    """A square in the label's colour, as Markdown."""
    return f':color[■]{{foreground="{LABEL_COLOURS[name]}"}}'


def _measures(case: Case) -> None:
    measures = case.report["measures"]
    head = case.report.get("head")
    rows: list[dict[str, Any]] = []
    remark = why_too_small(measures)
    for name in ("anterior", "posterior", "total"):
        is_one = ONE_SIDE in measures.get("too_small", {}).get("total", {})
        if head and (is_one or len(measures["sides"]) == 1):
            break  # the side's own rows say it
        if head:  # together they have no length
            both = measures[name] | {"length_mm": None}
            rows.append(_measure_row(f"Both, {name}", both, remark))
        else:
            rows.append(_measure_row(name.capitalize(), measures[name], remark))
    st.subheader("Measures", anchor=False)
    if head:
        st.markdown(_CONFIDENCE_WORDS[confidence_of(case.report)])
    if drawn := case.report.get("mask"):
        st.caption(f"Of mask version {drawn['version']}, drawn by {plain(drawn['author'])}.")
    for side, parts in measures.get("sides", {}).items():
        for name in ("anterior", "posterior", "total"):
            words = why_too_small(measures, side)
            rows.append(_measure_row(f"{side.capitalize()}, {name}", parts[name], words))
    if not any(row["volume"] for row in rows):
        rows = [{k: v for k, v in row.items() if k != "volume"} for row in rows]
    st.table(rows, hide_index=True, border="horizontal")
    if remark == NOT_LOOKED_AT:
        st.caption(f"Volume {remark}. Segment the scan again to have it checked.")
    # What is computed from a volume says what the volume says.
    of_what = ", of volumes that are **too small**" if why_scan_too_small(measures) else ""
    if measures.get("asymmetry_percent") is not None:
        st.markdown(
            f"Asymmetry index **{measures['asymmetry_percent']:+z.0f} %**{of_what}: (L - R) / "
            "((L + R) / 2) of the totals, the patient's left and right."
        )
    if head and measures.get("share_of_brain_percent") is not None:
        st.markdown(
            f"Both are **{measures['share_of_brain_percent']:.2f} %** of the brain{of_what}. The "
            f"brain is estimated at {head['brain_ml']:,.0f} ml from voxels of 4 mm."
        )
    share = measures["anterior_share_percent"]
    share_text = "" if share is None else f"Anterior share **{share:.0f} %**{of_what}. "
    st.markdown(f"{share_text}{measures['side'].capitalize()}.")


_CONFIDENCE_WORDS = {
    "high": ":material/check_circle: Confidence **high**: both sides passed every check.",
    "check": ":material/visibility: Confidence **check**: look at the masks before you use them.",
    "unreliable": ":material/warning: **Unreliable**: do not use these masks as they are.",
}


def _measure_row(name: str, m: dict[str, Any], remark: str) -> dict[str, str]:
    return {
        "": name,
        "mm³": f"{m['volume_mm3']:,.0f}",
        "ml": f"{m['volume_ml']:.2f}",
        "volume": remark.split(":")[0],  # why, in the warnings: nine times it fills the page
        "voxels": f"{m['voxels']:,}",
        "length mm": "" if m["length_mm"] is None else f"{m['length_mm']:.0f}",
    }


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


def _report_file(shared: Services, case: Case, convention: Convention) -> bytes:
    # fpdf2 takes a second to import: only who asks for a report waits for it.
    from core.exports.pdf import report_pdf

    return report_pdf(case, shared.viewer_files.images(case.id, case.mask_version), convention)


def _downloads(shared: Services, case: Case, mask: bytes) -> None:
    files: list[tuple[str, bytes | Callable[[], bytes], str, str]] = [
        ("Mask (.nii.gz)", mask, "mask.nii.gz", "application/gzip"),
        ("Measures (.csv)", report_csv(case), "measures.csv", "text/csv"),
        ("Measures (.json)", report_json(case), "measures.json", "application/json"),
        ("Report (.pdf)", partial(_report_file, shared, case, _convention()), "report.pdf",
         "application/pdf"),
        ("Surfaces (.ply)", partial(_surfaces_file, shared, case), "surfaces.ply",
         "application/octet-stream"),
    ]  # fmt: skip
    if case.report.get("head"):
        files += [
            ("Mask by side (.nii.gz)", partial(shared.cases.sides_file, case.id),
             "mask_sides.nii.gz", "application/gzip"),
            ("Names for FreeView, Slicer", lookup_table(), "sides_lut.txt", "text/plain"),
            ("Names for ITK-SNAP", itksnap_labels(), "sides.label", "text/plain"),
        ]  # fmt: skip
    with st.container(horizontal=True):
        for label, data, suffix, mime in files:
            st.download_button(
                label, data, f"{case.id}_{suffix}", mime, on_click="ignore",
                icon=":material/download:", key=f"get-{suffix}-{case.id}",
            )  # fmt: skip


def _strip(case: Case, images: CaseImages) -> None:
    picture = _strip_file(case, images, case.id, case.mask_version, _convention())
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        st.subheader("Slice strip", anchor=False, width="content")
        st.download_button(
            "Slice strip (.png)", picture, f"{case.id}_slices.png", "image/png",
            on_click="ignore", icon=":material/download:", key=f"get-strip-{case.id}",
        )  # fmt: skip
    st.image(
        picture, width="stretch",
        alt="Coronal, sagittal and axial slices with the outlines of both labels",
    )  # fmt: skip


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


def _details(case: Case) -> None:
    r = case.report
    boxes = {
        name: " x ".join(f"{edge:.0f}" for edge in r["measures"][name]["bounding_box_mm"] or ())
        for name in ("anterior", "posterior", "total")
    }
    rows = {
        "Case": case.id,
        "Segmented": f"{case.created_at[:19].replace('T', ' ')} UTC",
        "Bounding box, R x A x S": "; ".join(f"{n} {b or '-'} mm" for n, b in boxes.items()),
        "Spacing": " x ".join(f"{s:.3g}" for s in r["input"]["spacing_mm"]) + " mm",
        "Orientation of the file": r["input"]["orientation"],
        "Size": " x ".join(str(n) for n in r["input"]["shape"]) + " voxels",
        "Model": f"version {r['model']['version']} ({r['model']['name']})",
        "Computed on": ", ".join(
            [r["device"], r["backend"], r.get("precision", ""), f"mirroring {r['mirroring']}"]
            if "mirroring" in r
            else [r["device"], r["backend"]]
        ),
        "Time": ", ".join(f"{k.replace('_', ' ')} {v:.2f} s" for k, v in r["timings_s"].items()),
    }
    with st.expander("Details of the file, the model and the time it took"):
        st.table([{"": k, "Value": v} for k, v in rows.items()], hide_index=True,
                 border="horizontal")  # fmt: skip
        for whose, part in (("the file as it came", "input"), ("the model's weights", "model")):
            st.caption(f"sha256 of {whose}")
            # st.code would have the browser fetch 1.5 MB to colour it.
            st.markdown(f"`{r[part]['sha256']}`")


def _convention_switch() -> None:
    """The switch between the two ways of showing sides; it holds for the whole visit."""
    st.segmented_control(
        "Sides", list(CONVENTION_WORDS), default=_convention(), required=True,
        format_func=str.capitalize, key="convention-switch",
        on_change=lambda: st.session_state.update(
            convention=st.session_state["convention-switch"]
        ),
    )  # fmt: skip


def label_picture(shared: Services) -> None:
    """The two labels on the example, seen from the side."""
    if shared.predictors.serving is None:
        st.caption("The picture appears here once the model is loaded.")
        return
    with st.spinner("Segmenting the example for a picture of the labels"):
        try:
            picture = _label_picture(shared)
        except HippoViewError as error:
            show_error(error)
            return
    st.image(
        picture,
        width=460,
        alt="Side view: the head in orange in front, body and tail in blue behind",
    )


@st.cache_data(show_spinner=False)
def _label_picture(_shared: Services) -> bytes:
    analysis = _shared.analyse(io.BytesIO(example_file()), "page", Caller())
    segmentation = analysis.segmentation
    volume = segmentation.volume
    return labels_png(CaseImages(volume.voxels, segmentation.labels, volume.affine))
