"""Versions on whole heads, from the file to the mask."""

import gzip
import shutil
from dataclasses import replace
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from core.anatomy import SIDES
from core.cases.corrections import Corrections
from core.cases.store import Cases
from core.errors import InputError
from core.models.folder import load_model
from core.pipeline import analyse
from core.predictor.predictor import InferenceOptions
from core.settings import Settings
from core.state.database import connect
from core.state.storage import LocalStorage
from core.training.data.dataset import REVIEWED_NAME, TEST, Entry, split_file
from core.training.data.names import case_name
from core.training.evaluation.head_figures import BY_LABEL, WHOLE
from core.training.evaluation.head_sets import (
    REVIEWED,
    SYNTHETIC,
    folder_set,
    reviewed_set,
    synthetic_set,
)
from core.training.evaluation.heads import evaluate_heads, rows_of
from core.training.evaluation.references import Protocol
from tests.datasets import labels_like, save
from tests.heads import head_2mm, save_head
from tests.scans import as_bytes, stream

MODEL = Settings().model_dir
OPTIONS = InferenceOptions(device="cpu")
LABELLED = Protocol(BY_LABEL)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """A synthetic head, the embedded model's figures of it, and what came after it."""
    folder = tmp_path_factory.mktemp("synthetic")
    both = synthetic_set(2, folder)
    made = replace(both, heads=both.heads[:1])
    told = []
    figures = evaluate_heads(
        load_model(MODEL), made, folder, OPTIONS, set(), lambda *done: told.append(done)
    )
    return made, both, figures, told


def test_the_served_model_finds_the_known_truth(synthetic):
    made, _, figures, told = synthetic
    assert (figures["source"], figures["protocol"]) == (SYNTHETIC, BY_LABEL)
    assert figures["test_key"] == made.test_key
    assert [row["side"] for row in figures["sides"]] == list(SIDES)
    for row in figures["sides"]:
        assert row["outcome"] == "found"
        assert row["dice"] > 0.7
        assert row["dice_anterior"] > 0.6
        assert row["dice_posterior"] > 0.6
        assert row["centre_error_mm"] < 3
        assert row["seen"] is False
    assert figures["heads"][0]["seconds"] > 0
    assert told == [(0, 1), (1, 1)]


@pytest.mark.long
def test_a_network_of_shuffled_weights_does_not_find_it(synthetic, tmp_path):
    made, *_ = synthetic
    model = replace(load_model(MODEL), folder=shutil.copytree(MODEL, tmp_path / "bad"))
    random = np.random.default_rng(0)
    for file in model.weights:
        layers = {
            name: random.permutation(values.ravel()).reshape(values.shape)
            for name, values in load_file(file).items()
        }
        save_file(layers, file)
    options = replace(OPTIONS, precision="float32")
    figures = evaluate_heads(model, made, tmp_path, options, set())
    assert figures["test_key"] == made.test_key
    assert {row["outcome"] for row in figures["sides"]} <= {"flagged", "missed"}
    assert all(row["dice"] < 0.3 for row in figures["sides"])


def test_the_same_heads_are_made_again_and_no_two_are_alike(synthetic, tmp_path):
    made, both, _, _ = synthetic
    again = synthetic_set(1, tmp_path)
    first, second = both.heads
    assert again.heads[0].image.read_bytes() == first.image.read_bytes()
    assert again.test_key == made.test_key != both.test_key
    assert first.image_sha256 != second.image_sha256
    assert first.references["left"].labels.sum() != second.references["left"].labels.sum()


def test_a_refused_head_is_flagged_on_both_sides(synthetic, tmp_path):
    """Nothing like a hippocampus: the user is told, and gets no mask."""
    made, *_ = synthetic
    empty = nib.Nifti1Image(np.zeros((100, 100, 100), np.int16), np.eye(4))
    empty.dataobj[50, 50, 50] = 1
    file = tmp_path / "empty.nii"
    file.write_bytes(empty.to_bytes())
    refused = replace(made, heads=(replace(made.heads[0], image=file),))
    figures = evaluate_heads(load_model(MODEL), refused, tmp_path, OPTIONS, set())
    assert {row["outcome"] for row in figures["sides"]} == {"flagged"}
    assert figures["summary"]["both"]["flagged"] == 2
    assert figures["summary"]["both"]["measured"] == 0


def test_a_mask_that_is_mirrored_is_a_side_error(synthetic):
    """Left and right swapped on the way from the file to the mask."""
    made, *_ = synthetic
    (head,) = made.heads
    labels = np.zeros(_shape_of(head), np.uint8)
    centres = {}
    for side, reference in head.references.items():
        labels[reference.box] = np.maximum(labels[reference.box], reference.labels)
        middle = [(part.start + part.stop) / 2 for part in reference.box]
        other = next(name for name in SIDES if name != side)
        centres[other] = {"centre_mm": nib.affines.apply_affine(head.affine, middle).tolist()}
    swapped = SimpleNamespace(confidence="high", as_dict=lambda: {"sides": centres})
    result = SimpleNamespace(segmentation=SimpleNamespace(labels=labels, head=swapped))
    rows = rows_of(head, result, BY_LABEL)
    assert [(row["side_error"], row["outcome"]) for row in rows] == [(True, "missed")] * 2
    swapped.confidence = "unreliable"
    assert {row["outcome"] for row in rows_of(head, result, BY_LABEL)} == {"flagged"}


