"""The band above the viewer: each number with its unit, its doubt beside it, no markup of users."""

import re
from dataclasses import replace

import pytest

from app.views.band import band_html, facts
from app.views.words import DASH
from core.cases.case import Case
from core.wording import minus
from tests.scans import example, template_head


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html)).strip()


@pytest.fixture(scope="module")
def head(segmented):
    return segmented(template_head())


def case_of(analysis, **changes) -> Case:
    report = analysis.as_dict() | changes
    return Case("HV-AAAAAA", "visit 1", "2026-11-30T08:00:00", report, patient="QX-1")


def test_a_head_has_left_right_asymmetry_total_and_its_confidence(head):
    case = case_of(head)
    said = words(band_html(case))
    measures = case.report["measures"]
    percent = measures["asymmetry_percent"]
    for side in ("left", "right"):
        total = measures["sides"][side]["total"]
        ml = f"{side.capitalize()} {total['volume_ml']:.2f} ml {total['volume_mm3']:,.0f} mm³"
        assert ml in said
    assert f"Asymmetry {minus(f'{percent:+z.0f}')} %" in said
    assert f"Total {measures['total']['volume_ml']:.2f} ml" in said
    assert re.search(r"Confidence \S High every check was passed", said)
    assert said.startswith("visit 1 Patient QX-1 HV-AAAAAA, segmented 2026-11-30")
    # A narrow window breaks no date at its hyphen.
    assert '<span class="day">2026-11-30</span>' in band_html(case)


def test_parts_have_their_unit_and_a_sum_that_rounding_breaks_says_so(head):
    case = case_of(head)
    sides = case.report["measures"]["sides"]
    for part, mm3 in (("anterior", 1824.0), ("posterior", 1674.0), ("total", 3498.0)):
        sides["left"][part]["volume_mm3"] = mm3
    for part, mm3 in (("anterior", 1820.0), ("posterior", 1670.0), ("total", 3490.0)):
        sides["right"][part]["volume_mm3"] = mm3
    case.report["measures"]["total"]["volume_mm3"] = 6988.0
    case.report["measures"]["asymmetry_percent"] = -3.6
    said = words(band_html(case))
    assert "3,498 mm³ ≈ ant. 1.82 ml · post. 1.67 ml" in said
    assert "3,490 mm³ ant. 1.82 ml · post. 1.67 ml" in said
    assert f"Asymmetry {minus('-4')} %" in said


def test_a_warning_about_the_scan_does_not_stand_beside_every_check_was_passed(head):
    thick = {"level": "warning", "code": "anisotropic", "message": "Slices are thick."}
    said = words(band_html(case_of(head, warnings=[thick])))
    assert "High the masks passed every check, but the scan has 1 warning" in said
    assert "every check was passed" not in said


def test_a_side_that_is_missing_has_no_number(head):
    measures = case_of(head).report["measures"]
    one = {"left": measures["sides"]["left"]}
    said = words(band_html(case_of(
        head, measures=measures | {"sides": one, "asymmetry_percent": None},
    )))  # fmt: skip
    assert f"Right {DASH} not found Asymmetry {DASH} needs both sides" in said


def test_a_volume_that_is_too_small_says_so_beside_it(head):
    measures = case_of(head).report["measures"]
    small = {"left": {"touches_border": "the image ends within it (behind)"}}
    small["total"] = small["left"]
    html = band_html(case_of(head, measures=measures | {"too_small": small}))
    said = words(html)
    assert len(re.findall("too small", said)) == 3  # left, total, and what is computed from them
    assert "the image ends within it (behind)" in html


def test_a_crop_has_its_labels_and_no_side(segmented):
    said = words(band_html(case_of(segmented(example()))))
    assert re.search(r"Anterior \d\.\d\d ml [\d,]+ mm³", said)
    assert f"Side {DASH} unknown on a crop" in said


def test_what_is_known_of_the_person_and_the_day_stands_beside_the_name():
    case = Case("HV-A", "a", "2026-11-30T08", {}, patient="QX-1")
    assert facts(case) == ["Patient QX-1", "HV-A, segmented 2026-11-30"]
    typed = replace(case, scan_date="2024-05-01", sex="F", age_years=71)
    assert facts(typed) == ["Patient QX-1, female, 71 years", "HV-A, scanned 2024-05-01"]
    assert facts(replace(typed, patient="", age_years=None))[0] == "Female"


def test_a_name_is_no_markup(head):
    case = Case("HV-A", "<img src=x onerror=1>", "2026-11-30T08", head.as_dict(), patient="<b>p")
    assert "<img" not in band_html(case)
    assert "<b>p" not in band_html(case)


def test_a_mask_that_a_person_drew_names_them(head):
    said = words(band_html(case_of(head, mask={"version": 2, "author": "Dr A"})))
    assert "Of mask version 2, drawn by Dr A." in said
