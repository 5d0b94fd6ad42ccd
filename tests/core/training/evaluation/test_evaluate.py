import json
import re

import nibabel as nib
import numpy as np
import pytest

from core.__main__ import main
from core.anatomy import LABELS
from core.models.folder import load_model
from core.predictor.predictor import InferenceOptions
from core.settings import Settings
from core.state.storage import LocalStorage, write_whole
from core.training.data.dataset import Dataset, Entry
from core.training.data.prepare import prepare
from core.training.evaluation.evaluate import FORMAT, evaluate, evaluation_file, mask_file, summary
from core.training.evaluation.metrics import compare
from core.training.evaluation.report import card_text, evaluation_page
from core.training.evaluation.statistics import card_metrics
from tests.datasets import labels_like, real, save
from tests.nnunet import metrics


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
            model, dataset, dataset.test, files, folder, InferenceOptions(device="cpu"), set(),
            on_mask=lambda name, labels, affine: write_whole(
                masks / f"{name}.nii.gz", mask_file(labels, affine)
            ),
        )  # fmt: skip
        yield dataset, files, masks, figures, model.card


@pytest.mark.long
def test_the_dice_is_nnunets(evaluated, tmp_path):
    _, files, masks, figures, _ = evaluated
    theirs = metrics(files / "labelsTs", masks, tmp_path)
    by_case = {one["prediction_file"].rpartition("/")[2]: one for one in theirs["metric_per_case"]}
    for case in figures["cases"]:
        of_case = by_case[f"{case['case']}.nii.gz"]["metrics"]
        for label, value in LABELS.items():
            assert case[label]["dice"] == pytest.approx(of_case[str(value)]["Dice"], abs=1e-4)
    for label, value in LABELS.items():
        mean = theirs["mean"][str(value)]["Dice"]
        assert figures["dice"][label]["mean"] == pytest.approx(mean, abs=1e-4)


def test_the_figures_are_plausible_and_can_be_written(evaluated):
    dataset, _, _, figures, _ = evaluated
    assert json.loads(json.dumps(figures)) == figures
    assert figures["format"] == FORMAT
    assert [case["case"] for case in figures["cases"]] == dataset.test
    # Patients are told apart by a case of theirs: figures leave the house, pseudonyms do not.
    patients = {dataset.cases[name].patient for name in dataset.test}
    assert len({case["patient"] for case in figures["cases"]}) == len(patients)
    assert {case["patient"] for case in figures["cases"]} <= set(dataset.test)
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


@pytest.fixture(scope="module")
def two_tested(tmp_path_factory):
    """A data set whose frozen test set has three cases, and figures of masks of them."""
    folder = tmp_path_factory.mktemp("tested")
    entry = Entry("p", "c", "i", "l", -1)
    dataset = Dataset("made", {f"c{n}": entry for n in range(3)} | {"train": entry}, "0" * 64)
    dataset.cases["train"] = Entry("q", "c", "i", "l", 0)
    truth = labels_like((36, 50, 36))
    save(folder, "x", np.random.default_rng(0).normal(size=truth.shape).astype(np.float32), truth)

    def figures(masks, names=("c0", "c1", "c2")):
        rows = []
        for name, mask in zip(names, masks, strict=True):
            parts = {p: compare(mask == v, truth == v, (1, 1, 1)) for p, v in LABELS.items()}
            rows.append({"case": name, "seen": False, "files": name, **parts})
        return summary(dataset, rows)

    return truth, figures


def shifted(labels, voxels):
    return np.roll(labels, voxels, axis=0)


def test_a_label_that_was_not_found_is_counted_and_improves_nothing(two_tested, evaluated):
    truth, figures = two_tested
    near, far = shifted(truth, 1), shifted(truth, 9)
    without = np.where(far == 2, 0, far).astype(np.uint8)
    found, failed = figures([near, near, far]), figures([near, near, without])
    assert found["failed"] == {"anterior": 0, "posterior": 0}
    assert failed["failed"] == {"anterior": 0, "posterior": 1}
    assert failed["hd95_mm"]["posterior"] < found["hd95_mm"]["posterior"]  # of those found ...
    text = card_text(evaluated[-1], failed)
    (row,) = [line for line in text.splitlines() if line.startswith("| posterior")]
    assert row.split(" | ")[4] == "1"  # ... and the count stands beside it
    assert "Failed: cases whose mask lacks the label" in text
    assert card_metrics(failed, "here")["failed"] == {"anterior": 0, "posterior": 1}


def test_the_page_names_the_failed(evaluated, tmp_path):
    dataset, files, masks, figures, _ = evaluated
    case, *others = figures["cases"]
    empty = compare(np.zeros((9, 9, 9), bool), np.ones((9, 9, 9), bool), (1, 1, 1))
    failed = summary(dataset, [case | {"anterior": empty}, *others])
    page = evaluation_page(failed, "it", dataset, files, masks).decode()
    assert f"Failed: anterior 1, posterior 0 of {len(dataset.test)} cases" in page
    assert ">failed<" in page
    assert (
        "of the other cases.</strong>"
        not in evaluation_page(figures, "it", dataset, files, masks).decode()
    )


def test_figures_of_other_cases_have_another_key_and_are_not_compared(two_tested, tmp_path, capsys):
    truth, figures = two_tested
    whole, part = figures([truth] * 3), figures([truth] * 2, ("c0", "train"))
    assert part["test_key"].startswith("cases-")
    assert whole["test_key"] != part["test_key"]
    without = figures([truth, truth, np.where(truth == 1, 0, truth)])
    for name, one in (("whole", whole), ("part", part), ("without", without)):
        (tmp_path / name).write_bytes(evaluation_file(one))
    assert main(["compare", str(tmp_path / "whole"), str(tmp_path / "part")]) == 1
    assert "2 cases are only in the first, 1 only in the second" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "whole"), str(tmp_path / "without")]) == 0
    printed = capsys.readouterr().out
    assert "before: failed: anterior 0, posterior 0 of 3 cases" in printed
    assert "after: failed: anterior 1, posterior 0 of 3 cases" in printed
