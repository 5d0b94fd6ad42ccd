"""Masks that people draw: what is saved is what was drawn, and nothing is ever lost."""

import gzip
import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from core.cases.corrections import Corrections
from core.cases.side_labels import centres_mm
from core.cases.store import Cases
from core.errors import ConflictError, InputError, NotFoundError
from core.exports.tables import report_csv
from core.image.intake import vetted
from core.image.volume import load
from core.pipeline import analyse
from core.predictor.heads import sides_of
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.scans import (
    all_orientations,
    as_bytes,
    example,
    orders,
    reoriented,
    stream,
    template_head,
)


@pytest.fixture
def house(tmp_path):
    """Cases and corrections over the same files, opened again at each call."""

    def opened(database="db") -> tuple[Cases, Corrections]:
        engine, storage = connect(tmp_path / database), LocalStorage(tmp_path / "storage")
        cases = Cases(engine, storage)
        return cases, Corrections(engine, storage, cases)

    return opened


@pytest.fixture(scope="module")
def analysis(predictor, tmp_path_factory):
    return analyse(stream(as_bytes(example())), predictor, tmp_path_factory.mktemp("in"))


def packed(labels) -> bytes:
    """As the browser sends it."""
    return gzip.compress(np.asarray(labels, np.uint8).tobytes(order="F"))


def drawn(labels):
    """A block of posterior in the patient's left-posterior-inferior corner."""
    changed = labels.copy()
    changed[1:4, 2:6, 3] = 2
    return changed


def opened_mask(content: bytes) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(content))


@pytest.mark.parametrize("number", orders())
def test_what_was_drawn_lies_in_the_files_own_orientation(number, predictor, house, tmp_path):
    cases, corrections = house()
    scan = reoriented(example(), all_orientations()[number])
    case = cases.add(analyse(stream(as_bytes(scan)), predictor, tmp_path), "x")
    before = cases.mask_file(case.id)
    labels = cases.images(case.id).labels
    corrections.save(case.id, packed(drawn(labels)), base=0, author="A", comment="")
    own, model = opened_mask(cases.mask_file(case.id)), opened_mask(before)
    assert np.array_equal(own.affine, model.affine)
    assert own.header["sform_code"] == model.header["sform_code"]
    assert own.shape == scan.shape
    upright = np.asarray(nib.as_closest_canonical(own).dataobj)
    assert np.array_equal(upright, drawn(labels))
    assert cases.mask_file(case.id, 0) == before


def test_a_version_says_what_changed_and_the_case_follows(house, analysis):
    cases, corrections = house()
    case = cases.add(analysis, "x")
    labels = cases.images(case.id).labels
    change = drawn(labels)
    change[labels == 1] = 0
    saved = corrections.save(
        case.id, packed(change), base=0, author=" Dr\nA ", comment="too\tlarge"
    )
    assert (saved.number, saved.author, saved.comment) == (1, "Dr A", "too large")
    anterior = float((labels == 1).sum())
    assert saved.difference["anterior"] == {
        "dice": 0.0, "added_mm3": 0.0, "removed_mm3": pytest.approx(anterior),
        "volume_mm3": pytest.approx(-anterior),
    }  # fmt: skip
    both = 2 * (labels == 2).sum() + 12
    assert saved.difference["posterior"]["dice"] == pytest.approx(1 - 12 / both)
    now = cases.get(case.id)
    assert (now.mask_version, now.review.state, now.review.reviewer) == (1, "corrected", "Dr A")
    assert now.report["measures"]["anterior"]["voxels"] == 0
    assert "anterior_missing" in [w["code"] for w in now.report["warnings"]]
    assert now.report["mask"]["version"] == 1
    row = cases.find()[0]
    assert row.anterior_mm3 == 0
    assert row.posterior_mm3 == pytest.approx(now.report["measures"]["posterior"]["volume_mm3"])
    assert b"volume,anterior,0.0,mm3" in report_csv(now)
    assert [v.number for v in corrections.versions(case.id)] == [1, 0]


