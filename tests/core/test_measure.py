import numpy as np
import pytest

from core.intake import vetted
from core.measure import assess, measure
from core.model import load_model
from core.segmentation import Segmentation
from core.settings import Settings
from core.volume import load
from tests.scans import as_bytes, image, noise, stream

MODEL = load_model(Settings().model_dir)


def segmentation(labels: np.ndarray, affine, folder) -> Segmentation:
    with vetted(stream(as_bytes(image(noise(labels.shape), affine))), folder) as file:
        volume = load(file)
    return Segmentation(
        labels.astype(np.uint8), volume, MODEL, "cpu", "openvino", "float32", "off", {}
    )


def box(shape=(35, 50, 35), anterior=(10, 10, 10), posterior=(10, 20, 10)) -> np.ndarray:
    labels = np.zeros(shape, np.uint8)
    x, y, z = anterior
    labels[5 : 5 + x, 30 : 30 + y, 5 : 5 + z] = 1
    x, y, z = posterior
    labels[5 : 5 + x, 30 - y : 30, 5 : 5 + z] = 2
    return labels


def test_volumes_are_voxels_times_their_size(tmp_path):
    s = segmentation(box(), np.diag([1.0, 0.5, 2, 1]), tmp_path)
    m = measure(s)
    assert m.anterior.voxels == 1000
    assert m.anterior.volume_mm3 == pytest.approx(1000)
    assert m.posterior.volume_mm3 == pytest.approx(2000)
    assert m.total.volume_mm3 == pytest.approx(3000)
    assert m.total.volume_ml == pytest.approx(3)
    assert m.anterior_share_percent == pytest.approx(100 / 3)
    assert m.anterior.bounding_box_mm == pytest.approx((10, 5, 20))
    assert m.side == "side unknown on a crop"


def test_the_length_is_along_the_longest_axis(tmp_path):
    labels = np.zeros((35, 50, 35), np.uint8)
    labels[17, 5:45, 17] = 2
    assert measure(segmentation(labels, np.eye(4), tmp_path)).total.length_mm == pytest.approx(40)
    labels = np.zeros((35, 50, 35), np.uint8)
    for i in range(20):
        labels[5 + i, 5 + i, 17] = 2
    length = measure(segmentation(labels, np.eye(4), tmp_path)).total.length_mm
    assert length == pytest.approx(19 * np.sqrt(2) + 1, abs=0.5)


def codes(labels, folder, affine=None) -> list[str]:
    s = segmentation(labels, np.eye(4) if affine is None else affine, folder)
    return [f.code for f in assess(s, measure(s))]


def test_an_ordinary_mask_gives_no_warning(tmp_path):
    assert codes(box(), tmp_path) == []


def test_an_empty_mask_is_said_and_measured_as_nothing(tmp_path):
    empty = np.zeros((35, 50, 35), np.uint8)
    assert codes(empty, tmp_path) == ["mask_empty"]
    m = measure(segmentation(empty, np.eye(4), tmp_path))
    assert m.total.volume_mm3 == 0
    assert m.anterior_share_percent is None
    assert m.total.length_mm is None


def test_each_fault_of_a_mask_is_named(tmp_path):
    missing = np.where(box() == 1, 0, box())
    assert codes(missing, tmp_path) == ["anterior_missing"]
    fragments = box()
    fragments[25:30, 35:40, 25:30] = 1
    assert codes(fragments, tmp_path) == ["anterior_fragmented"]
    assert codes(box(anterior=(5, 5, 5), posterior=(5, 5, 5)), tmp_path) == ["volume_small"]
    assert codes(box(posterior=(25, 25, 25)), tmp_path) == ["volume_large"]
    touching = box()
    touching[0:6, 30:40, 5:15] = 1
    assert codes(touching, tmp_path) == ["touches_border"]


def test_a_stray_voxel_is_no_fragment(tmp_path):
    labels = box()
    labels[30, 45, 30] = 2
    assert codes(labels, tmp_path) == []
