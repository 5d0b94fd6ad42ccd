"""What a version says that it was trained on, crops and crops of heads."""

import json

import nibabel as nib
import numpy as np
import pytest

from core.drift.reference import training_crops, training_heads
from core.measures.features import features_of
from core.measures.head_features import CROP_FEATURES
from core.training.data.dataset import Dataset, Entry
from core.training.reference import reference_cases, reference_file

CASES = ("crop_1", "crop_2", "P07.head-left", "P07.head-left2", "P07.head-right", "P09.head-right")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Files as a preparation writes them: raw values of crops, 0 to 1 of those cut from heads."""
    files = tmp_path_factory.mktemp("files")
    (files / "imagesTr").mkdir()
    entries = {}
    for number, name in enumerate(CASES):
        values = np.random.default_rng(number).random((20, 22, 24), np.float32)
        values = (values - values.min()) / (values.max() - values.min())
        if name.startswith("crop"):
            values = np.round(values * 900)
        path = files / "imagesTr" / f"{name}_0000.nii.gz"
        nib.save(nib.Nifti1Image(values, np.eye(4)), path)
        patient = name.split(".")[0]
        entries[name] = Entry(patient, f"content {name}", "image", "label", number % 5)
    return files, Dataset("mixed", entries, "sha256")


def cases_of(dataset, tmp_path, names=CASES, parents=()):
    files, described = dataset
    return reference_cases(names, described, files, tmp_path, parents)


def test_features_stand_by_kind(dataset, tmp_path):
    content = json.loads(reference_file(cases_of(dataset, tmp_path)))
    cases = content["cases"]
    assert [case["content_sha256"] for case in cases] == [f"content {name}" for name in CASES]
    kinds = [case.get("head") for case in cases]
    assert kinds[:2] == [None, None]
    assert kinds[2] == kinds[3] == kinds[4] != kinds[5]
    assert "P07" not in json.dumps(content["cases"][2]["head"])
    assert [case["features"] is None for case in cases] == [name[-1] == "2" and "head" in name
                                                            for name in CASES]  # fmt: skip
    assert len(training_crops(cases)) == 2
    assert len(training_heads(cases)) == 2


def test_those_of_a_head_are_of_values_from_0_to_1(dataset, tmp_path):
    files, _ = dataset
    head = training_heads(cases_of(dataset, tmp_path))[1]
    crop = np.asarray(nib.load(files / "imagesTr" / f"{CASES[-1]}_0000.nii.gz").dataobj)
    assert (crop.min(), crop.max()) == (0, 1)
    expected = features_of(crop.astype(np.float32), (1.0, 1.0, 1.0))
    assert head == pytest.approx({f.key: expected[f.key] for f in CROP_FEATURES})
    assert head["log_mean"] == pytest.approx(np.log(0.5), abs=0.1)


def test_what_only_the_version_before_has_seen_is_inherited(dataset, tmp_path):
    parents = cases_of(dataset, tmp_path)
    cases = cases_of(dataset, tmp_path, ("P09.head-right",), parents)
    inherited = {case["content_sha256"]: case["inherited"] for case in cases}
    assert [name for name in CASES if not inherited[f"content {name}"]] == ["P09.head-right"]
    assert len(training_heads(cases)) == 2  # too few of its own
