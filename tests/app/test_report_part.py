"""The parts of a case's page that ask for the report and compare the sides."""

import shutil
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest

from core.references.groups import References
from core.state.storage import LocalStorage
from tests import dicom_sources as sources
from tests.references import group, people

CASE = sources.case_of(sources.labels_on("axial"), "axial")


def shared_of(case=CASE, storage=None):
    """The server's parts that a report needs, with one case as it is now."""
    images = sources.images_of()
    files = SimpleNamespace(images=lambda case_id, version: images)
    cases = SimpleNamespace(get=lambda case_id: case)
    return SimpleNamespace(viewer_files=files, cases=cases, storage=storage)


def page(shared, case):
    from app.views.both_sides import both_sides
    from app.views.dropping import take_drops_anywhere
    from app.views.keys import keys_help
    from app.views.report import report_download

    report_download(shared, case, "radiological")
    both_sides(shared, case, "radiological")
    keys_help()
    take_drops_anywhere()


def opened(case):
    shown = AppTest.from_function(page, args=(shared_of(), case), default_timeout=60)
    shown.run()
    assert not shown.exception
    return shown


def test_the_patient_is_left_out_unless_asked_for_and_of_the_next_case_again():
    labels = sources.labels_on("axial")
    shown = opened(sources.case_of(labels, "axial"))
    assert not shown.checkbox[0].value
    assert shown.checkbox[0].key.endswith("HV-TEST01")
    shown.checkbox[0].check().run()
    assert not shown.exception


def text_of(pdf, tmp_path):
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is missing: apt-get install poppler-utils")
    file = tmp_path / "report.pdf"
    file.write_bytes(pdf)
    return subprocess.run(
        ["pdftotext", "-layout", file, "-"], capture_output=True, check=True, text=True
    ).stdout


def test_the_file_holds_what_was_chosen(tmp_path):
    from app.views.report import _file

    known = replace(CASE, age_years=50, sex="F")
    known.report["head"]["confidence"] = "high"
    known.report["measures"]["too_small"] = {}
    shared = shared_of(known, LocalStorage(tmp_path / "storage"))
    references = References(shared.storage)
    made = references.add(group(people=people(60), model_sha256="ab" * 32), "Ada")
    references.add(group(name="Newer"), "Ada")
    without, named = (
        text_of(_file(shared, "HV-TEST01", "radiological", *chosen), tmp_path)
        for chosen in (
            ("en", False, {"group": made.id}), ("de", True, {"group": made.id}),
        )
    )  # fmt: skip
    assert "Controls" not in without
    assert "Patient" not in without
    words = " ".join(named.split())
    title = "Verglichen mit der Referenzgruppe Controls, n = 60, gleiches Protokoll"
    assert title in words
    assert words.count("gleiches Protokoll") == 5
    assert "Perzentil" in words


def test_the_report_is_of_the_newest_mask_and_the_page_says_so(tmp_path):
    from app.views.report import _file

    newest = sources.case_of(sources.labels_on("axial"), "axial", version=1)
    shown = AppTest.from_function(page, args=(shared_of(newest), CASE), default_timeout=60).run()
    assert "Mask version 1 was saved after this page was drawn" in shown.info[0].value
    pdf = _file(shared_of(newest), "HV-TEST01", "radiological", "en", False, {})
    assert "version 1, drawn by Ada" in text_of(pdf, tmp_path)


def test_of_a_head_both_sides_can_be_compared_and_of_a_crop_not():
    labels = sources.labels_on("axial")
    head = opened(sources.case_of(labels, "axial"))
    assert [each.label for each in head.expander if "Both sides" in each.label]
    crop = opened(sources.case_of((labels == 1).astype("uint8"), "axial", is_crop=True))
    assert not [each.label for each in crop.expander if "Both sides" in each.label]
