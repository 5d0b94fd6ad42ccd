import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from core.settings import ROOT
from core.training.evaluation.metrics import compare, distances

masks = hnp.arrays(np.bool_, (5, 6, 4))
SPACING = (1.0, 2.0, 0.5)


def surface(mask):
    """Voxels with one of 6 neighbours outside, by counting."""
    padded = np.pad(mask, 1)
    steps = [step for axis in np.eye(3, dtype=int) for step in (axis, -axis)]
    return [
        index
        for index in np.argwhere(mask)
        if not all(padded[tuple(index + 1 + step)] for step in steps)
    ]


@settings(max_examples=60)
@given(a=masks, b=masks)
def test_distances_are_those_of_the_definition(a, b):
    if not a.any() or not b.any():
        assert distances(a, b, SPACING) == (None, None)
        return
    points = [np.array(surface(mask)) * SPACING for mask in (a, b)]
    apart = np.linalg.norm(points[0][:, None] - points[1][None], axis=2)
    there, back = apart.min(axis=1), apart.min(axis=0)
    hd95, asd = distances(a, b, SPACING)
    assert hd95 == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), abs=1e-5)
    assert asd == pytest.approx(np.concatenate([there, back]).mean(), abs=1e-5)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::FutureWarning")  # Project-MONAI/MONAI/issues/9059
def test_distances_are_monais():
    import torch
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from monai.metrics.surface_distance import compute_average_surface_distance

    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = (ndimage.gaussian_filter(rng.random((14, 12, 16)), 2) > 0.5 for _ in range(2))
        pair = [torch.from_numpy(mask[None, None].astype(np.uint8)) for mask in (a, b)]
        hd95 = compute_hausdorff_distance(*pair, True, percentile=95, spacing=list(SPACING))
        asd = compute_average_surface_distance(*pair, True, symmetric=True, spacing=list(SPACING))
        assert distances(a, b, SPACING) == pytest.approx((float(hd95), float(asd)), abs=1e-4)


@given(a=masks, b=masks)
def test_dice_is_symmetric_and_one_for_the_same(a, b):
    there, back = compare(a, b, SPACING), compare(b, a, SPACING)
    assert there["dice"] == pytest.approx(back["dice"])
    assert there["sensitivity"] == back["precision"]
    assert 0 <= there["dice"] <= 1
    assert compare(a, a, SPACING)["dice"] == 1


def test_volumes_have_their_unit_and_the_error_the_sign_of_the_mistake():
    truth = np.zeros((6, 6, 6), bool)
    truth[1:5, 1:5, 1:5] = True
    small = np.zeros_like(truth)
    small[1:5, 1:5, 1:3] = True
    figures = compare(small, truth, (1, 1, 2))
    assert (figures["volume_mm3"], figures["truth_mm3"]) == (64, 128)
    assert figures["volume_error_percent"] == -50
    assert (figures["sensitivity"], figures["precision"]) == (0.5, 1)
    assert compare(truth, small, (1, 1, 1))["volume_error_percent"] == 100


_NO_ACCOUNT = ["unshare", "--user", "--map-user=12345"]


@pytest.mark.long
@pytest.mark.skipif(
    subprocess.run([*_NO_ACCOUNT, "true"], capture_output=True, check=False).returncode != 0,
    reason="user namespaces are not allowed here",
)
def test_a_user_without_an_account_can_evaluate():
    """As in a container that was started with a number for a user."""
    environment = {k: v for k, v in os.environ.items() if k not in ("LOGNAME", "USER", "USERNAME")}
    script = "import core.training.evaluation.evaluate, core.training.fit"
    subprocess.run(
        [*_NO_ACCOUNT, sys.executable, "-c", script],
        cwd=ROOT, env=environment, check=True,
    )  # fmt: skip
