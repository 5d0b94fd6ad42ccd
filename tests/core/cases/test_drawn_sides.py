"""A side that a person drew where none was found: its voxels are its own, wherever they go."""

import gzip
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from core.cases.case import high_words
from core.cases.corrections import Corrections
from core.cases.store import Cases
from core.errors import ConflictError
from core.image.intake import vetted
from core.image.volume import load
from core.measures.measure import appraise_head
from core.pipeline import Analysis, analyse, appraise
from core.predictor.heads import centres_of, halves, sides_of
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.core.cases.test_corrections import packed
from tests.core.measures.test_trust import AFFINE, head, part, two
from tests.scans import all_orientations, as_bytes, image, noise, reoriented, stream, template_head

OTHER = {"left": "right", "right": "left"}
APART_MM = 51.4  # in the template


@given(
    st.sampled_from(["left", "right"]), st.tuples(*[st.floats(-25, 25)] * 3),
    st.floats(0.85, 1.2), st.tuples(*[st.floats(-8, 8)] * 3), st.integers(0, 47),
)  # fmt: skip
def test_voxels_belong_to_the_side_of_the_midline_that_they_lie_on(
    side, angles, scale, middle, number
):
    """However the head is turned, however large it is, and however the file is stored."""
    axes = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    from_middle_mm = APART_MM / 2 * scale * (-1 if side == "left" else 1)
    centre_mm = np.array(middle) + from_middle_mm * axes[:, 0]
    box = np.eye(4)
    box[:3, :3] = axes
    known = {
        "sides": {side: {"centre_mm": centre_mm.tolist(), "box": {"affine": box.tolist()}}},
        "scale": scale,
    }
    grid = np.diag([9.0, 10, 11, 1])
    grid[:3, 3] = (-50, -45, -50)
    scan = reoriented(image(noise((12, 10, 10)), grid), all_orientations()[number])
    where = sides_of(scan.shape, scan.affine, centres_of(known))
    points_mm = apply_affine(scan.affine, np.stack(np.indices(scan.shape), -1))
    to_the_right_mm = (points_mm - middle) @ axes[:, 0]
    clear = np.abs(to_the_right_mm) > 1e-3
    assert np.array_equal((where == 2)[clear], (to_the_right_mm > 0)[clear])


@pytest.mark.parametrize("drawn", ["left", "right"])
def test_a_drawn_side_is_measured_and_judged_as_its_own(drawn):
    found = OTHER[drawn]
    known = head(two())
    del known["sides"][drawn]
    alone = appraise_head(part(two(), found), AFFINE, known)
    assert alone.judgement.confidence == "unreliable"
    assert list(alone.measures.sides) == [found]
    both = appraise_head(two(), AFFINE, known)
    assert list(both.measures.sides) == ["left", "right"]  # as everywhere, the left first
    assert both.measures.sides[found] == alone.measures.sides[found]
    assert both.measures.sides[drawn] == appraise_head(two(), AFFINE, head(two())).measures.sides[
        drawn
    ]  # fmt: skip
    assert both.findings == ()
    assert both.judgement.confidence == "high"
    assert both.measures.side == "left and right together"
    assert both.measures.asymmetry_percent == 0


def test_a_stroke_on_the_side_where_none_was_found_says_nothing_of_the_other():
    known = head(two())
    del known["sides"]["right"]
    labels = part(two(), "left")
    labels[84:87, 45:48, 40:43] = 1
    found = appraise_head(labels, AFFINE, known)
    assert found.measures.sides["right"]["total"].volume_mm3 == 27
    assert found.judgement.confidence == "unreliable"
    assert all("left" not in f.message for f in found.findings)


def test_a_side_that_was_erased_is_no_half_of_both():
    """One hippocampus is neither the share of two nor lopsided against nothing."""
    found = appraise_head(part(two(), "left"), AFFINE, head(two()))
    assert found.measures.share_of_brain_percent is None
    assert found.measures.asymmetry_percent is None
    assert "one_side" in found.measures.too_small["total"]
    assert found.judgement.confidence == "unreliable"
    assert "the right hippocampus measures 0 mm³" in found.judgement.reasons