def _shape_of(head):
    return nib.as_closest_canonical(nib.load(head.image)).shape


@pytest.fixture
def two_heads(tmp_path):
    for name, gain in (("sub-01_ses-1", 1.0), ("sub-01_ses-2", 1.02)):
        save_head(tmp_path / "two", name, gain=gain)
    return tmp_path / "two"


def test_a_folder_in_the_decathlons_layout(two_heads, tmp_path):
    truth = labels_like((36, 50, 36))
    save(two_heads, "crop", np.random.default_rng(0).normal(size=truth.shape), truth)
    with folder_set(two_heads, None, LABELLED, tmp_path / "scratch") as found:
        assert found.source == "two"
        assert [head.name for head in found.heads] == ["sub-01_ses-1", "sub-01_ses-2"]
        assert found.left_out == {"crop": "it is a crop, not a whole head"}
        # Two scans of one person: a model that knows one knows the other.
        first, second = found.heads
        assert first.known_by == second.known_by
    with (
        pytest.raises(InputError, match="on both sides"),
        folder_set(two_heads, None, Protocol(WHOLE), tmp_path / "scratch"),
    ):
        pass


def test_a_head_whose_crops_were_trained_on_counts_as_seen(two_heads, tmp_path):
    from core.training.data.prepare import _Reader
    from core.training.heads.locator import HeadLocator

    image, label = (two_heads / part / "sub-01_ses-1.nii.gz" for part in ("imagesTr", "labelsTr"))
    with HeadLocator() as locator:
        cases, _, _ = _Reader(tmp_path / "scratch", locator).read("a", image, label)
    with folder_set(two_heads, None, LABELLED, tmp_path / "scratch") as found:
        for case in cases.values():
            assert case.content_sha256 in found.heads[0].known_by


@pytest.fixture
def reviewed(predictor, tmp_path):
    """A head of the frozen test set, one that trains, and a crop; all accepted."""
    storage = LocalStorage(tmp_path / "storage")
    cases = Cases(connect(tmp_path), storage)
    analysis = analyse(stream(as_bytes(head_2mm())), predictor, tmp_path)
    ids, entries = [], {}
    for number, fold in enumerate((TEST, 0)):
        case = cases.add(analysis, f"Somebody {number}")
        cases.review(case.id, "accepted", "A", despite_doubts=True)
        ids.append(case.id)
        for name in (case_name(case.id, side) for side in SIDES):
            entries[name] = Entry(f"P-{number}", name, "i", "l", fold)
    entries["follow-up"] = Entry("P-0", "follow-up", "i", "l", TEST)
    storage.write(f"datasets/{REVIEWED_NAME}/split.json", split_file(entries))
    return cases, storage, analysis, ids


def test_the_frozen_reviewed_heads_are_taken_with_their_masks(reviewed, tmp_path):
    cases, storage, analysis, (tested, _) = reviewed
    (tmp_path / "heads").mkdir()

    def read():
        return reviewed_set(cases, storage, tmp_path / "heads", tmp_path / "scratch")

    found = read()
    assert (found.source, found.protocol) == (REVIEWED, BY_LABEL)
    (head,) = found.heads
    assert head.name == tested
    for row in rows_of(head, analysis, BY_LABEL):
        assert (row["dice"], row["dice_anterior"], row["dice_posterior"]) == (1, 1, 1)
    # A model that was trained on any scan of the patient has seen it.
    assert head.known_by == {*(case_name(tested, side) for side in SIDES), "follow-up"}

    labels = cases.images(tested).labels.copy()
    labels[labels == 1] = 2
    Corrections(connect(tmp_path), storage, cases).save(
        tested, gzip.compress(labels.tobytes(order="F")), author="B", comment="", base=0
    )
    cases.review(tested, "accepted", "A", despite_doubts=True)
    corrected = read()
    assert corrected.test_key != found.test_key
    assert {r["dice_anterior"] for r in rows_of(corrected.heads[0], analysis, BY_LABEL)} == {0}

    cases.review(tested, "rejected", "A", "wrong")
    assert read() is None


def test_without_reviewed_heads_there_is_no_such_set(tmp_path):
    storage = LocalStorage(tmp_path / "storage")
    assert reviewed_set(Cases(connect(tmp_path), storage), storage, tmp_path, tmp_path) is None


def test_real_heads_with_references_of_another_protocol(shared_data, tmp_path):
    heads = shared_data / "heads"
    if not heads.is_dir():
        pytest.skip("no real heads here")
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    for name in ("subject_01", "subject_09"):
        (chosen / f"{name}.nii.gz").symlink_to(heads / "elderly_2mm" / "t1" / f"{name}.nii.gz")
    with folder_set(chosen, heads / "hippodeep", Protocol(WHOLE), tmp_path / "scratch") as found:
        assert len(found.left_out) == 11
        figures = evaluate_heads(load_model(MODEL), found, tmp_path / "scratch", OPTIONS, set())
    assert figures["protocol"] == WHOLE
    both = figures["summary"]["both"]
    assert (both["sides"], both["missed"], both["side_errors"]) == (4, 0, 0)
    assert both["dice"]["mean"] > 0.7
    assert both["dice_anterior"] is None
