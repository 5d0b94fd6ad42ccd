"""The report of a case on paper: every figure of the case, in two languages, and no name."""

import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from core.cases.case import Review
from core.cases.study import study_of
from core.exports.german import FINDINGS, in_german
from core.exports.pdf import _fitting, report_pdf
from core.exports.pdf_change import changed_until
from core.exports.pdf_compared import Compared, add_compared
from core.exports.pdf_details import add_details
from core.exports.sentences import _SENTENCES, LANGUAGES, Sentences
from core.exports.sheet import BOTTOM_MM, Sheet
from core.exports.tables import report_csv
from core.measures.change import Measured, cautions, differences
from core.measures.measure import MASK_CODES
from core.models.folder import load_model
from core.references.comparison import compare
from core.settings import ROOT, Settings
from core.wording import fine_ml_digits
from tests import dicom_sources as sources
from tests.references import group, people

NAME = "Doe Jane"
PSEUDONYM = "P-9QX2T7"
STUDY = {"date": "2024-05-01", "sex": "F", "age_years": 103}
# Digits of the CSV by the key of the JSON's number; ml end where a voxel does.
ML_DIGITS = fine_ml_digits(float(np.prod(sources.SPACING)))
DIGITS = {
    "volume_mm3": 1, "volume_ml": ML_DIGITS, "voxels": 0, "bounding_box_mm": 1, "length_mm": 1,
    "volume_interval_mm3": 1, "anterior_share_percent": 1, "voxel_mm3": 4, "asymmetry_percent": 1,
    "share_of_brain_percent": 3,
}  # fmt: skip


def run(program, *arguments):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is missing: apt-get install poppler-utils")
    return subprocess.run([program, *arguments], capture_output=True, check=True, text=True).stdout


IMAGES = sources.images_of()


def case_of(kind):
    """A reviewed case of a made head, or of a crop, with all that a calibrated version says."""
    labels = sources.labels_on("axial")
    if kind == "crop":
        labels = np.where(labels > 2, 0, labels)
    review = Review("accepted", "Dr. Weiß", "2026-11-30T07:01:00+00:00")
    case = sources.case_of(labels, "axial", review=review, is_crop=kind == "crop")
    measures = case.report["measures"]
    for parts in (measures, *measures["sides"].values()):
        for name in ("anterior", "posterior", "total"):
            mm3 = parts[name]["volume_mm3"]
            parts[name]["volume_interval_mm3"] = [round(0.83 * mm3, 1), round(1.09 * mm3, 1)]
    dice = {"whole": 0.905, "anterior": 0.89, "posterior": 0.877}
    sides = {side: {part: d + n / 1000 for part, d in dice.items()}
             for n, side in enumerate(measures["sides"])}  # fmt: skip
    case.report.update({
        "device": "cpu", "timings_s": {},
        "trust": {"expected_dice": dice, "reason": "", "sides": sides, "interval_percent": 90},
    })  # fmt: skip
    return replace(case, name=NAME)


