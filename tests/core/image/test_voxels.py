"""Scans are read where they lie, by parts; the numbers are those of the whole, in any order."""

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from core import limits
from core.errors import TooLargeError
from core.image import voxels
from core.image.header import parse_header
from core.image.intake import vetted
from core.image.volume import Volume, box_around, load
from core.image.voxels import Voxels, block_means, range_of
from core.predictor import localiser as localise
from core.predictor.heads import CROP
from core.settings import ROOT
from tests.scans import all_orientations, as_bytes, image, noise, reoriented, stream, template_head

_OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.3, -0.2, 0.25) @ np.diag([1.1, 0.9, 1.3]), (-70, -90, -60)
)
_SHAPE = (100, 110, 96)


def opened(scan, folder) -> Volume:
    with vetted(stream(as_bytes(scan)), folder) as file:
        return load(file)


def whole(volume: Volume) -> np.ndarray:
    """All values, by nibabel's way and not by ours."""
    raw = volume.header.clean_prefix() + np.asarray(
        nib.orientations.apply_orientation(
            volume.voxels.stored,
            nib.orientations.ornt_transform(
                nib.orientations.axcodes2ornt("RAS"),
                nib.io_orientation(volume.header.affine),
            ),
        )
    ).tobytes(order="F")
    canonical = nib.as_closest_canonical(nib.Nifti1Image.from_bytes(raw))
    return np.asarray(canonical.dataobj, np.float64)


@pytest.mark.parametrize("turn", range(48))
def test_a_turned_scan_is_a_view_with_the_same_numbers(turn, tmp_path, monkeypatch):
    """Read from a mapped file, sampled through a box, in every order of the axes."""
    monkeypatch.setattr(voxels, "_MAPPED_BYTES", 0)
    scan = image(noise((95, 40, 36), np.int16), _OBLIQUE)
    upright = opened(reoriented(scan, all_orientations()[0]), tmp_path)
    turned = opened(reoriented(scan, all_orientations()[turn]), tmp_path)
    assert turned.voxels.stored.base is not None
    assert not turned.voxels.stored.flags.owndata
    assert np.array_equal(turned.data, whole(turned))
    assert turned.shape == upright.shape
    assert np.array_equal(turned.data, upright.data)
    grid = np.diag([1.0, 1, 1, 1])
    grid[:3, 3] = nib.affines.apply_affine(upright.affine, [30, 5, 5])
    theirs = localise.sample_unit(upright, grid, (20, 20, 20))
    assert np.allclose(localise.sample_unit(turned, grid, (20, 20, 20)), theirs, atol=1e-4)


@given(
    start=st.tuples(*[st.integers(-60, 120)] * 3),
    angles=st.tuples(*[st.floats(-1, 1)] * 3),
)
def test_a_part_samples_as_the_whole_does(start, angles):
    """Inside, across an edge and outside of the image."""
    values = noise(_SHAPE, np.int16)
    volume = Volume(Voxels(values), float(values.min()), float(values.max()), _OBLIQUE, None, ())
    grid = nib.affines.from_matvec(nib.eulerangles.euler2mat(*angles))
    grid[:3, 3] = nib.affines.apply_affine(_OBLIQUE, start)
    unit = volume.unit
    to_voxels = np.linalg.inv(_OBLIQUE) @ grid
    expected = ndimage.affine_transform(
        unit, to_voxels[:3, :3], to_voxels[:3, 3], CROP, order=1, mode="constant"
    )
    assert np.allclose(localise.sample_unit(volume, grid, CROP), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "u1", "<f4", "<f8", ">f8", "<i4", "<u2", "i1"])
@pytest.mark.parametrize(("slope", "inter"), [(1.0, 0.0), (0.5, -3.0), (-2.0, 100.0)])
def test_types_and_scaling_give_the_same_unit_values(dtype, slope, inter, tmp_path):
    """Whole numbers stay what they are until they are read; then they are those of float64."""
    small = (noise(_SHAPE) % 100).astype(np.int16)
    plain = opened(image(small), tmp_path)
    stored = image(small.astype(dtype), np.eye(4))
    stored.header.set_data_dtype(dtype)
    stored.header.set_slope_inter(slope, inter)
    raw = bytearray(as_bytes(stored))
    header = nib.Nifti1Header.from_fileobj(stream(bytes(raw)))
    header["scl_slope"], header["scl_inter"] = slope, inter
    raw[:348] = header.binaryblock
    with vetted(stream(bytes(raw)), tmp_path) as file:
        other = load(file)
    assert other.voxels.stored.dtype == parse_header(bytes(raw[:540])).dtype
    low, high, bad = range_of(other.voxels)
    values = other.voxels.read()
    assert (low, high, bad) == (values.min(), values.max(), 0)
    assert np.array_equal(values, whole(other))
    expected = plain.unit if slope > 0 else 1 - plain.unit
    assert np.allclose(other.unit, expected, atol=1e-7)
    assert np.array_equal(other.voxels.read_float32(), values.astype(np.float32))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("factors", [(1, 1, 1), (2, 3, 4), (4, 4, 4), (8, 1, 5)])
