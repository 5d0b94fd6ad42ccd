"""Contents that are no ordinary image: a mask, or a refusal in words; never a failure of ours."""

import numpy as np
import pytest

from core.errors import InputError
from core.image.intake import vetted
from core.image.volume import load
from core.pipeline import analyse
from tests.scans import as_bytes, example, image, noise, stream


def padded(background: float):
    """The example in the middle of a wider grid, with something else around it."""
    values = np.asarray(example().dataobj, np.float32) * 900 + 20
    wide = np.pad(values, 8, constant_values=background)
    affine = example().affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ [8, 8, 8]
    return stream(as_bytes(image(wide, affine)))


@pytest.mark.parametrize("background", [np.nan, np.inf, -np.inf, 1e36])
def test_what_is_no_number_around_a_brain_is_its_background(background, predictor, tmp_path):
    lowest = float(np.asarray(example().dataobj, np.float32).min()) * 900 + 20
    odd = analyse(padded(background), predictor, tmp_path)
    plain = analyse(padded(lowest), predictor, tmp_path)
    assert odd.mask_file == plain.mask_file
    assert odd.measures.total.volume_mm3 > 1500
    assert "not_finite_voxels" in [finding.code for finding in odd.findings]


def repeated(values, times: int):
    for axis in range(3):
        values = values.repeat(times, axis)
    return values


@pytest.mark.parametrize("times", [2, 3])
def test_a_scan_of_8_bits_whose_voxels_are_repeated_is_read(times, tmp_path):
    scan = np.asarray(example().dataobj)
    grey = repeated((scan / scan.max() * 255).astype(np.uint8), times)
    made = image(grey, np.diag([1 / times, 1 / times, 1 / times, 1]))
    with vetted(stream(as_bytes(made)), tmp_path) as file:
        assert load(file).shape == grey.shape


def test_label_maps_are_refused_with_repeated_voxels_as_well(shared_data, tmp_path):
    import nibabel as nib

    name = "heads/elderly_2mm/segmentation/subject_01.nii.gz"
    labels = np.asarray(nib.load(shared_data / name).dataobj).astype(np.uint8)[20:70, 30:80, 20:70]
    for times in (1, 2):
        with (
            pytest.raises(InputError) as refused,
            vetted(stream(as_bytes(image(repeated(labels, times)))), tmp_path) as file,
        ):
            load(file)
        assert refused.value.code == "label_map"


def spot(shape, *places, dtype=np.float32):
    values = np.zeros(shape, dtype)
    for number, place in enumerate(places, start=1):
        values[place] = number
    return values


def last_slices():
    """Nothing but what lies at the edge that the localiser's reduction cuts off."""
    values = np.zeros((95, 95, 95), np.float32)
    values[92:] = noise((3, 95, 95))
    return values


def slab(shape, axis):
    values = np.zeros(shape, np.float32)
    np.moveaxis(values, axis, 0)[0] = noise(np.moveaxis(values, axis, 0)[0].shape)
    return values


def extremes(dtype):
    values = noise((96, 96, 96)).astype(dtype)
    values[0, 0, 0], values[1, 1, 1] = np.iinfo(dtype).min, np.iinfo(dtype).max
    return values


ODD = {
    "content at a cut edge": (last_slices(), (1, 1, 1)),
    "one voxel in a head": (spot((99, 99, 99), (50, 50, 50)), (1, 1, 1)),
    "one voxel in a crop": (spot((40, 40, 40), (20, 20, 20)), (1, 1, 1)),
    "one noisy slice": (slab((99, 99, 99), 2), (1, 1, 1)),
    "noise": (noise((96, 96, 96)), (1, 1, 1)),
    "huge": (noise((96, 96, 96)) * 1e34, (1, 1, 1)),
    "huge crop": (noise() * 1e34, (1, 1, 1)),
    "tiny": (noise((96, 96, 96)) * 1e-37, (1, 1, 1)),
    "all negative": (-noise((96, 96, 96)) - 1, (1, 1, 1)),
    "ends of int16": (extremes(np.int16), (1, 1, 1)),
    "ends of int32": (extremes(np.int32), (1, 1, 1)),
    "0.1 mm": (noise((104, 104, 104)), (0.1, 0.1, 0.1)),
    "10 mm": (noise((20, 20, 20)), (10, 10, 10)),
    "four voxels of 10 mm": (noise((4, 4, 4)), (10, 10, 10)),
    "0.1 by 10 mm": (noise((150, 12, 12)), (0.1, 10, 10)),
    "thin slab": (noise((200, 200, 11)), (1, 1, 1)),
    "rod": (noise((11, 11, 300)), (1, 1, 1)),
    "cube in air": (np.pad(noise((40, 40, 40)), 40), (1, 1, 1)),
    "nearly all NaN": (np.pad(noise((30, 30, 30)), 33, constant_values=np.nan), (1, 1, 1)),
}


# Each time one of each kind: spots, noise, numbers, voxels, shapes, not a number.
EACH_TIME = ("content at a cut edge", "one voxel in a head", "huge", "ends of int16",
             "0.1 by 10 mm", "thin slab", "nearly all NaN")  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [name if name in EACH_TIME else pytest.param(name, marks=pytest.mark.long) for name in ODD],
)
def test_odd_contents_give_a_mask_or_a_refusal_in_words(name, predictor, tmp_path):
    values, spacing_mm = ODD[name]
    scan = stream(as_bytes(image(values, np.diag([*spacing_mm, 1]))))
    said = []
    try:
        said += [
            f.message for f in analyse(scan, predictor, tmp_path).findings if f.level != "note"
        ]
    except InputError as refused:
        said += [refused.message, refused.hint]
    # None of them shows a hippocampus: what was drawn is not passed on as sound.
    assert said
    assert all(len(words) > 10 for words in said)
