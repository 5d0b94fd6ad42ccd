import gzip
import threading
from functools import partial
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from core.errors import BusyError, ComputeError, DeviceError, ModelError
from core.model import load_model, opened
from core.pipeline import analyse
from core.predictor.service import Predictor, Predictors
from core.predictor.turns import Turns
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


def test_the_mask_equals_that_of_nnunets_own_predictor(task04, predictor, tmp_path):
    """The oracle: nnU-Net's reader, preprocessing and export, from its own checkpoint."""
    from core.predictor import torch_backend  # its import sets nnU-Net up quietly

    shared_model = task04[0].parents[3] / "models" / "hippocampus-3d-16"
    if not shared_model.is_dir():
        pytest.skip("the original checkpoint is not here")
    import torch
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    oracle = torch_backend.nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    oracle.initialize_from_trained_model_folder(str(shared_model), ("all",), "checkpoint_final.pth")
    for path in task04[5:8]:
        data, properties = SimpleITKIO().read_images([str(path)])
        expected = oracle.predict_single_npy_array(data, properties).transpose(2, 1, 0)
        assert np.array_equal(labels(mask_file(path.read_bytes(), predictor, tmp_path)), expected)


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
        Predictors(partial(opened, Settings().model_dir), "cpu", 1).on("cuda")


def test_a_model_that_cannot_load_is_a_failure_not_a_crash(tmp_path):
    predictors = Predictors(partial(opened, tmp_path), "cpu", 1)
    predictors.load()
    assert isinstance(predictors.failure, ModelError)
    assert predictors.serving is None
    for _ in range(2):
        with pytest.raises(ModelError) as refused:
            predictors.check()
    assert len(refused.traceback) <= 3  # what it is raised for does not pile up on it


class FailsOnce:
    """A backend that runs out of memory on its first scan."""

    name = "torch"
    device = SimpleNamespace(type="cpu")
    calls = 0

    def segment(self, data, spacing_mm, on_step):
        self.calls += 1
        if self.calls == 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return np.ones(data.shape, np.uint8)


def test_a_scan_that_the_network_fails_on_does_not_stop_the_next(tmp_path):
    failing = Predictor(load_model(Settings().model_dir), FailsOnce(), 1)
    with pytest.raises(ComputeError):
        analyse(stream(as_bytes(example())), failing, tmp_path)
    assert list(tmp_path.iterdir()) == []
    analysis = analyse(stream(as_bytes(example())), failing, tmp_path)
    assert analysis.measures.anterior.voxels == 35 * 50 * 35
    failing.close()


def test_turns_are_given_in_the_order_of_asking():
    turns = Turns(10, clock=lambda: 0.0)
    order: list[int] = []
    threads = []

    def work(number: int) -> None:
        with turns.take():
            order.append(number)

    with turns.take():
        for number in range(10):
            threads.append(threading.Thread(target=work, args=(number,)))
            threads[-1].start()
            while turns.waiting < number + 1:
                pass
    for thread in threads:
        thread.join()
    assert order == list(range(10))


def test_a_full_queue_refuses_with_a_time_to_come_back():
    turns = Turns(1, clock=lambda: 0.0)
    release = threading.Event()
    inside = threading.Event()

    def hold() -> None:
        with turns.take():
            inside.set()
            release.wait()

    def wait() -> None:
        with turns.take():
            pass

    threads = [threading.Thread(target=hold), threading.Thread(target=wait)]
    threads[0].start()
    inside.wait()
    threads[1].start()
    while turns.waiting < 1:
        pass
    with pytest.raises(BusyError) as refused, turns.take():
        pass
    assert refused.value.retry_after_s >= 1
    release.set()
    for thread in threads:
        thread.join()
    with turns.take():
        assert turns.waiting == 0


def test_a_turn_that_fails_is_given_on():
    turns = Turns(1, clock=lambda: 0.0)
    with pytest.raises(RuntimeError), turns.take():
        raise RuntimeError("no luck")
    with turns.take():
        assert turns.waiting == 0
