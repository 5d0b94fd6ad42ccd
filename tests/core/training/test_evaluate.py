import contextlib
import io
import json
import re

import nibabel as nib
import numpy as np
import pytest

from core.model import load_model
from core.predictor.predictor import Way
from core.segmentation import LABELS
from core.settings import Settings
from core.storage import LocalStorage, write_whole
from core.training.evaluate import FORMAT, evaluate, mask_file
from core.training.prepare import prepare
from core.training.report import card_text, evaluation_page
from tests.datasets import real


@pytest.fixture(scope="module")
def evaluated(shared_data, tmp_path_factory):
    """Real cases, the embedded model's masks of them, and their figures."""
    folder = tmp_path_factory.mktemp("evaluated")
    storage = LocalStorage(folder / "storage")
    dataset, _ = prepare(real(folder / "source", shared_data, 10), storage, "ten")
    masks = folder / "masks"
    masks.mkdir()
    with storage.local("datasets/ten") as files:
        model = load_model(Settings().model_dir)
        figures = evaluate(
            model, dataset, dataset.test, files, folder, Way(device="cpu"), set(),
            on_mask=lambda name, labels, affine: write_whole(
                masks / f"{name}.nii.gz", mask_file(labels, affine)
            ),
        )  # fmt: skip
        yield dataset, files, masks, figures, model.card


def test_the_dice_is_nnunets(evaluated, tmp_path):
    _, files, masks, figures, _ = evaluated
    with contextlib.redirect_stdout(io.StringIO()):
        from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder
        from nnunetv2.imageio.nibabel_reader_writer import NibabelIO
    theirs = compute_metrics_on_folder(
        str(files / "labelsTs"), str(masks), str(tmp_path / "summary.json"), NibabelIO(), ".nii.gz",
        list(LABELS.values()), num_processes=1,
    )  # fmt: skip
    by_case = {one["prediction_file"].rpartition("/")[2]: one for one in theirs["metric_per_case"]}
    for case in figures["cases"]:
        metrics = by_case[f"{case['case']}.nii.gz"]["metrics"]
        for label, value in LABELS.items():
            assert case[label]["dice"] == pytest.approx(metrics[value]["Dice"], abs=1e-4)
    for label, value in LABELS.items():
        mean = theirs["mean"][value]["Dice"]
        assert figures["dice"][label]["mean"] == pytest.approx(mean, abs=1e-4)


def test_the_figures_are_plausible_and_can_be_written(evaluated):
    dataset, _, _, figures, _ = evaluated
    assert json.loads(json.dumps(figures)) == figures
    assert figures["format"] == FORMAT
    assert [case["case"] for case in figures["cases"]] == dataset.test
    for label in LABELS:
        dice = figures["dice"][label]
        assert 0.8 < dice["low"] <= dice["mean"] <= dice["high"] < 1
        assert dice["worst"] == pytest.approx(
            min(case[label]["dice"] for case in figures["cases"]), abs=1e-4
        )
        assert 0 < figures["asd_mm"][label] < figures["hd95_mm"][label] < 3
        limits = figures["volume_agreement_mm3"][label]
        assert limits["low"] < limits["bias"] < limits["high"]


def test_masks_lie_on_their_scans_grid(evaluated):
    dataset, files, masks, _, _ = evaluated
    for name in dataset.test:
        mask = nib.load(masks / f"{name}.nii.gz")
        label = nib.load(files / "labelsTs" / f"{name}.nii.gz")
        assert mask.shape == label.shape
        assert np.allclose(mask.affine, label.affine)


def test_the_page_needs_no_network_and_shows_every_case(evaluated):
    dataset, files, masks, figures, _ = evaluated
    page = evaluation_page(figures, "<model>", dataset, files, masks).decode()
    assert "Not for diagnosis" in page
    assert "&lt;model&gt;" in page
    for case in dataset.test:
        assert case in page
    assert page.count("<svg") == 2 + min(6, len(dataset.test))
    links = re.findall(r"(?:src|href)=[\"']([^\"'#][^\"']*)", page)
    assert all(link.startswith("data:") for link in links)


def test_the_card_gives_the_figures_and_whether_they_flatter(evaluated):
    _, _, _, figures, card = evaluated
    text = card_text(card, figures)
    assert f"{figures['dice']['anterior']['mean']:.4f}" in text
    assert "never seen by it" in text
    assert "some of them seen in training" in card_text(card, figures | {"seen_in_training": True})
    for limit in card["limits"]:
        assert limit in text
