"""Details of a case: every measure with its voxels, the file, the model and the time it took."""

from typing import Any

import streamlit as st

from app.views.band import ROUNDED
from app.views.steps import in_turn, step_words
from core.anatomy import LABEL_COLOURS
from core.cases.case import Case, confidence_of, high_words
from core.measures.measure import NOT_LOOKED_AT, ONE_SIDE, why_scan_too_small, why_too_small
from core.wording import minus, ml_text


def show_details(case: Case) -> None:
    """All measures, the file, the model and the time it took, behind one heading."""
    with st.expander("Details: all measures, voxels, boxes, the file and the model"):
        measures_table(case)
        _about_the_scan(case)


def swatch(name: str) -> str:
    """A square in the label's colour, as Markdown."""
    return f':color[■]{{foreground="{LABEL_COLOURS[name]}"}}'


def measures_table(case: Case) -> None:
    """Every measure of a case as a table, and what is computed from the volumes."""
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
    if word := confidence_of(case.report):
        st.markdown(_CONFIDENCE_WORDS[word].format(high=high_words(case.report)))
    for side, parts in measures.get("sides", {}).items():
        for name in ("anterior", "posterior", "total"):
            words = why_too_small(measures, side)
            rows.append(_measure_row(f"{side.capitalize()}, {name}", parts[name], words))
    if not any(row["volume"] for row in rows):
        rows = [{k: v for k, v in row.items() if k != "volume"} for row in rows]
    st.table(rows, hide_index=True, border="horizontal")
    st.caption(ROUNDED)
    if remark == NOT_LOOKED_AT:
        st.caption(f"Volume {remark}. Segment the scan again to have it checked.")
    # What is computed from a volume says what the volume says.
    of_what = ", of volumes that are **too small**" if why_scan_too_small(measures) else ""
    if measures.get("asymmetry_percent") is not None:
        index = minus(f"{measures['asymmetry_percent']:+z.0f}")
        st.markdown(
            f"Asymmetry index **{index} %**{of_what}: (L - R) / ((L + R) / 2) of the totals, the "
            "patient's left and right."
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
    "high": ":material/check_circle: Confidence **high**: {high}.",
    "check": ":material/visibility: Confidence **check**: look at the masks before you use them.",
    "unreliable": ":material/warning: **Unreliable**: do not use these masks as they are.",
}


def _measure_row(name: str, m: dict[str, Any], remark: str) -> dict[str, str]:
    return {
        "": name,
        "mm³": f"{m['volume_mm3']:,.0f}",
        "ml": ml_text(m["volume_mm3"]),
        "volume": remark.split(":")[0],  # why, in the warnings: nine times it fills the page
        "voxels": f"{m['voxels']:,}",
        "length mm": "" if m["length_mm"] is None else f"{m['length_mm']:.0f}",
    }


def _about_the_scan(case: Case) -> None:
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
        "Time": "; ".join(
            f"{step_words(step)} {r['timings_s'][step]:.2f} s" for step in in_turn(r["timings_s"])
        ),
    }
    st.table([{"": k, "Value": v} for k, v in rows.items()], hide_index=True,
             border="horizontal")  # fmt: skip
    for whose, part in (("the file as it came", "input"), ("the model's weights", "model")):
        st.caption(f"sha256 of {whose}")
        # st.code would have the browser fetch 1.5 MB to colour it.
        st.markdown(f"`{r[part]['sha256']}`")
