"""What the viewer fetches of a head on another grid, and of one that is moved onto another."""

import gzip
from dataclasses import replace
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from app.viewer.displays import Displays, _light, display_name
from app.viewer.files import ViewerFiles
from core.cases.case import CaseImages
from core.cases.corrections import Corrections
from core.cases.store import Cases
from core.errors import InputError
from core.image.voxels import Voxels
from core.pipeline import analyse
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.core.cases.test_corrections import packed
from tests.scans import as_bytes, example, image, stream, template_head


@pytest.fixture(scope="module")
def house(predictor, tmp_path_factory):
    """Two scans of one head with voxels of 2 mm, the later one shifted and cut; and a crop."""
    folder = tmp_path_factory.mktemp("displays")
    cases = Cases(connect(folder), LocalStorage(folder / "storage"))
    head = template_head()
    affine = head.affine @ np.diag([2, 2, 2, 1])
    data = np.asarray(head.dataobj)[::2, ::2, ::2].copy()
    shifted = affine.copy()
    shifted[:3, 3] += (6, -4, 3)
    crop = example()
    scans = {
        "earlier": image(data, affine),
        "later": image(data[:, 4:, :].copy(), shifted @ _by(4)),
        "crop": crop,
        "later_crop": image(np.asarray(crop.dataobj), _to_right(crop.affine)),
    }
    analyses = {
        name: analyse(stream(as_bytes(scan)), predictor, folder) for name, scan in scans.items()
    }
    ids = {name: cases.add(analysis, name).id for name, analysis in analyses.items()}
    files = ViewerFiles(cases, folder / "viewed")
    corrections = Corrections(cases.acts.engine, cases.acts.storage, cases)
    return SimpleNamespace(
        files=files, displays=Displays(files), cases=cases, corrections=corrections,
        analysis=analyses["later_crop"], **ids,
    )  # fmt: skip


def _by(voxels: int) -> np.ndarray:
    change = np.eye(4)
    change[1, 3] = voxels
    return change


def _to_right(affine: np.ndarray) -> np.ndarray:
    moved = affine.copy()
    moved[0, 3] += 9
    return moved


def opened(made) -> nib.Nifti1Image:
    with made.file as file:
        return nib.Nifti1Image.from_bytes(gzip.decompress(file.read()))


@pytest.mark.parametrize("view", ["upright", "long-axis"])
def test_a_views_files_lie_on_one_grid_and_what_is_said_fits_them(house, view):
    about = house.displays.about(house.earlier, 0, view)
    scan = opened(house.displays.scan(house.earlier, view))
    mask = opened(house.displays.mask(house.earlier, 0, view))
    assert list(scan.shape) == list(mask.shape) == about["shape"]
    assert np.allclose(scan.affine, about["affine"], atol=1e-4)
    assert np.allclose(mask.affine, about["affine"], atol=1e-4)
    assert about["viewing"]
    assert "resampled for the eye" in about["reduced"]
    labels = np.asarray(mask.dataobj)
    whole = opened(house.files.mask(house.earlier, 0))
    for finding in about["findings"]:
        assert labels[tuple(finding["voxel"])] or "fragment" in finding["words"].casefold()
    # Each side where it was, in the scanner's mm.
    before = apply_affine(whole.affine, np.argwhere(np.asarray(whole.dataobj)))
    after = apply_affine(mask.affine, np.argwhere(labels))
    for side in (-1, 1):
        of_side = [mm[mm[:, 0] * side > 0].mean(axis=0) for mm in (before, after)]
        assert np.allclose(*of_side, atol=0.5)


def test_as_scanned_the_files_are_the_cases_own_and_not_to_be_drawn_on(house):
    about = house.displays.about(house.earlier, 0, "scanned")
    assert about["viewing"]
    assert about["reduced"]
    own = opened(house.files.scan(house.earlier))
    assert np.array_equal(
        opened(house.displays.scan(house.earlier, "scanned")).dataobj, own.dataobj
    )
    assert display_name(house.earlier, "scanned") != house.earlier


