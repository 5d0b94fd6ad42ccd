"""The drift features of a segmented head."""

import gzip
import json

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from core.cases.store import Cases
from core.measures.features import features_of
from core.measures.head_features import HEAD_FEATURES, features_of_head, is_of_head
from core.predictor import head_segmentation
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.heads import head_2mm
from tests.scans import example


@pytest.fixture(scope="module")
def analysed(segmented):
    return segmented(head_2mm())


def test_a_head_has_all_features_and_a_crop_those_of_a_crop(analysed, segmented):
    values = analysed.features
    assert list(values) == [feature.key for feature in HEAD_FEATURES]
    assert np.isfinite(list(values.values())).all()
    assert [values[f"spacing_{axis}"] for axis in "xyz"] == [2.0, 2.0, 2.0]
    assert 0 < values["misfit"] < 8
    assert values["left_anterior"] == analysed.measures.sides["left"]["anterior"].volume_mm3
    assert is_of_head(values)
    crop = segmented(example())
    assert not is_of_head(crop.features)
    with pytest.raises(ValueError, match="a crop"):
        features_of_head(crop.segmentation, crop.measures)


def test_they_are_of_the_crops_that_the_network_was_shown(analysed, predictor, monkeypatch):
    shown = []
    see = predictor.engine.crop_probabilities

    def watched(crop, run, *, quick):
        if not quick:
            shown.append(crop)
        return see(crop, run, quick=quick)

    monkeypatch.setattr(predictor.engine, "crop_probabilities", watched)
    predictor.segment(analysed.segmentation.volume)
    left, _, right, _ = shown  # two crops a side, the first about the mask's centre
    of_crops = [features_of(crop, (1.0, 1.0, 1.0)) for crop in (left, right)]
    for key in ("sharpness", "log_mean", "contrast"):
        expected = np.mean([values[key] for values in of_crops])
        assert analysed.features[key] == pytest.approx(expected)
    assert {(crop.min(), crop.max()) for crop in shown} == {(0.0, 1.0)}


@pytest.mark.parametrize("kind", ["blurred", "3 mm slices"])
def test_a_worse_scan_moves_them_as_their_words_say(kind, analysed, segmented):
    scan = head_2mm()
    data, affine = np.asarray(scan.dataobj, np.float32), scan.affine.copy()
    if kind == "blurred":
        data = ndimage.gaussian_filter(data, 0.6)
    else:
        data = ndimage.zoom(ndimage.uniform_filter1d(data, 2, axis=2), (1, 1, 2 / 3), order=1)
        affine[2, 2] = 3.0
    worse = segmented(nib.Nifti1Image(np.round(data).astype(np.int16), affine)).features
    assert worse["sharpness"] < analysed.features["sharpness"]
    assert worse["spacing_z"] == (2.0 if kind == "blurred" else 3.0)


def test_a_head_that_is_kept_keeps_them_in_its_record(analysed, tmp_path):
    storage = LocalStorage(tmp_path / "storage")
    cases = Cases(connect(tmp_path), storage)
    case = cases.add(analysed, "head")
    record = json.loads(storage.read(f"cases/{case.id}/record.json"))
    assert record["features"] == analysed.features
    again = Cases(connect(tmp_path / "another database"), storage)
    again.import_from_storage()
    assert again.features() == [(again.find()[0], analysed.features)]
    cases.review(case.id, "accepted", "Dr A", despite_doubts=True)
    assert cases.accepted_features() == [(case.id, analysed.features)]
    assert gzip.decompress(cases.image_file(case.id))


def test_a_side_whose_image_is_blank_gives_no_features(analysed):
    grid = np.eye(4)
    grid[:3, 3] = 900.0  # far outside of the image
    volume = analysed.segmentation.volume
    assert head_segmentation.crop_as_shown(volume, "left", grid) is None
