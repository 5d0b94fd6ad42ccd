"""The Drift page: crops and heads each with their state, whatever there is of the other."""

from dataclasses import replace

import numpy as np

from core.cases.case import CaseRow
from core.drift.chains import Chain, Moved, Scan
from core.drift.comparison import Drift, compare
from core.drift.cusum import Thresholds
from core.drift.of_cases import CaseDrift, KindDrift
from core.exports.drift_report import Part as ReportPart
from core.exports.drift_report import report_html
from core.measures.features import FEATURES
from core.measures.head_features import HEAD_FEATURES
from tests.drift import table
from tests.parts import Part


def row(number):
    return CaseRow(
        f"HV-{number:06}", "x", "2026-11-30T10:00:00+00:00", "1", 1.0, 1.0, 0, 0, "new", "", "",
        "", "",
    )  # fmt: skip


def crops(count, **shifts):
    rng = np.random.default_rng(0)
    reference, window = table(rng, 60), table(rng, count, **shifts)
    drift = compare(reference, window, FEATURES)
    words = "the 60 crops that model version 1 was trained on"
    return KindDrift("crop", drift, words, reference, window, [row(n) for n in range(count)], {})


def heads(count, **shifts):
    rng = np.random.default_rng(1)
    reference, window = table(rng, 50, kind="head"), table(rng, count, kind="head", **shifts)
    for values in window[::2]:
        del values["left_anterior"]
    drift = compare(reference, window, HEAD_FEATURES)
    words = "the first 50 heads that were accepted here, complete since 2026-11-30"
    rows = [row(100 + n) for n in range(count)]
    return KindDrift("head", drift, words, reference, window, rows, {"of the baseline itself": 50})


def learning(accepted):
    reason = f"{accepted} of 50 accepted heads are there"
    drift = Drift("learning the baseline", (reason,), accepted, 0, (), ())
    left_out = {"of the baseline itself": accepted}
    return KindDrift("head", drift, "the first 50 heads to be accepted here", [], [], [], left_out)


def followed(severity, *moved):
    thresholds = Thresholds(9.6, 13.8, 510, 5544, 2000)
    at = "2026-11-30T10:00:00.000+00:00"
    since = at if moved else ""
    return Chain("crop", 1, 500, at, thresholds, 30, severity, since, 14.0, moved)


class Page(Part):
    def __init__(self, report: CaseDrift) -> None:
        def page():
            import streamlit as st

            from app.views.drift import chosen_kind, details, states

            report = st.session_state["report"]
            states(report)
            kind = chosen_kind(report)
            if kind is not None:
                details(report.of(kind))

        super().__init__(page, report=report)

    @property
    def text(self) -> str:
        return "\n".join(part.value for part in (*self.at.markdown, *self.at.caption))

    @property
    def headings(self) -> list[str]:
        return [line for line in self.text.splitlines() if line.startswith("### ")]

    @property
    def features(self) -> list[str]:
        return list(self.at.selectbox[0].options) if self.at.selectbox else []


def test_while_there_is_nothing_it_says_what_will_be_counted():
    page = Page(CaseDrift(1, crops(0), learning(0)))
    assert [heading.rsplit(": ", 1)[1] for heading in page.headings] == [
        "Not enough yet", "Learning the baseline",
    ]  # fmt: skip
    assert "0 of the 10 newest scans that are needed are there" in page.text
    assert "0 of 50 accepted heads are there" in page.text
    assert page.features == []


def test_both_states_stand_above_and_one_kind_below():
    page = Page(CaseDrift(1, crops(20), heads(20, spacing_z=5)))
    assert [heading.rsplit(": ", 1)[1] for heading in page.headings] == [
        "Quiet", "Act",
    ]  # fmt: skip
    assert "20 heads counted, against the first 50 heads that were accepted here" in page.text
    assert "Left out: 50 heads of the baseline itself." in page.text
    # Below is what asks for more, until the other kind is chosen.
    assert page.features[0] == "voxel height (mm)"
    assert "Voxel height (mm): the scans have higher voxels" in page.text
    page.at.session_state["kind"] = "crop"
    page.run()
    assert "skewness" in page.features
    assert "voxel height (mm)" not in page.features
    assert len(page.headings) == 2


def test_a_kind_that_is_not_compared_yet_does_not_hide_the_other():
    page = Page(CaseDrift(1, crops(20, sharpness=-5), learning(17)))
    assert "Act" in page.headings[0]
    assert "17 of 50 accepted heads are there" in page.text
    assert page.features[0] == "sharpness"
    page = Page(CaseDrift(1, crops(1), heads(20)))
    assert "1 crop counted" in page.text
    assert "voxel height (mm)" in page.features


def test_the_state_is_that_of_the_cases_one_by_one_with_what_moved_since_when_and_the_rule():
    sharpness = next(f for f in FEATURES if f.key == "sharpness")
    first, early, late = (
        Scan(number, f"HV-{number:06}", "2026-11-30T10:00:00.000+00:00") for number in (16, 15, 18)
    )
    moved = Moved(sharpness, -1, 14.0, first, early, late, -2.1)
    page = Page(CaseDrift(1, replace(crops(20), chain=followed("act", moved)), learning(17)))
    assert page.headings[0].endswith("Crops: Act")  # though the window is quiet
    assert (
        "Sharpness: the scans are blurred since scan 16 of 30 (HV-000016, 2026-11-30 10:00 UTC), "
        "by -2.1 SD in the middle; it began between scans 15 and 18." in page.text
    )
    assert "*watch* once in 510 cases on average, *act* once in 5,544" in page.text
    assert "30 crops followed one by one since 2026-11-30" in page.text
    quiet = Page(CaseDrift(1, replace(crops(3), chain=followed("quiet")), learning(17)))
    assert quiet.headings[0].endswith("Crops: Quiet")
    report = report_html([
        ReportPart("Crops", *(getattr(crops(20), n) for n in ("drift", "reference", "window")),
                   [str(n) for n in range(20)], followed("act", moved)),
    ]).decode()  # fmt: skip
    assert "state: act." in report
    assert "sharpness: the scans are blurred since scan 16 of 30" in report
    assert "watch once in 510 cases" in report