def numbers(found, digits=None):
    """Every number of a JSON's measures, with the digits that the CSV gives it, but for ml."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield from numbers(value, DIGITS.get(key))
    elif isinstance(found, (list, tuple)):
        for value in found:
            yield from numbers(value, digits)
    elif isinstance(found, (int, float)):
        yield f"{found:.{digits}f}"


def words_of(pdf, tmp_path):
    file = tmp_path / "report.pdf"
    file.write_bytes(pdf)
    assert re.search(r"Pages:\s+2\b", run("pdfinfo", str(file)))
    return run("pdftotext", "-layout", str(file), "-")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["crop", "head"])
def test_every_figure_stands_in_it_as_in_csv_and_json(tmp_path, kind, language):
    case = case_of(kind)
    words = words_of(report_pdf(case, IMAGES, language=language), tmp_path)
    said = set(re.findall(r"-?\d+(?:[.,]\d+)?", words.replace("\N{MINUS SIGN}", "-")))
    figures = set(numbers(case.report["measures"]))
    figures |= {
        f"{float(row['value']):.{ML_DIGITS}f}"
        if row["unit"] == "ml" and row["quantity"] == "volume"
        else row["value"]
        for row in csv.DictReader(io.StringIO(report_csv(case).decode()))
        if row["unit"] in ("mm3", "ml", "mm", "%") or row["quantity"] in ("voxels", "expected_dice")
    }
    figures.discard("")
    assert len(figures) > 15
    if language == "de":
        figures = {figure.replace(".", ",") for figure in figures}
    assert figures <= said, figures - said
    for expected in (case.id, "Dr. Weiß", case.report["model"]["sha256"]):
        assert expected in words
    assert {"en": "Research use only", "de": "Nur für Forschungszwecke"}[language] in words


def test_the_same_case_gives_the_same_bytes_with_its_fonts(tmp_path):
    case = case_of("crop")
    once, twice = (report_pdf(case, IMAGES) for _ in range(2))
    assert once == twice
    (tmp_path / "report.pdf").write_bytes(once)
    fonts = run("pdffonts", str(tmp_path / "report.pdf")).splitlines()[2:]
    assert fonts
    assert all(re.search(r"yes\s+yes\s+yes", line) for line in fonts)


def test_nothing_of_the_patient_stands_in_it_where_the_id_alone_was_chosen(tmp_path):
    case = replace(case_of("crop"), patient=PSEUDONYM)
    case.report["study"] = STUDY
    of_person = ("Jane", PSEUDONYM, "2024-05-01", "103", "female")
    without = report_pdf(case, IMAGES)
    words = words_of(without, tmp_path)
    assert not [word for word in of_person if re.search(rf"\b{word}\b", words)]
    assert PSEUDONYM.encode() not in without
    words = words_of(report_pdf(case, IMAGES, identity=""), tmp_path)
    assert [word for word in of_person if word in words] == list(of_person[1:])
    first, second = words.split("\f")[:2]
    assert all(PSEUDONYM in page for page in (first, second))


def test_what_was_typed_stands_beside_what_the_header_says(tmp_path):
    case = replace(case_of("crop"), scan_date="2024-06-02", age_years=44)
    case.report["study"] = STUDY
    words = " ".join(words_of(report_pdf(case, IMAGES, identity=""), tmp_path).split())
    said = "typed here; the DICOM header says 103 years old at the scan, scanned on 2024-05-01"
    assert f"female, 44 years old at the scan, scanned on 2024-06-02, {said}" in words


@pytest.mark.parametrize(("name", "seen"), [("כהן דוד", "כהן"), ("محمد علي", "محمد")])
def test_names_from_right_to_left_are_in_order_and_joined(tmp_path, name, seen):
    case = case_of("crop")
    pdf = report_pdf(case, IMAGES, identity=f"Patient {name}   ID 77")
    words = words_of(pdf, tmp_path)
    assert re.search(rf"Patient\W+Patient\W+{seen}", words)
    assert "ID 77" in words


def test_what_is_not_known_of_a_patient_is_not_said(tmp_path):
    case = case_of("crop")
    words = words_of(report_pdf(case, IMAGES, identity=""), tmp_path)
    assert re.search(r"Patient\s+not given\n", words)


def test_many_and_long_warnings_leave_it_two_pages(tmp_path):
    case = case_of("crop")
    case.report["warnings"] += [
        {"level": "warning", "code": f"w{n}", "message": f"Number {n}. " + "Long words. " * 40}
        for n in range(60)
    ]
    words = words_of(report_pdf(case, IMAGES), tmp_path)
    first, second = words.split("\f")[:2]
    assert "more: see the next page" in first
    assert "more stand on the case's page" in second
    told = len(re.findall(r"Number \d+\.", words))
    left = int(re.search(r"(\d+) more stand", second).group(1))
    assert told + left == 60


@pytest.mark.parametrize("findings", [[], ["Warning: look. " * 9] * 30])
def test_a_high_picture_of_both_sides_leaves_room_for_the_rest(findings):
    sides = io.BytesIO()
    Image.new("RGB", (600, 900)).save(sides, "PNG")
    with Sheet(Sentences("de")) as sheet:
        sheet.add_page()
        add_details(sheet, case_of("head"), Sentences("de"), findings, sides.getvalue())
    assert sheet.get_y() <= BOTTOM_MM
    assert sheet.page == 1


def test_what_is_expected_of_a_mask_stands_in_it(tmp_path):
    case = case_of("crop")
    case.report["measures"]["total"] |= {
        "volume_mm3": 2109.0, "volume_ml": 2.109, "volume_interval_mm3": [1980.0, 2240.0],
    }  # fmt: skip
    case.report["trust"]["expected_dice"] = {"whole": 0.9, "anterior": 0.88, "posterior": 0.87}
    case.report["warnings"] = []
    words = words_of(report_pdf(case, IMAGES), tmp_path)
    assert "2.11" in words
    assert "2,109 mm³" in words
    assert "90 % interval 1,980 to 2,240 mm³" in words
    assert "(Dice, 1 is the same): 0.90" in words
    assert "Confidence high: the mask passed every check" in words
    case.report["trust"] |= {"expected_dice": None, "reason": "a person drew this mask"}
    words = words_of(report_pdf(case, IMAGES, language="de"), tmp_path)
    assert "ein Mensch hat diese Maske gezeichnet" in words


def test_whose_report_it_is_stands_there_whole(tmp_path):
    case = case_of("crop")
    identity = (
        f"Patient {'Garcia ' * 8}  ID {'2.16.756.5.30.1.123'}   born 19500203   study 20240506"
    )
    words = words_of(report_pdf(case, IMAGES, identity=identity), tmp_path)
    assert "19500203" in words
    assert "20240506" in words


def test_group_and_change_stand_on_the_first_page_where_the_patient_does(tmp_path):
    case = replace(case_of("head"), scan_date="2026-05-01", sex="F", age_years=50)
    case.report["measures"]["too_small"] = {}
    case.report["head"]["confidence"] = "high"
    before = replace(case, id="HV-BEFORE", scan_date="2024-05-01")
    controls = group(people=people(120), protocol="FreeSurfer 7.4", name="Controls")
    study = study_of(case)
    more = {
        "compared": Compared(compare(case, study, controls), controls, study),
        "changed": changed_until(case, [before, case]),
    }
    first = words_of(report_pdf(case, IMAGES, identity="", **more), tmp_path).split("\f")[0]
    words = " ".join(first.split())
    assert "reference group Controls, n = 120, protocol FreeSurfer 7.4: not comparable" in words
    assert words.count("FreeSurfer 7.4") == 5  # the title, and each number
    assert "Change since 2024-05-01 (HV-BEFORE)" in words
    assert "Left: 1.75 ml to 1.75 ml, +0.0 %, +0.0 % a year" in words
    warning = {"level": "warning", "code": "oblique", "message": "Look at this tilt. " * 8}
    case.report["warnings"] = [warning]
    first = words_of(report_pdf(case, IMAGES, identity="", **more), tmp_path).split("\f")[0]
    assert "Look at this tilt" in first
    without = words_of(report_pdf(case, IMAGES, **more), tmp_path)
    for of_person in ("Controls", "FreeSurfer", "HV-BEFORE", "2024", "percentile"):
        assert of_person not in without, of_person


def test_a_judged_change_says_that_a_loss_may_be_larger(tmp_path):
    case = replace(case_of("head"), scan_date="2026-05-01")
    case.report["measures"]["too_small"] = {}
    case.report["head"]["confidence"] = "high"
    changed = changed_until(case, [replace(case, id="HV-BEFORE", scan_date="2024-05-01"), case])
    said = "A loss may be larger than it looks"
    not_judged = words_of(report_pdf(case, IMAGES, identity="", changed=changed), tmp_path)
    assert said not in " ".join(not_judged.split())
    case.report["model"]["sha256"] = load_model(Settings().model_dir).sha256
    case.report["input"]["spacing_mm"] = [2.0, 2.0, 2.0]
    judged = words_of(report_pdf(case, IMAGES, identity="", changed=changed), tmp_path)
    assert said in " ".join(judged.split())


def test_long_texts_of_a_group_leave_the_picture_a_page_of_its_own():
    case = replace(case_of("head"), sex="F", age_years=50)
    case.report["measures"]["too_small"] = {}
    case.report["head"]["confidence"] = "high"
    controls = group(people=people(120), name="N" * 120, protocol="P " * 60, source="S " * 900)
    study = study_of(case)
    compared = Compared(compare(case, study, controls), controls, study)
    with Sheet(Sentences("de")) as sheet:
        sheet.add_page()
        add_compared(sheet, compared, Sentences("de"))
        assert sheet.get_y() < BOTTOM_MM - 150
    pdf = report_pdf(case, IMAGES, identity="name " * 80, compared=compared)
    assert pdf.startswith(b"%PDF-")


def test_a_finding_is_said_in_german_with_its_own_words(tmp_path):
    case = case_of("crop")
    message = "The scan is tilted by 12 degrees."
    case.report["warnings"] = [{"level": "warning", "code": "oblique", "message": message}]
    words = words_of(report_pdf(case, IMAGES, language="de"), tmp_path)
    assert "Warnung: Das Bild liegt schräg" in words
    assert "12 degrees" in words


def test_in_german_days_are_written_so_and_every_reason_of_a_change_is_german(tmp_path):
    words = words_of(report_pdf(case_of("head"), IMAGES, language="de"), tmp_path)
    assert "30.11.2026 07:01 UTC" in words
    assert "2026-11-30" not in words
    sides = {"hippocampus": {}}
    crop = Measured("", sides, "1", "a", (1, 1, 1), is_head=False, confidence="unreliable")
    cut = replace(crop, is_head=True, spacing_mm=(2, 2, 2), model_version="2", model_sha256="b",
                  too_small="voxels of 3.0 mm", is_drawn=True, confidence="check")  # fmt: skip
    both = replace(cut, confidence="unreliable")
    pairs = [(crop, cut), (cut, crop), (both, both), (crop, crop), (cut, cut)]
    reasons = [r for pair in pairs for r in (*differences(*pair), *cautions(*pair))]
    assert len(set(reasons)) >= 12
    assert [reason for reason in reasons if in_german(reason) == reason] == []


def test_every_sentence_is_there_in_every_language_with_the_same_places():
    for name, by_language in _SENTENCES.items():
        assert set(by_language) == set(LANGUAGES), name
        places = {frozenset(re.findall(r"\{\w+\}", text)) for text in by_language.values()}
        assert len(places) == 1 or name == "in_english", name


def test_every_sentence_is_used():
    modules = (ROOT / "core" / "exports").glob("*.py")
    source = "".join(m.read_text() for m in modules if m.name != "sentences.py")
    named = set(re.findall(r"\"(\w+)\"|'(\w+)'", source))
    named = {name for pair in named for name in pair}
    # Those that are named by what the case says.
    by_case = {
        "left", "right", "radiological", "neurological", "high", "check", "unreliable", "F", "M",
        "O", "new", "accepted", "corrected", "rejected", "warning", "note", "too small",
        "not checked", "a person drew this mask", "small_anterior", "small_posterior", "in_english",
        "pane_left", "pane_right", "within what the method varies by", "not judged",
        "smaller by more than the method varies by", "larger by more than that",
    }  # fmt: skip
    assert set(_SENTENCES) - named - by_case == set()


def test_every_code_of_a_finding_is_known_in_german():
    source = "".join(path.read_text() for path in (ROOT / "core" / "image").rglob("*.py"))
    named = re.findall(r'Finding\(\s*"(?:note|warning)",\s*"(\w+)"', source)
    assert len(named) > 10
    assert {*named, *MASK_CODES} - set(FINDINGS) == set()


def test_german_numbers_have_a_comma_and_no_point():
    words = Sentences("de")
    assert words.number(12345.678, 2, grouped=True) == "12\N{NARROW NO-BREAK SPACE}345,68"
    assert words.number(-0.04, 1, sign=True) == "+0,0"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_number_below_zero_has_a_minus_as_on_the_pages(language):
    words = Sentences(language)
    assert words.number(-7.4, 0, sign=True) == "\N{MINUS SIGN}7"
    hyphens = [name for name, by_language in _SENTENCES.items() if " - " in by_language[language]]
    assert hyphens == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_interval_stays_within_its_cell_of_the_band(language):
    words, room_mm = Sentences(language), 42.0
    high = words.number(12_817, 0, grouped=True)
    with Sheet(words) as sheet:
        sheet.add_page()
        sheet.set_font("DejaVu", "", 7)
        long = words("interval", percent=90, low=high, high=high)
        assert sheet.get_string_width(long) > room_mm
        sheet.set_font_size(_fitting(sheet, long, room_mm))
        assert sheet.get_string_width(long) == pytest.approx(room_mm)
        assert _fitting(sheet, "2 ml", room_mm) == 7
