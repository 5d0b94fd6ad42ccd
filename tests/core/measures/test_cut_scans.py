"""A field of view that ends within a hippocampus: said with the volume, wherever that goes."""

import csv
import io
import json
import zipfile

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.cases.case import Case
from core.cases.corrections import Corrections
from core.cases.store import Cases
from core.commands.segment import _print_summary
from core.exports.strip import strip_png
from core.exports.tables import Outcome, archive, report_csv, report_json, summary_csv
from core.pipeline import Analysis
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.core.cases.test_corrections import packed
from tests.core.measures.test_edges import cut
from tests.parts import Part
from tests.scans import example, image, template_head

WORDS = "the image ends within it"
BRAIN_WORDS = "The image ends within the brain: the hippocampi's share of it is not computed."
BEHIND_VOXEL = 102  # of the template: 32 mm behind its middle, within both hippocampi


@pytest.fixture(scope="module")
def head(segmented) -> Analysis:
    return segmented(template_head().slicer[:, BEHIND_VOXEL:])


@pytest.fixture(scope="module")
def crop(segmented) -> Analysis:
    return segmented(example().slicer[:, :, 12:])


def codes(analysis: Analysis) -> list[str]:
    return [f.code for f in analysis.findings if f.level == "warning"]


def test_a_head_that_is_cut_is_not_trusted_and_says_where(head):
    known = head.segmentation.head
    assert known.confidence == "check"
    assert known.reasons == tuple(
        f"the image ends within the {side} hippocampus (behind)" for side in ("left", "right")
    )
    assert codes(head) == ["check", "touches_border", "touches_border"]
    assert "The image ends within the left hippocampus (behind)" in head.findings[-3].message
    assert head.findings[-1].code == "brain_cut"


@pytest.mark.parametrize("padding", [0, pytest.param(np.nan, marks=pytest.mark.long)])
def test_padding_around_a_cut_head_does_not_hide_it(padding, segmented, head):
    data = np.asarray(template_head().dataobj).astype(np.float32)
    data[:, :BEHIND_VOXEL] = padding
    padded = segmented(image(data, template_head().affine))
    assert padded.measures.too_small == head.measures.too_small


def test_a_crop_that_is_cut_says_where(crop, segmented):
    assert codes(crop) == ["touches_border"]
    message = crop.findings[-1].message
    assert message.startswith("The image ends within the hippocampus (")
    assert "below" in message.split(":")[0]
    assert segmented(example()).measures.too_small == {}


@pytest.fixture
def house(tmp_path) -> tuple[Cases, Corrections]:
    engine, storage = connect(tmp_path / "db"), LocalStorage(tmp_path / "storage")
    cases = Cases(engine, storage)
    return cases, Corrections(engine, storage, cases)


# What is too small where a volume is, and what is computed from that.
OF_VOLUMES = (
    "volume", "voxels", "bounding_box_r", "bounding_box_a", "bounding_box_s", "long_axis_length",
    "anterior_share", "asymmetry_index", "share_of_brain",
)  # fmt: skip


def volumes(table: bytes) -> list[dict[str, str]]:
    rows = list(csv.DictReader(io.StringIO(table.decode())))
    return [row for row in rows if row["quantity"] in OF_VOLUMES]


def page_of(case: Case) -> AppTest:
    """Measures and warnings as the page shows them."""

    def page():
        import streamlit as st

        from app.views.case import _warnings
        from app.views.measures import measures_table

        measures_table(st.session_state["case"])
        _warnings(st.session_state["case"])

    return Part(page, case=case).at


def table(case: Case) -> str:
    return str(page_of(case).table[0].value.to_string())


@pytest.mark.parametrize("kind", ["head", "crop"])
def test_every_export_and_list_says_it_beside_the_volume(kind, house, request, capsys, tmp_path):
    analysis = request.getfixturevalue(kind)
    cases, _ = house
    case = cases.add(analysis, "x")
    rows = volumes(report_csv(case))
    known = {row["quantity"] for row in rows}
    assert known == set(OF_VOLUMES if kind == "head" else OF_VOLUMES[:-2])
    assert [row for row in rows if WORDS not in row["remark"]] == []
    measures = json.loads(report_json(case))["measures"]
    assert WORDS in measures["too_small"]["total"]["touches_border"]
    outcome = Outcome("x", case)
    summary = next(csv.DictReader(io.StringIO(summary_csv([outcome]).decode())))
    assert WORDS in summary["too_small"]
    assert "touches_border" in summary["warnings"]
    with zipfile.ZipFile(io.BytesIO(archive([outcome], []))) as zipped:
        for name in zipped.namelist():
            assert WORDS.encode() in zipped.read(name) or name == "README.txt"
    assert WORDS in cases.find()[0].too_small
    assert cases.find()[0].confidence == "check"
    _print_summary(tmp_path / "mask.nii.gz", analysis)
    assert f"volume too small: {'left: ' * (kind == 'head')}{WORDS}" in capsys.readouterr().out
    page = page_of(case)
    assert "too small" in page.table[0].value.to_string()
    # What is computed of the volumes says so, and why is said once, in the warning beside it.
    numbers = [m.value for m in page.markdown if "%" in m.value]
    assert len(numbers) == (2 if kind == "head" else 1)  # no share of a brain that is cut as well
    assert [i.value for i in page.info] == [BRAIN_WORDS] * (kind == "head")
    assert all("of volumes that are **too small**" in words for words in numbers)
    assert len(page.warning) == 1
    assert WORDS.removesuffix(" it").casefold() in page.warning[0].value.casefold()
    assert page.warning[0].value.count("left hippocampus") == (kind == "head")


