import gzip
from functools import partial

import nibabel as nib
import numpy as np
import pytest

from core.errors import BusyError, ComputeError, DeviceError, GoneError, ModelError
from core.models.folder import load_model, opened
from core.pipeline import Caller, analyse
from core.predictor.engine import Engine
from core.predictor.predictor import InferenceOptions, Predictor
from core.predictor.recipe import recipe_of
from core.predictor.service import Predictors
from core.settings import Settings
from tests.scans import as_bytes, example, image, stream


def mask_file(content: bytes, predictor, folder) -> bytes:
    return analyse(stream(content), predictor, folder).mask_file


def labels(mask: bytes) -> np.ndarray:
    return np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(mask)).dataobj)


def dice(a: np.ndarray, b: np.ndarray, label: int) -> float:
    a, b = a == label, b == label
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_plain_and_compressed_files_give_the_same_mask(predictor, tmp_path):
    raw = as_bytes(example())
    assert mask_file(raw, predictor, tmp_path) == mask_file(gzip.compress(raw), predictor, tmp_path)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize(("slope", "inter"), [(1, 0), (0.5, 0), (3.7, -900)])
def test_type_and_scaling_of_the_numbers_change_nothing(dtype, slope, inter, predictor, tmp_path):
    """The same grey values, stored in another way."""
    values = np.asarray(example().dataobj)
    grey = np.round(values / values.max() * 255)
    reference = labels(mask_file(as_bytes(image(grey.astype(np.int16))), predictor, tmp_path))
    scan = image(grey.astype(dtype))
    scan.header.set_slope_inter(slope, inter)
    raw = bytearray(as_bytes(image(grey.astype(dtype))))
    raw[112:120] = np.array([slope, inter], "<f4").tobytes()
    assert np.array_equal(labels(mask_file(bytes(raw), predictor, tmp_path)), reference)


def test_real_cases_are_segmented_as_by_the_experts(task04, predictor, tmp_path):
    """A check of the plumbing: the model saw these cases in its training."""
    for path in task04[:5]:
        mask = labels(mask_file(path.read_bytes(), predictor, tmp_path))
        truth = np.asarray(nib.load(str(path).replace("imagesTr", "labelsTr")).dataobj)
        assert dice(mask, truth, 1) > 0.8
        assert dice(mask, truth, 2) > 0.8


def test_thick_slices_and_fine_voxels_are_resampled(predictor, tmp_path):
    """The same crop with 2 mm slices, and with half the voxel size, gives about its volume."""
    scan = example()
    reference = analyse(stream(as_bytes(scan)), predictor, tmp_path).measures.total.volume_mm3
    values = np.asarray(scan.dataobj)
    thick = values[:, :, : values.shape[2] // 2 * 2].reshape(*values.shape[:2], -1, 2).mean(axis=3)
    thick_affine = scan.affine @ np.diag([1, 1, 2, 1])
    fine = values.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    fine_affine = scan.affine @ np.diag([0.5, 0.5, 0.5, 1])
    for data, affine, code in (
        (thick, thick_affine, "anisotropic"),
        (fine, fine_affine, "spacing_far_from_1mm"),
    ):
        analysis = analyse(stream(as_bytes(image(data, affine))), predictor, tmp_path)
        assert code in [f.code for f in analysis.findings]
        assert analysis.measures.total.volume_mm3 == pytest.approx(reference, rel=0.15)


def test_a_gpu_that_is_not_there_is_said():
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(DeviceError):
        Predictors(partial(opened, Settings().model_dir), InferenceOptions(), 1).on("cuda")


def test_a_model_that_cannot_load_is_a_failure_not_a_crash(tmp_path):
    predictors = Predictors(partial(opened, tmp_path), InferenceOptions(), 1)
    predictors.load()
    assert isinstance(predictors.failure, ModelError)
    assert predictors.serving is None
    for _ in range(2):
        with pytest.raises(ModelError) as refused:
            predictors.check()
    assert len(refused.traceback) <= 3  # what it is raised for does not pile up on it


def test_a_predictor_that_is_loaded_while_the_server_ends_takes_no_scan():
    predictors = Predictors(partial(opened, Settings().model_dir), InferenceOptions(), 1)
    predictors.end_queues()
    try:
        with pytest.raises(BusyError), predictors.on("cpu").slot():
            pass
    finally:
        predictors.close()


class FailsOnce:
    """A network that runs out of memory on its first scan."""

    backend, device, precision, batch = "openvino", "cpu", "float32", 1
    calls = 0

    def logits(self, patches):
        self.calls += 1
        if self.calls == 1:
            raise self.error
        return np.stack([np.stack([p * 0, p * 0 + 1, p * 0]) for p in patches])

    def __init__(self, error):
        self.error = error


@pytest.mark.parametrize(
    "error", [RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError()]
)
def test_a_scan_that_the_network_fails_on_does_not_stop_the_next(error, tmp_path):
    model = load_model(Settings().model_dir)
    network = FailsOnce(error)
    engine = Engine(recipe_of(model), network, network, [()])
    failing = Predictor(model, engine, "off", 1)
    with pytest.raises(ComputeError):
        analyse(stream(as_bytes(example())), failing, tmp_path)
    assert list(tmp_path.iterdir()) == []
    analysis = analyse(stream(as_bytes(example())), failing, tmp_path)
    assert analysis.measures.anterior.voxels == 35 * 50 * 35
    failing.close()


def test_a_caller_that_goes_away_ends_the_work_between_two_patches(predictor, tmp_path):
    asked = []

    def gone() -> bool:
        asked.append(1)
        return len(asked) > 3

    scan = example()
    wide = np.tile(np.asarray(scan.dataobj), (2, 1, 2))
    with pytest.raises(GoneError):
        analyse(stream(as_bytes(image(wide, scan.affine))), predictor, tmp_path,
                caller=Caller(gone=gone))  # fmt: skip
    assert len(asked) == 4
    assert analyse(stream(as_bytes(scan)), predictor, tmp_path).measures.total.voxels > 0


class Counts:
    """A network of no use that counts its runs."""

    backend, device, precision, batch = "openvino", "cpu", "float32", 1

    def __init__(self):
        self.runs = 0

    def logits(self, patches):
        self.runs += 1
        return np.stack([np.stack([p, p, p]) for p in patches])


def test_the_work_ends_with_the_run_of_the_network_in_which_the_caller_went(tmp_path):
    """Not with its patch: of that, several mirrored predictions would still be to come."""
    model = load_model(Settings().model_dir)
    network = Counts()
    engine = Engine(recipe_of(model), network, network, [(), (0,), (1,), (2,)])
    predictor = Predictor(model, engine, "full", 1)
    for most in (1, 3):
        network.runs = 0
        with pytest.raises(GoneError):
            analyse(stream(as_bytes(example())), predictor, tmp_path,
                    caller=Caller(gone=lambda most=most: network.runs == most))  # fmt: skip
        assert network.runs == most
    predictor.close()