def test_the_second_of_two_who_saved_is_told_and_overwrites_nothing(house, analysis):
    cases, corrections = house()
    case = cases.add(analysis, "x")
    labels = cases.images(case.id).labels
    corrections.save(case.id, packed(drawn(labels)), base=0, author="First", comment="")
    first = cases.mask_file(case.id)
    other = np.where(labels == 2, 0, labels)
    corrections.drafts.keep(case.id, "second", packed(other), 0)
    with pytest.raises(ConflictError, match="First saved version 1") as caught:
        corrections.save(
            case.id, packed(other), base=0, author="Second", comment="", visitor="second"
        )
    assert caught.value.code == "newer_version"
    assert cases.mask_file(case.id) == first
    assert corrections.drafts.of_browser(case.id, "second") is not None
    corrections.save(case.id, packed(other), base=1, author="Second", comment="", visitor="second")
    assert np.array_equal(cases.images(case.id).labels, other)
    assert cases.mask_file(case.id, 1) == first
    assert corrections.drafts.of_browser(case.id, "second") is None


def test_going_back_to_the_models_mask_is_a_version_too(house, analysis):
    cases, corrections = house()
    case = cases.add(analysis, "x")
    labels = cases.images(case.id).labels
    corrections.save(case.id, packed(drawn(labels)), base=0, author="A", comment="")
    back = corrections.restore(case.id, 0, base=1, author="B")
    assert (back.number, back.comment) == (2, "Back to the model's mask")
    assert cases.mask_file(case.id) == analysis.mask_file
    now = cases.get(case.id)
    assert now.review.state == "new"
    assert now.report["measures"] == case.report["measures"]
    assert now.report["warnings"] == case.report["warnings"]
    with pytest.raises(NotFoundError):
        corrections.restore(case.id, 9, base=2, author="B")


def test_a_server_that_lost_its_database_has_the_versions_again(house, analysis):
    cases, corrections = house()
    case = cases.add(analysis, "x")
    labels = cases.images(case.id).labels
    corrections.save(case.id, packed(drawn(labels)), base=0, author="A", comment="first")
    cases.review(case.id, "rejected", "B", "cut off")
    again, corrected = house("another")
    assert again.import_from_storage() == 1
    assert corrected.versions(case.id) == corrections.versions(case.id)
    assert again.get(case.id) == cases.get(case.id)
    assert again.get(case.id).review.reason == "cut off"
    assert again.mask_file(case.id) == cases.mask_file(case.id)


def test_a_draft_belongs_to_its_browser_and_outlives_the_server(house, analysis):
    cases, corrections = house()
    case = cases.add(analysis, "x")
    labels = cases.images(case.id).labels
    corrections.drafts.keep(case.id, "one", packed(labels), 0)
    corrections.drafts.keep(case.id, "one", packed(drawn(labels)), 0)
    _, again = house()
    kept = again.drafts.of_browser(case.id, "one")
    assert kept.base == 0
    assert gzip.decompress(kept.labels) == gzip.decompress(packed(drawn(labels)))
    assert again.drafts.of_browser(case.id, "other") is None
    again.drafts.drop(case.id, "one")
    assert again.drafts.of_browser(case.id, "one") is None


def _bad(labels) -> dict[str, bytes]:
    good = packed(labels)
    seven = labels.copy()
    seven[0, 0, 0] = 7
    return {
        "no gzip": b"labels", "empty": b"", "cut off": good[:-9], "too few": packed(labels[1:]),
        "a bomb": gzip.compress(bytes(50_000_000)), "value 7": packed(seven),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["no gzip", "empty", "cut off", "too few", "a bomb", "value 7"])
