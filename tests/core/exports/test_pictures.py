"""Surfaces and slice strips."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from core.anatomy import LABEL_RGB
from core.cases.case import Case, CaseImages
from core.exports.mesh import label_surfaces, ply, surface
from core.exports.strip import labels_png, near_the_mask, place_words, strip_png
from core.image.voxels import Voxels
from core.wording import minus
from tests.scans import noise

REPORT = {"model": {"version": "1", "name": "m"}, "measures": {}, "warnings": []}
CASE = Case("HV-TEST01", "a", "2026-11-23T12:00:00+00:00", REPORT)


def ball(shape=(35, 50, 35), centre=(17, 25, 17), radius=9.0) -> np.ndarray:
    return radius >= np.linalg.norm(np.indices(shape).T - centre, axis=-1).T


def two_labels() -> np.ndarray:
    labels = ball().astype(np.uint8)
    labels[:, :25] *= 2
    return labels


def volume_of(s) -> float:
    a, b, c = (s.vertices_mm[s.faces[:, i]] for i in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize(
    "affine", [np.eye(4), np.diag([0.8, 1.2, 2.0, 1]), np.diag([-1.0, 1, 1, 1])]
)
def test_a_surface_is_closed_and_encloses_the_mask_in_mm(affine):
    inside = ball()
    s = surface(inside, affine)
    expected = inside.sum() * abs(np.linalg.det(affine))
    assert volume_of(s) == pytest.approx(expected, rel=0.05)  # positive: normals look outwards
    edges = np.sort(s.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    assert (counts == 2).all()


def test_a_surface_lies_where_the_voxels_are():
    affine = np.diag([2.0, 1, 1, 1])
    affine[:3, 3] = (-40, 10, 5)
    s = surface(ball(), affine)
    assert s.vertices_mm.mean(axis=0) == pytest.approx((-40 + 34, 35, 22), abs=0.5)


def test_a_single_voxel_still_has_a_surface_and_nothing_has_none():
    inside = np.zeros((5, 5, 5), bool)
    assert surface(inside, np.eye(4)) is None
    inside[2, 2, 2] = True
    assert len(surface(inside, np.eye(4)).faces) >= 4


def test_a_ply_file_holds_both_labels_in_their_colours():
    surfaces = label_surfaces(two_labels(), np.eye(4))
    content = ply(surfaces)
    head, body = content.split(b"end_header\n", 1)
    count = sum(len(s.vertices_mm) for s in surfaces.values())
    assert f"element vertex {count}".encode() in head
    assert b"Not for diagnosis" in head
    vertices = np.frombuffer(body, [("xyz", "<f4", 3), ("rgb", "u1", 3)], count)
    assert {tuple(c) for c in vertices["rgb"].tolist()} == set(LABEL_RGB.values())
    assert len(body) == count * 15 + sum(len(s.faces) for s in surfaces.values()) * 13


def picture(convention, labels=None) -> np.ndarray:
    values = noise() / 10
    values[:17] += 800  # bright on the left of the patient: low indices of a RAS volume
    images = CaseImages(Voxels(values), two_labels() if labels is None else labels, np.eye(4))
    png = strip_png(CASE, images, convention)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_the_strip_shows_both_outlines():
    pixels = picture("radiological").reshape(-1, 3)
    for colour in LABEL_RGB.values():
        assert (np.abs(pixels - colour).max(axis=1) < 12).sum() > 200


def test_the_strip_turns_with_the_convention():
    """The first picture is coronal: the bright left of the patient changes its place."""
    for convention, bright in (("radiological", "right"), ("neurological", "left")):
        page = picture(convention)
        first = page[200:260, 40:300].mean(axis=(0, 2))
        left, right = first[:100].mean(), first[-100:].mean()
        assert ("left" if left > right else "right") == bright


def test_the_strip_of_an_empty_mask_shows_the_whole_volume():
    page = picture("radiological", np.zeros((35, 50, 35), np.uint8))
    assert page.std() > 10
    # The line above the last one says that nothing was found.
    line = slice(-78, -40)
    assert not np.array_equal(page[line], picture("radiological")[line])


def test_a_sagittal_slice_of_a_crop_has_a_place_and_no_side():
    shown = CaseImages(Voxels(noise()), two_labels(), np.diag([1.0, 1, 1, 1]))
    shown.affine[:3, 3] = (-30, -30, 0)
    part = near_the_mask(shown, 5.0)
    assert [place_words(part, cut, 10) for cut in (0, 1)] == [minus("x -20 mm"), "P 20 mm"]
    head = replace(part, is_crop=False)
    assert place_words(head, 0, 10) == "L 20 mm"


def test_the_picture_of_the_labels_names_them_in_their_colours():
    png = labels_png(CaseImages(Voxels(noise()), two_labels(), np.eye(4)))
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).reshape(-1, 3).astype(int)
    for colour in LABEL_RGB.values():
        assert (np.abs(pixels - colour).max(axis=1) < 12).sum() > 100