@pytest.fixture(scope="module")
def one_sided(predictor, tmp_path_factory) -> tuple[Analysis, np.ndarray]:
    """The averaged brain as if its right side had not been found, and both sides' labels."""
    whole = analyse(stream(as_bytes(template_head())), predictor, tmp_path_factory.mktemp("in"))
    made = whole.segmentation
    left = made.head.sides["left"]
    parts = halves(made.labels, made.volume.affine, made.head.as_dict())
    made = replace(made, labels=parts["left"], head=replace(made.head, sides={"left": left}))
    made, measures, findings = appraise(made, whole.extent)
    alone = replace(
        whole, segmentation=made, measures=measures, findings=tuple(findings),
        mask_file=made.mask_file(),
    )  # fmt: skip
    return alone, whole.segmentation.labels


def test_what_a_person_draws_there_is_the_other_side_in_every_file(one_sided, predictor, tmp_path):
    alone, labels = one_sided
    engine, storage = connect(tmp_path / "db"), LocalStorage(tmp_path / "storage")
    cases = Cases(engine, storage)
    corrections = Corrections(engine, storage, cases)
    case = cases.add(alone, "x")
    assert case.report["head"]["confidence"] == "unreliable"
    with pytest.raises(ConflictError, match="no right hippocampus was found"):
        cases.review(case.id, "accepted", "Dr A")

    corrections.save(case.id, packed(labels), base=0, author="Dr A", comment="")
    now = cases.get(case.id).report
    before = case.report["measures"]["sides"]["left"]
    assert now["measures"]["sides"]["left"] == before
    drawn_mm3 = now["measures"]["sides"]["right"]["total"]["volume_mm3"]
    assert drawn_mm3 == pytest.approx((labels > 0).sum() - before["total"]["volume_mm3"])
    assert now["head"]["confidence"] == "high", now["head"]["reasons"]
    # Nothing is expected of what a person drew, nor of both together.
    assert set(now["trust"]["sides"]) == {"left"}
    assert now["trust"]["expected_dice"] is None
    assert "a person has drawn on them" in high_words(now)
    by_side = np.asarray(
        nib.Nifti1Image.from_bytes(gzip.decompress(cases.sides_file(case.id))).dataobj
    )
    assert (by_side > 2).sum() == drawn_mm3
    x_mm = apply_affine(alone.segmentation.volume.affine, np.argwhere(by_side > 2))[:, 0]
    assert x_mm.min() > 0  # the patient's right
    cases.review(case.id, "accepted", "Dr A")  # nothing is asked any more
    assert cases.get(case.id).review.reason == ""

    with vetted(stream(cases.image_file(case.id)), tmp_path) as file:
        place = case.report["head"]["sides"]["left"]["centre_mm"]
        made = predictor.segment(load(file), centres_mm={"left": place})
    corrections.segment_here(case.id, made, base=1, author="Dr B", comment="", side="left")
    kept = cases.images(case.id).labels
    is_right = sides_of(kept.shape, alone.segmentation.volume.affine, centres_of(
        case.report["head"]
    )) == 2  # fmt: skip
    assert np.array_equal(kept[is_right], labels[is_right])


def test_the_side_that_was_found_is_not_segmented_as_the_one_that_was_not(
    one_sided, predictor, tmp_path
):
    """A person jumps to the right side, of which nothing was found: that leads to the left one."""
    alone, _ = one_sided
    engine, storage = connect(tmp_path), LocalStorage(tmp_path / "storage")
    cases = Cases(engine, storage)
    corrections = Corrections(engine, storage, cases)
    case = cases.add(alone, "")
    place = case.report["head"]["sides"]["left"]["centre_mm"]
    with vetted(stream(cases.image_file(case.id)), tmp_path) as file:
        made = predictor.segment(load(file), centres_mm={"right": place})
    with pytest.raises(ConflictError, match="the patient's left side"):
        corrections.segment_here(case.id, made, base=0, author="Dr B", comment="", side="right")
    assert cases.get(case.id).mask_version == 0