def test_labels_that_do_not_fit_are_refused_whole(kind, house, analysis):
    cases, corrections = house()
    case = cases.add(analysis, "x")
    content = _bad(cases.images(case.id).labels)[kind]
    with pytest.raises(InputError) as caught:
        corrections.save(case.id, content, base=0, author="A", comment="")
    assert caught.value.code == "bad_labels"
    with pytest.raises(InputError):
        corrections.drafts.keep(case.id, "one", content, 0)
    assert cases.get(case.id) == case
    assert corrections.drafts.of_browser(case.id, "one") is None


def test_a_save_needs_a_name_and_a_case(house, analysis):
    cases, corrections = house()
    case = cases.add(analysis, "x")
    good = packed(cases.images(case.id).labels)
    with pytest.raises(InputError, match="version is signed"):
        corrections.save(case.id, good, base=0, author=" \n", comment="")
    cases.delete(case.id)
    with pytest.raises(NotFoundError):
        corrections.save(case.id, good, base=0, author="A", comment="")


def test_nothing_a_report_carries_outside_holds_the_comment(house, analysis):
    cases, corrections = house()
    case = cases.add(analysis, "x")
    labels = packed(drawn(cases.images(case.id).labels))
    corrections.save(case.id, labels, base=0, author="A", comment="Mrs Secret, left")
    assert "Secret" not in json.dumps(cases.get(case.id).report)


def test_a_case_has_one_model_however_its_sides_were_segmented(house, segmented):
    analysis = segmented(template_head())
    cases, corrections = house()
    case = cases.add(analysis, "x")
    made = analysis.segmentation
    newer = replace(made, model=replace(made.model, version="99", sha256="0" * 64))
    with pytest.raises(ConflictError, match="by model version 1, and version 99 serves") as told:
        corrections.segment_here(case.id, newer, base=0, author="Dr B", comment="", side="left")
    assert told.value.code == "other_model"
    assert cases.get(case.id).mask_version == 0
    corrections.segment_here(case.id, made, base=0, author="Dr B", comment="", side="left")
    assert cases.get(case.id).report["model"]["sha256"] == made.model.sha256


def test_segmenting_one_side_keeps_what_was_drawn_on_the_other(house, predictor, tmp_path):
    cases, corrections = house()
    case = cases.add(analyse(stream(as_bytes(template_head())), predictor, tmp_path), "x")
    sides, images = case.report["head"]["sides"], cases.images(case.id)
    is_right = sides_of(images.labels.shape, images.affine, centres_mm(sides)) == 2
    change = images.labels.copy()
    x, y, z = np.argwhere((change == 1) & is_right)[0]
    change[x - 3 : x + 3, y - 3 : y + 3, z - 3 : z + 3] = 1  # a hand adds on the right
    change[is_right & (change == 2)] = 0  # and takes away there
    corrections.save(case.id, packed(change), base=0, author="Dr A", comment="")
    with vetted(stream(cases.image_file(case.id)), tmp_path) as file:
        place = [mm + 1 for mm in sides["left"]["centre_mm"]]
        made = predictor.segment(load(file), centres_mm={"left": place})
    with pytest.raises(ConflictError, match="Dr A saved version 1"):
        corrections.segment_here(case.id, made, base=0, author="Dr B", comment="", side="left")
    corrections.segment_here(case.id, made, base=1, author="Dr B", comment="", side="left")
    now = cases.images(case.id).labels
    assert np.array_equal(now[is_right], change[is_right])
    assert np.array_equal(now[~is_right], made.labels[~is_right])
    known = cases.get(case.id).report["head"]["sides"]
    assert known["right"] == sides["right"]
    assert (known["left"]["pointed"], known["left"]["found_mm"]) == (True, place)
    assert cases.get(case.id).review.state == "corrected"
    corrections.restore(case.id, 0, base=2, author="Dr B")
    restored = cases.get(case.id)
    assert restored.report["head"]["sides"] == sides  # no longer those that were pointed at
    assert restored.report["measures"] == case.report["measures"]
    corrections.restore(case.id, 2, base=3, author="Dr B")
    assert cases.get(case.id).report["head"]["sides"] == known