def test_the_picture_says_it(house, crop, segmented):
    cases, _ = house

    def amber(analysis: Analysis) -> int:
        """Pixels of the remark's colour in the lowest lines of the strip."""
        case = cases.add(analysis, "x")
        png = strip_png(case, cases.images(case.id), "radiological")
        lowest = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))[-70:].astype(int)
        return int((np.abs(lowest - (255, 224, 138)).max(-1) < 40).sum())

    assert amber(crop) > amber(segmented(example())) + 200


def test_a_whole_scan_has_no_word(house, segmented):
    cases, _ = house
    case = cases.add(segmented(example()), "x")
    assert all(row["remark"] == "" for row in volumes(report_csv(case)))
    assert cases.find()[0].too_small == ""
    page = page_of(case)
    assert "small" not in page.table[0].value.to_string() + "".join(m.value for m in page.markdown)


def test_a_corrected_mask_of_a_cut_scan_is_judged_by_where_it_ends(house, head):
    cases, corrections = house
    case = cases.add(head, "x")
    labels = cases.images(case.id).labels
    away = np.where(np.arange(labels.shape[1])[:, None] < 30, 0, labels).astype(np.uint8)
    corrections.save(case.id, packed(away), base=0, author="A", comment="")
    now = cases.get(case.id).report
    # The image still ends within what was looked at; the model's own mask is no longer spoken of.
    assert all(WORDS in str(words) for words in now["measures"]["too_small"].values())
    assert now["head"]["confidence"] == cases.find()[0].confidence
    back = corrections.restore(case.id, 0, base=1, author="A")
    assert back.number == 2
    again = cases.get(case.id).report
    assert again["warnings"] == case.report["warnings"]
    assert again["head"] == case.report["head"]


def test_padding_is_remembered_for_corrections(house, segmented):
    """The mask alone does not tell where the image within its padding ends."""
    cases, corrections = house
    padded = np.asarray(example().dataobj).copy()
    padded[:, :, :12] = 0
    case = cases.add(segmented(image(padded, example().affine)), "x")
    labels = cases.images(case.id).labels.copy()
    labels[0, 0, -1] = 2
    corrections.save(case.id, packed(labels), base=0, author="A", comment="")
    assert "below" in cases.find()[0].too_small


def test_real_crops_that_lost_a_tenth_are_said_and_whole_ones_are_not(segmented, task04):
    said, false = [], []
    for number, path in enumerate(task04[::55]):
        scan = nib.as_closest_canonical(nib.load(path))
        truth = nib.load(str(path).replace("imagesTr", "labelsTr"))
        mask = np.asarray(nib.as_closest_canonical(truth).dataobj) > 0
        false.append("touches_border" in codes(segmented(scan)))
        for name in ("left", "right", "behind", "in front", "below", "above")[number % 2 :: 2]:
            found = segmented(scan.slicer[cut(mask, name, 0.1)])
            said.append(name in str(found.measures.too_small))
    assert len(said) == 12
    assert np.mean(said) >= 0.95
    assert np.mean(false) <= 0.05


def test_a_real_head_that_lost_a_tenth_is_said(segmented, shared_data):
    path = shared_data / "heads/elderly_2mm/t1/subject_06.nii.gz"
    scan = nib.as_closest_canonical(nib.load(path))
    truth = nib.as_closest_canonical(nib.load(path.parents[1] / "segmentation" / path.name))
    mask = np.isin(np.asarray(truth.dataobj), (47, 48))
    for name in ("behind", "right"):
        found = segmented(scan.slicer[cut(mask, name, 0.1)])
        assert found.segmentation.head.confidence != "high"
        assert name in str(found.measures.too_small)