def test_means_of_blocks_do_not_depend_on_the_slabs(factors, order):
    values = np.asarray(noise((41, 37, 50)), order=order)
    found = block_means(Voxels(values), factors)
    counts = [n // f for n, f in zip(values.shape, factors, strict=True)]
    cut = values[tuple(slice(0, n * f) for n, f in zip(counts, factors, strict=True))]
    shape = [n for pair in zip(counts, factors, strict=True) for n in pair]
    assert found == pytest.approx(cut.astype(np.float64).reshape(shape).mean((1, 3, 5)), rel=1e-5)
    few = list(Voxels(values).slabs(1000))
    assert len(few) > 10
    assert sum(values[box].size for box in few) == values.size


def test_bad_values_are_background_wherever_they_are_read(tmp_path):
    values = noise(_SHAPE)
    values[3:6, ::7, 2] = np.nan
    values[50, 50, 50] = np.inf
    volume = opened(image(values), tmp_path)
    finite = np.isfinite(values)
    assert (volume.low, volume.high) == (values[finite].min(), values[finite].max())
    assert (volume.data[~finite] == np.float32(volume.low)).all()
    part = (slice(2, 7), slice(0, 9), slice(0, 4))
    assert np.array_equal(volume.unit_in(part), volume.unit[part])
    assert np.isfinite(block_means(volume.voxels, (4, 4, 4))).all()


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_box_is_that_of_what_is_not_zero(order):
    values = np.zeros((12, 14, 16), np.uint8, order=order)
    assert box_around(values) is None
    values[3, 5, 2], values[7, 5, 15] = 2, 1
    assert box_around(values, 0) == (slice(3, 8), slice(5, 6), slice(2, 16))
    assert box_around(values[::-1, :, ::-1], 1) == (slice(3, 10), slice(4, 7), slice(0, 15))


def test_a_fine_crop_is_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("core.limits.MAX_CROP_VOXELS", 1000)
    with pytest.raises(TooLargeError, match=r"covers 35 x 50 x 35 mm with 61,250 voxels"):
        opened(image(), tmp_path)


_MEASURE = """
import json, sys
from pathlib import Path
from core.models.folder import load_model
from core.pipeline import analyse
from core.predictor.predictor import InferenceOptions, loaded
from core.settings import Settings

def kib(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

predictor = loaded(load_model(Settings().model_dir), InferenceOptions())
predictor.warm_up()
rest = kib("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
with open(sys.argv[1], "rb") as file:
    analysis = analyse(file, predictor, Path(sys.argv[2]))
    analysis.scan_file()
print(json.dumps({
    "grew_mib": (kib("VmHWM") - rest) / 1024,
    "shape": analysis.segmentation.labels.shape,
    "confidence": analysis.segmentation.head.confidence,
    "mm3": analysis.measures.total.volume_mm3,
}))
predictor.close()
"""


def measured(shape, dtype, folder) -> dict:
    """A head of a matrix, segmented in a process of its own."""
    head = template_head()
    data = np.asarray(head.dataobj, np.float32)
    if dtype is np.uint8:
        data *= 255 / data.max()
    zoom = [n / m for n, m in zip(shape, data.shape, strict=True)]
    big = ndimage.zoom(data, zoom, order=1, output=dtype)
    grid = head.affine @ np.diag([*(1 / z for z in zoom), 1])
    path = folder / "head.nii.gz"
    nib.save(nib.Nifti1Image(big, grid), path)
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(path), str(folder)],
        capture_output=True, cwd=ROOT, check=True, timeout=600,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_a_scanners_matrix_is_segmented_in_little_memory(tmp_path):
    """36 MiB as int16; the whole as float32 and as float64 would be 216."""
    found = measured((160, 320, 368), np.int16, tmp_path)
    assert found["shape"] == [160, 320, 368]
    assert found["confidence"] == "high"
    assert found["grew_mib"] < 100


@pytest.mark.long
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((512, 512, 512), np.int16), ((512, 512, 512), np.float64), ((352, 352, 313), np.int16),
        ((512, 512, 180), np.int16), ((160, 460, 512), np.uint8),
    ],
)  # fmt: skip
def test_the_largest_matrices_are_segmented_within_the_bound(shape, dtype, tmp_path):
    """The Model page shows the bound."""
    small = measured((197, 233, 189), np.int16, tmp_path)
    found = measured(shape, dtype, tmp_path)
    assert found["confidence"] == "high"
    assert found["mm3"] == pytest.approx(small["mm3"], rel=0.05)
    assert found["grew_mib"] < limits.MAX_HEAD_MEMORY_MIB
