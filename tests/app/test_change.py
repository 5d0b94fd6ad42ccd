"""Two scans of a patient beside what the method varies by, as the page shows them."""

import json
from dataclasses import replace

from app.views.change import band_words, change_figure, change_rows, loss_words
from app.views.moved import lost_rows, lost_words
from core.cases.case import Case
from core.cases.moved import Compared, LostAndWon
from core.cases.persons import measured
from core.measures.change import WITHIN, changes
from core.measures.repeatability import measured_for
from core.models.folder import load_model
from core.settings import Settings
from core.wording import minus
from tests.parts import Part

SHA = load_model(Settings().model_dir).sha256


def case_of(case_id, day, left_mm3, right_mm3=2500.0, **changed):
    """A head with voxels of 2 mm, segmented by the model that ships."""

    def parts(total):
        return {
            "anterior": {"volume_mm3": total / 2}, "posterior": {"volume_mm3": total / 2},
            "total": {"volume_mm3": total},
        }  # fmt: skip

    report = {
        "measures": parts(left_mm3 + right_mm3) | {
            "sides": {"left": parts(left_mm3), "right": parts(right_mm3)}, "too_small": {},
        },
        "model": {"version": "1", "sha256": SHA}, "warnings": [],
        "head": {"confidence": "high", "reasons": []},
        "input": {"spacing_mm": [2.0, 2.0, 2.0]},
    } | changed  # fmt: skip
    return Case(case_id, "a", "2026-11-30T08:00:00", report, patient="QX-1", scan_date=day)


FIRST = case_of("HV-A", "2024-05-01", 2400.0)
LAST = case_of("HV-B", "2026-05-01", 2340.0, 2000.0)


def at_2_mm():
    return next(one for one in measured_for(SHA) if one.edge_mm == 2)


def shown(*scans):
    def page():
        import streamlit as st

        from app.views.change import show_change

        show_change(st.session_state["scans"])

    return Part(page, scans=list(scans)).at


def test_each_side_and_label_has_its_change_with_its_unit_and_its_meaning():
    earlier, later = measured(FIRST), measured(LAST)
    one = at_2_mm()
    rows = {row[""]: row for row in change_rows(
        earlier, later, changes(earlier, later, (one, one))
    )}  # fmt: skip
    assert list(rows)[:3] == ["Left, total", "Left, anterior", "Left, posterior"]
    left, right = rows["Left, total"], rows["Right, total"]
    assert (left["Earlier (ml)"], left["Later (ml)"]) == ("2.40", "2.34")
    assert (left["Change (ml)"], left["Change (%)"], left["% a year"]) == tuple(
        map(minus, ("-0.06", "-2.5", "-1.3"))
    )
    assert left["Meaning"] == f"≈ {WITHIN}"
    assert right["Meaning"].startswith("▼ smaller")
    whole = replace(one, spread={"total": one.spread["total"]})
    rows_of_whole = change_rows(earlier, later, changes(earlier, later, (whole, whole)))
    assert "was not measured" in rows_of_whole[1]["Meaning"]
    ends = right["95 % interval (%)"].replace(minus("-"), "-").split(" to ")
    low, high = map(float, ends)
    assert low < -20 < high < 0


def test_the_band_is_in_the_plot_and_says_where_it_comes_from():
    earlier, later = measured(FIRST), measured(LAST)
    one = at_2_mm()
    assert one.source in band_words((one, one), earlier)
    assert "Not measured" in band_words(None, earlier)
    assert loss_words(replace(one, found_of_3_percent=None)) == ""
    assert "2.1 % were found" in band_words((replace(one, found_of_3_percent=2.1), one), earlier)
    plain = change_figure([earlier, later], ["left", "right"], earlier, None)
    banded = change_figure([earlier, later], ["left", "right"], earlier, (one, one))
    assert len(plain.layout.shapes) == 0
    assert len(banded.layout.shapes) == 2 * len(one.spread)
    assert json.loads(banded.to_json())["data"][0]["x"] == ["2024-05-01", "2026-05-01"]


def test_an_unreliable_or_rejected_scan_is_marked_in_words_and_no_line_leads_through_it():
    scans = [measured(FIRST), measured(case_of("HV-M", "2025-05-01", 900.0)), measured(LAST)]
    figure = change_figure(scans, ["left", "right"], scans[0], None, [False, True, False])
    lines = [trace for trace in figure.data if "lines" in trace.mode]
    marks = [trace for trace in figure.data if trace.mode == "markers"]
    assert len(lines) == len(marks) == 6
    for trace in lines:
        assert list(trace.x) == ["2024-05-01", "2026-05-01"]
    for trace in marks:
        assert list(trace.x) == ["2025-05-01"]
        assert trace.name.startswith("Unreliable or rejected")
    assert sum(bool(trace.showlegend) for trace in marks) == 1
    plain = change_figure(scans, ["left", "right"], scans[0], None)
    assert not [trace for trace in plain.data if trace.mode == "markers"]


def test_where_nothing_was_measured_it_says_for_which_voxels_something_was():
    thick = measured(case_of("HV-T", "2024-05-01", 2400.0, input={"spacing_mm": [1, 1, 5.0]}))
    assert "with voxels of 0.88 and 2 mm" in band_words(None, thick)
    unknown = {"version": "9", "sha256": "c" * 64}
    other = measured(case_of("HV-U", "2024-05-01", 2400.0, model=unknown))
    assert "Nothing was measured of this version" in band_words(None, other)


def test_two_scans_are_compared_and_a_single_one_says_what_is_missing():
    page = shown(FIRST, LAST)
    assert any("What the method varies by" in text.value for text in page.markdown)
    assert any("2.0 years" in text.value for text in page.caption)
    assert not page.warning
    (said,) = shown(FIRST).info
    assert "once this patient has two scans" in said.value


def test_another_model_version_is_flagged_and_nothing_is_judged():
    other = case_of("HV-C", "", 2000.0, model={"version": "2", "sha256": "b" * 64})
    page = shown(FIRST, other)
    assert any("different model versions (1 and 2)" in text.value for text in page.warning)
    assert not any("What the method varies by" in text.value for text in page.markdown)
    assert any("the date of a scan is not known" in text.value for text in page.caption)


def test_lost_and_won_has_a_row_for_each_label_and_says_what_is_not_counted():
    parts = {
        "total": LostAndWon(120.4, 20.2, 2000.0, 0.0),
        "anterior": LostAndWon(100.0, 20.2, 900.0, -30.0),
        "posterior": LostAndWon(20.4, 0.0, 1100.0, 30.0),
    }
    compared = Compared({"left": parts}, 0.0, 0.0)
    whole, anterior, posterior = lost_rows(compared)
    assert [row[""] for row in (whole, anterior, posterior)] == [
        "Left, total", "Left, anterior", "Left, posterior",
    ]  # fmt: skip
    assert (whole["Lost (mm³)"], whole["Won (mm³)"]) == ("120", "20")
    assert whole["Won less lost (mm³)"] == minus("-100")
    assert (anterior["By the border (mm³)"], posterior["By the border (mm³)"]) == (
        minus("-30"),
        "+30",
    )
    assert "Not counted" not in lost_words(compared)
    words = lost_words(replace(compared, earlier_alone_mm3=81.0))
    assert "Not counted: 81 mm³ of the earlier mask, where the other scan shows nothing" in words
