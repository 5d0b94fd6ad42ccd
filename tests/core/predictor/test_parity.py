"""nnU-Net itself is the oracle: ``nnUNetv2_predict``'s predictor, preprocessor and export."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from core.image.volume import unit_range
from core.models.folder import load_model
from core.predictor.checkpoint import CHECKPOINT_NAME, write_for_nnunet
from core.predictor.engine import ScanRun
from core.predictor.predictor import InferenceOptions, loaded
from core.predictor.preprocess import prepare
from core.predictor.recipe import Resampling, recipe_of
from core.predictor.resample import new_shape, resample
from core.settings import Settings
from tests.scans import example

with contextlib.redirect_stdout(io.StringIO()):
    import torch
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.preprocessing.resampling.default_resampling import (
        compute_new_shape,
        resample_data_or_seg_to_shape,
    )

MODEL = load_model(Settings().model_dir)
RECIPE = recipe_of(MODEL)
MIRRORINGS = ("off", "full")
# Mirrored, the oracle needs seconds for each input.
_SHORT_AND_LONG = [
    ("off", 3),
    *(pytest.param(mirroring, 5, marks=pytest.mark.long) for mirroring in ("off", "full")),
]  # fmt: skip


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """nnU-Net's predictor with the same weights."""
    folder = tmp_path_factory.mktemp("nnunet")
    write_for_nnunet(MODEL, folder)
    made = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    made.initialize_from_trained_model_folder(str(folder), (0,), CHECKPOINT_NAME)
    return made


@pytest.fixture(scope="module")
def ours():
    made = {
        m: loaded(MODEL, InferenceOptions(precision="float32", mirroring=m)) for m in MIRRORINGS
    }
    yield made
    for predictor in made.values():
        predictor.close()


def labels_of(predictor, data: np.ndarray, spacing_mm) -> np.ndarray:
    return predictor.engine.labels(data, spacing_mm, ScanRun())


def oracles_labels(oracle, data: np.ndarray, spacing_mm, mirroring: str) -> np.ndarray:
    oracle.use_mirroring = mirroring == "full"
    image = np.ascontiguousarray(data.transpose(2, 1, 0)[None])
    with contextlib.redirect_stdout(io.StringIO()):
        labels = oracle.predict_single_npy_array(image, {"spacing": list(spacing_mm[::-1])})
    return labels.transpose(2, 1, 0)


def dice(a: np.ndarray, b: np.ndarray, label: int) -> float:
    a, b = a == label, b == label
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def agrees(ours: np.ndarray, theirs: np.ndarray) -> int:
    """Assert that the masks are the same but for rounding; return the voxels that differ."""
    for label in (1, 2):
        assert (theirs == label).sum() > 50
        assert dice(ours, theirs, label) >= 0.999
    return int((ours != theirs).sum())


@pytest.mark.parametrize(("mirroring", "cases"), _SHORT_AND_LONG)
def test_real_cases_get_the_masks_of_nnunet(task04, oracle, ours, mirroring, cases):
    differ = []
    for path in task04[5::40][:cases]:
        data, properties = SimpleITKIO().read_images([str(path)])
        scan = unit_range(data[0].transpose(2, 1, 0))
        mine = labels_of(ours[mirroring], scan, properties["spacing"][::-1])
        oracle.use_mirroring = mirroring == "full"
        theirs = oracle.predict_single_npy_array(data, properties).transpose(2, 1, 0)
        differ.append(agrees(mine, theirs))
    assert sorted(differ)[(len(differ) - 1) // 2] == 0


def scans():
    """Inputs that are not of one patch at 1 mm: name, values, spacing."""
    scan = np.asarray(example().dataobj, np.float32)
    thick = scan[:, :, : scan.shape[2] // 2 * 2].reshape(*scan.shape[:2], -1, 2).mean(axis=3)
    flat = scan[:, :, : scan.shape[2] // 4 * 4].reshape(*scan.shape[:2], -1, 4).mean(axis=3)
    tilted = ndimage.rotate(scan, 10, (1, 2), reshape=False, order=1, mode="nearest")
    return {
        "2 mm slices": (thick, (1.0, 1.0, 2.0)),
        "4 mm slices": (flat, (1.0, 1.0, 4.0)),  # resampled slice by slice
        "oblique": (tilted, (1.0, 1.0, 1.0)),
        "larger than a patch": (
            np.pad(scan, ((0, 0), (0, 14), (10, 0)), mode="reflect"),
            (1.0, 1.0, 1.0),
        ),
        "smaller than a patch": (scan[4:-4, 5:-5, 4:-4], (1.0, 1.0, 1.0)),
        "fine voxels": (ndimage.zoom(scan, 1.4, order=1), (0.71, 0.72, 0.7)),
        "zeros around it": (np.pad(scan, ((9, 3), (2, 6), (5, 0))), (1.0, 1.0, 1.0)),
    }


def unusual():
    """Every input without mirroring, and in the long tests each with it."""
    for name in scans():
        yield name, "off"
        yield pytest.param(name, "full", marks=pytest.mark.long)


@pytest.mark.parametrize(("name", "mirroring"), list(unusual()))
def test_unusual_inputs_get_the_masks_of_nnunet(name, mirroring, oracle, ours):
    data, spacing_mm = scans()[name]
    data = unit_range(data)
    theirs = oracles_labels(oracle, data, spacing_mm, mirroring)
    agrees(labels_of(ours[mirroring], data, spacing_mm), theirs)


@pytest.mark.parametrize("name", list(scans()))
def test_the_network_gets_what_nnunet_would_give_it(name, oracle):
    data, spacing_mm = scans()[name]
    data = unit_range(data)
    theirs, _, properties = DefaultPreprocessor(verbose=False).run_case_npy(
        data.transpose(2, 1, 0)[None], None, {"spacing": list(spacing_mm[::-1])},
        oracle.plans_manager, oracle.configuration_manager, oracle.dataset_json,
    )  # fmt: skip
    mine = prepare(data, spacing_mm, RECIPE)
    assert [[p.start, p.stop] for p in mine.box] == properties["bbox_used_for_cropping"]
    np.testing.assert_allclose(mine.data, theirs[0], atol=2e-5)


SPACING = st.tuples(*[st.sampled_from([0.4, 0.7, 0.97, 1.0, 1.5, 2.0, 3.3, 5.0])] * 3)


@settings(max_examples=60)
@given(
    shape=st.tuples(*[st.integers(2, 14)] * 3),
    spacing=SPACING,
    target=SPACING,
    order=st.sampled_from([1, 3]),
    order_z=st.sampled_from([0, 1]),
    force=st.sampled_from([None, False, True]),
    seed=st.integers(0, 99),
)
def test_resampling_gives_nnunets_numbers(shape, spacing, target, order, order_z, force, seed):
    data = np.random.default_rng(seed).normal(0, 1, (2, *shape)).astype(np.float32)
    goal = tuple(compute_new_shape(shape, spacing, target))
    assert new_shape(shape, spacing, target) == goal
    if min(goal) < 1:
        return
    theirs = resample_data_or_seg_to_shape(
        data, goal, spacing, target,
        is_seg=False, order=order, order_z=order_z, force_separate_z=force,
    )  # fmt: skip
    mine = resample(data, goal, spacing, target, Resampling(order, order_z, force))
    np.testing.assert_allclose(mine, theirs, atol=1e-5)