def test_the_earlier_scan_lies_on_the_laters_grid_and_nothing_is_lost(house):
    move = house.displays.move(house.earlier, house.later)
    assert np.allclose(move.matrix[:3, 3], (6, -4, 3), atol=0.6)
    assert move.residual_mm < 0.5
    later = opened(house.files.scan(house.later))
    scan = opened(house.displays.moved_scan(house.earlier, house.later))
    assert scan.shape == later.shape
    assert np.allclose(scan.affine, later.affine, atol=1e-4)
    values = [np.asarray(each.dataobj, float) for each in (scan, later)]
    inside = values[1] > 100
    assert np.corrcoef(values[0][inside], values[1][inside])[0, 1] > 0.97
    found = house.displays.lost_and_won(house.earlier, 0, house.later, 0)
    for side in ("left", "right"):
        whole = found.sides[side]["total"]
        assert whole.kept_mm3 > 4 * (whole.lost_mm3 + whole.won_mm3)
    about = house.displays.moved_about(house.earlier, 0, house.later)
    mask = opened(house.displays.moved_mask(house.earlier, 0, house.later))
    assert list(mask.shape) == about["shape"] == list(later.shape)


def test_of_a_crop_there_is_no_other_view_but_another_crop_is_laid_onto_it(house):
    with pytest.raises(InputError, match="crop"):
        house.displays.about(house.crop, 0, "upright")
    with pytest.raises(InputError, match="crop"):
        house.displays.move(house.crop, house.later)
    move = house.displays.move(house.crop, house.later_crop)
    assert np.allclose(move.matrix[:3, 3], (9, 0, 0), atol=0.3)
    found = house.displays.lost_and_won(house.crop, 0, house.later_crop, 0).sides
    whole = found["hippocampus"]["total"]
    assert whole.kept_mm3 > 10 * (whole.lost_mm3 + whole.won_mm3)
    scan = opened(house.displays.moved_scan(house.crop, house.later_crop))
    assert scan.shape == opened(house.files.scan(house.later_crop)).shape


def test_a_crop_in_which_the_model_found_nothing_is_laid_by_what_a_person_drew(house):
    labels = house.files.images(house.later_crop, 0).labels
    mask = nib.Nifti1Image.from_bytes(gzip.decompress(house.analysis.mask_file))
    nothing = nib.Nifti1Image(np.zeros(mask.shape, np.uint8), mask.affine)
    empty = replace(house.analysis, mask_file=gzip.compress(nothing.to_bytes()))
    found_nothing = house.cases.add(empty, "nothing found").id
    with pytest.raises(InputError, match="empty"):
        house.displays.move(house.crop, found_nothing)
    house.corrections.save(found_nothing, packed(labels), base=0, author="A", comment="")
    move = house.displays.move(house.crop, found_nothing)
    assert np.allclose(move.matrix[:3, 3], (9, 0, 0), atol=0.3)
    found = house.displays.lost_and_won(house.crop, 0, found_nothing, 1).sides
    assert found["hippocampus"]["total"].kept_mm3 > 0


def test_a_scan_with_more_voxels_than_a_browser_draws_is_reduced_before_it_is_turned(monkeypatch):
    monkeypatch.setattr("core.limits.MAX_VIEWER_VOXELS", 1000)
    affine = np.diag([1.0, 1, 1, 1])
    values = np.indices((20, 20, 20))[0].astype(np.float32)
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[4:8] = 1
    light = _light(CaseImages(Voxels(values), labels, affine))
    assert np.prod(light.shape) <= 1000
    assert light.labels.shape == light.shape
    at_mm = apply_affine(light.affine, np.argwhere(np.ones(light.shape, bool)))[:, 0]
    assert np.allclose(light.values.ravel(), at_mm)  # its values are the mm to the right
