"""Where a case stands in a group, in words; and when it has no number."""

import csv
import io
import json
import re

import pytest

from core.cases.case import Case
from core.cases.study import Study
from core.exports.tables import report_csv, report_json
from core.references.comparison import compare, why_not_in
from core.references.group import Person
from tests.references import KNOWN, group, head_report, people

WOMAN = Study(**KNOWN)
INPUT = {"sha256": "c" * 64, "orientation": "RAS", "spacing_mm": [1.0, 1.0, 1.0]}
OTHER_VERSION = {"model_sha256": "b" * 64, "model_version": "7"}


def compared(report=None, study=WOMAN, **changes):
    case = Case("HV-A", "a", "2026-11-30", head_report() if report is None else report)
    return compare(case, study, group(**changes))


def test_each_measure_has_a_sentence_with_group_size_and_protocol():
    found = compared()
    assert [s.measure for s in found.standings] == ["left", "right", "total", "asymmetry"]
    place = r"at the \d+\w\w percentile \(.+ to .+\)|below the 2nd percentile( \(up to .+\))?"
    rest = " of group Controls, n = 60, same protocol"
    for standing, value in zip(
        found.standings, ("Left 2.40 ml", "Right 2.50 ml", "Total 4.90 ml", "Asymmetry -4 %"),
        strict=True,
    ):  # fmt: skip
        assert re.fullmatch(f"{value}, ({place}){rest}", standing.sentence)
    assert found.remarks == ()


def test_a_small_hippocampus_stands_low_and_a_common_one_in_the_middle():
    small, common = compared(head_report(2400)), compared(head_report(3300))
    assert small.standings[0].place.percentile < 5
    assert 30 < common.standings[0].place.percentile < 70


def test_another_protocol_is_named_in_every_sentence_and_remarked():
    found = compared(protocol="FreeSurfer 7.4", model_sha256="")
    words = "protocol FreeSurfer 7.4: not comparable without conversion"
    assert all(s.sentence.endswith(words) for s in found.standings)
    assert any("not comparable" in remark for remark in found.remarks)


def test_each_percentile_of_a_file_says_whether_it_can_be_compared():
    report = head_report() | {
        "notice": "n", "device": "cpu", "timings_s": {}, "input": INPUT,
        "model": {"name": "m", "version": "1", "sha256": "a" * 64},
    }  # fmt: skip
    measures = report["measures"]
    for parts in (measures, *measures["sides"].values()):
        for name in ("total", "anterior", "posterior"):
            parts[name] |= {"bounding_box_mm": None, "length_mm": None}
    measures |= {
        "anterior_share_percent": 50.0, "voxel_mm3": 1.0, "asymmetry_percent": -4.1,
        "share_of_brain_percent": 0.4,
    }  # fmt: skip
    case = Case("HV-A", "a", "2026-11-30", report)
    controls = group(protocol="FreeSurfer 7.4")
    in_group = compare(case, WOMAN, controls), controls
    words = "protocol FreeSurfer 7.4: not comparable without conversion"
    found = json.loads(report_json(case, in_group))["reference_group"]
    assert list(found["percentiles"]) == ["left", "right", "total", "asymmetry"]
    for one in found["percentiles"].values():
        assert one["comparable"] is False
        assert one["sentence"].endswith(words)
    rows = csv.DictReader(io.StringIO(report_csv(case, in_group).decode()))
    rows = [row for row in rows if row["quantity"].startswith("percentile")]
    assert len(rows) == 12
    assert all(row["remark"] == f"of group Controls, n = 60, {words}" for row in rows)
    for text in (report_json(case).decode(), report_csv(case).decode()):
        assert "percentile" not in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"head": None}, "A crop is not compared"),
        ({"head": {"confidence": "unreliable", "reasons": [], "brain_ml": 0}}, "unreliable"),
        ({"measures": head_report(0, 0)["measures"]}, "Neither side was found"),
        (
            {"measures": head_report()["measures"] | {"too_small": {"total": {"coarse": "3 mm"}}}},
            None,
        ),
    ],
)
def test_a_case_without_sound_volumes_has_no_number(change, words):
    found = compared(head_report() | change)
    assert not found.standings
    assert (words or "too small") in found.why_not


@pytest.mark.parametrize(
    ("study", "words"),
    [
        (Study(sex="F"), "The age of this person is not known: open the case on the Cases page"),
        (Study(), "The age and the sex of this person are not known"),
        (Study(sex="O", age_years=50), "neither F nor M"),
        (Study(sex="M", age_years=90), r"The men of the group are \d+ to \d+ years old, this"),
    ],
)
def test_a_person_of_unknown_or_other_age_or_sex_has_no_number(study, words):
    found = compared(study=study)
    assert not found.standings
    assert re.search(words, found.why_not)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (people(39), "39 people: no percentile with fewer than 40"),
        ([p for p in people(120) if p.sex == "M"], "0 women: no percentile with fewer than 10"),
        ([*people(60, ages=(70, 80)), *people(2, ages=(45, 46))], "within 10 years of 50"),
    ],
)
def test_too_few_people_give_no_number(rows, words):
    found = compared(people=tuple(rows))
    assert not found.standings
    assert words in found.why_not


def test_one_side_alone_has_neither_total_nor_asymmetry():
    assert [s.measure for s in compared(head_report(right=0)).standings] == ["left"]


def test_the_sexes_are_apart_once_there_are_enough_of_each():
    assert len(compared(people=people(298)).people) == 298
    assert {p.sex for p in compared(people=people(300)).people} == {"F"}


def test_what_differs_is_remarked():
    assert "model version 1" not in "".join(compared().remarks)
    (other,) = compared(**OTHER_VERSION).remarks
    assert "Another model version measured the group (7)" in other
    words = "model version 7, this case 1: not comparable without conversion"
    assert all(s.sentence.endswith(words) for s in compared(**OTHER_VERSION).standings)
    (drawn,) = compared(head_report(mask={"version": 1, "author": "Ada"})).remarks
    assert "A person drew this mask" in drawn


def test_ages_count_in_whole_years_in_a_group_too():
    ages = [*[20.4] * 6, *[79.6] * 6, *(40.0 + n for n in range(20))]
    men = group(people=tuple(Person(age, "M", 3000.0, 3100.0) for age in ages * 2))
    assert [why_not_in(men, age, "M") for age in (20, 40)] == ["", ""]
    assert "are 20 to 79 years old, this person is 80" in why_not_in(men, 80, "M")
    assert men.in_words.endswith("20 to 79 years")
