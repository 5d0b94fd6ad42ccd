"""Scans that are not T1-weighted are told, whatever was drawn in them; T1-weighted ones are not."""

import nibabel as nib
import numpy as np
import pytest
from scipy import stats

from core import limits
from core.cases.case import confidence_of
from core.image import contrast
from core.image.contrast import CONTRAST_CODE, CONTRAST_WORDS, crop_contrast
from core.image.intake import vetted
from core.image.volume import load
from core.pipeline import analyse
from tests.scans import as_bytes, example, image, stream, template_head


def codes(analysis) -> list[str]:
    return [finding.code for finding in analysis.findings]


def inverted_head(head: nib.Nifti1Image) -> nib.Nifti1Image:
    """Dark where it is bright, within what is not air."""
    values = np.asarray(head.dataobj, np.float32)
    brightest = np.percentile(values, 99.9)
    inside = values > 0.08 * brightest
    return image(np.where(inside, 1.05 * brightest - values, 0).clip(0), head.affine)


def test_an_inverted_crop_is_unreliable_and_says_why(predictor, tmp_path):
    values = np.asarray(example().dataobj, np.float32)
    scan = image(values.max() - values, example().affine)
    found = analyse(stream(as_bytes(scan)), predictor, tmp_path)
    assert {"unreliable", CONTRAST_CODE} <= set(codes(found))
    message = next(f.message for f in found.findings if f.code == "unreliable")
    assert CONTRAST_WORDS in message
    assert confidence_of(found.as_dict()) == "unreliable"  # as lists, summaries and the API say it
    plain = analyse(stream(as_bytes(example())), predictor, tmp_path)
    assert not {"unreliable", CONTRAST_CODE} & set(codes(plain))
    assert confidence_of(plain.as_dict()) == "high"


def test_an_inverted_head_is_unreliable_and_says_why(predictor, tmp_path):
    found = analyse(stream(as_bytes(inverted_head(template_head()))), predictor, tmp_path)
    head = found.segmentation.head
    assert head is not None
    assert head.confidence == "unreliable"
    assert CONTRAST_WORDS in head.reasons
    assert CONTRAST_CODE in codes(found)


def test_gain_offset_gamma_and_padding_change_nothing():
    values = np.asarray(example().dataobj, np.float32)
    exact = crop_contrast(values, (1, 1, 1))
    assert exact > limits.LEAST_CROP_CONTRAST
    assert crop_contrast(3 * values + 500, (1, 1, 1)) == pytest.approx(exact, abs=0.02)
    assert crop_contrast(values**2, (1, 1, 1)) == pytest.approx(exact, abs=0.05)
    assert crop_contrast(np.pad(values, 12), (1, 1, 1)) == pytest.approx(exact, abs=0.05)
    assert crop_contrast(values[::-1], (1, 1, 1)) == pytest.approx(exact, abs=0.05)


@pytest.mark.parametrize("shape", [(4, 50, 35), (4, 4, 4), (90, 12, 12)])
def test_what_shows_too_little_of_the_anatomy_is_not_judged_by_an_error(shape):
    found = crop_contrast(np.random.default_rng(0).random(shape), (1, 1, 1))
    assert found is None or -1 <= found <= 1


def test_real_crops_pass_and_their_inversions_do_not(task04):
    """At most 2 of 100 sound crops are doubted, at least 95 of 100 inverted ones are found."""
    rng = np.random.default_rng(0)
    doubted, found = [], []
    for path in task04[::3]:
        values = np.asarray(nib.load(path).dataobj, np.float32)
        unit = values / values.max()
        ramp = 1 + 0.6 * (np.indices(unit.shape)[1] / unit.shape[1] - 0.5)
        copies = (unit, unit**0.5, unit * ramp, unit + rng.normal(0, 0.05, unit.shape))
        kinds = [crop_contrast(copy, (1, 1, 1)) for copy in copies]
        doubted += [not contrast.is_t1(kind, limits.LEAST_CROP_CONTRAST) for kind in kinds]
        inverted = crop_contrast(1 - unit, (1, 1, 1))
        found.append(not contrast.is_t1(inverted, limits.LEAST_CROP_CONTRAST))
    print(f"{np.mean(doubted):.2%} of {len(doubted)} doubted, {np.mean(found):.2%} found")
    assert np.mean(doubted) <= 0.02
    assert np.mean(found) >= 0.95


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [
        "thick_slices/visit1", "whole_head_t1",
        "elderly_2mm/t1/subject_05", "elderly_2mm/t1/subject_18", "adults/whole/sub-56",
    ],
)  # fmt: skip
def test_real_heads_pass_and_their_inversions_do_not(name, shared_data, predictor, tmp_path):
    scan = nib.load(shared_data / "heads" / f"{name}.nii.gz")
    data = image(np.asarray(scan.dataobj, np.float32), scan.affine)
    for made, expected in ((data, True), (inverted_head(data), False)):
        with vetted(stream(as_bytes(made)), tmp_path) as file, predictor.slot():
            head = predictor.segment(load(file)).head
        assert head is not None
        assert head.is_t1 is expected


def test_ranks_are_those_of_scipy():
    random = np.random.default_rng(0)
    for values in (random.integers(0, 50, (9, 8, 7)), random.random((9, 8, 7), np.float32)):
        ranks = stats.rankdata(values, axis=None).reshape(values.shape) / values.size
        assert np.array_equal(contrast._ranks(values), ranks)


def test_a_cut_crop_is_not_called_of_another_contrast(predictor, tmp_path):
    """What is left of it says less of its contrast; an inverted one is told all the same."""
    found = codes(analyse(stream(as_bytes(example().slicer[:, :, :-13])), predictor, tmp_path))
    assert "touches_border" in found
    assert CONTRAST_CODE not in found
    cut = example().slicer[:, :, :-9]
    values = np.asarray(cut.dataobj, np.float32)
    inverted = image(values.max() - values, cut.affine)
    assert CONTRAST_CODE in codes(analyse(stream(as_bytes(inverted)), predictor, tmp_path))
