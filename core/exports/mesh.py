"""Surfaces of the labels in mm, and a file of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import marching_cubes

from core.anatomy import LABEL_RGB, LABELS, NOTICE
from core.image.volume import box_around, cut_affine

# A mask's surface is a staircase; this much blur (voxels) lets the shape be seen and keeps
# the volume inside it. For the eye only: no measure is taken from a surface.
_SMOOTHING_VOXELS = 0.7


@dataclass(frozen=True, eq=False)
class Surface:
    """A closed triangle mesh.

    Attributes
    ----------
    vertices_mm : ndarray, shape (N, 3)
        RAS+.
    faces : ndarray of int, shape (M, 3)
        Corners, counter-clockwise seen from outside.
    """

    vertices_mm: NDArray[np.float64]
    faces: NDArray[np.int32]


def surface(inside: NDArray[np.bool_], affine: NDArray[np.float64]) -> Surface | None:
    """The surface of a mask by marching cubes (Lewiner 2003), or None where it is empty.

    Parameters
    ----------
    inside : ndarray of bool, shape (X, Y, Z)
    affine : ndarray, shape (4, 4)
        Indices to mm, RAS+.
    """
    box = box_around(inside)
    if box is None:
        return None
    inside, affine = inside[box], cut_affine(affine, box)
    field = np.pad(inside.astype(np.float32), 2)
    smooth = ndimage.gaussian_filter(field, _SMOOTHING_VOXELS)
    if smooth.max() > 0.5:  # a mask of a few voxels is smoothed away: keep its staircase
        field = smooth
    vertices, faces, _, _ = marching_cubes(field, 0.5)
    vertices_mm = (vertices - 2) @ affine[:3, :3].T + affine[:3, 3]
    if np.linalg.det(affine[:3, :3]) > 0:  # marching_cubes winds them the other way round
        faces = faces[:, ::-1]
    return Surface(vertices_mm, faces.astype(np.int32))


def label_surfaces(labels: NDArray[np.uint8], affine: NDArray[np.float64]) -> dict[str, Surface]:
    """Surfaces of the labels that are there, by name."""
    box = box_around(labels)
    if box is None:
        return {}
    labels, affine = labels[box], cut_affine(affine, box)
    surfaces = {name: surface(labels == value, affine) for name, value in LABELS.items()}
    return {name: s for name, s in surfaces.items() if s is not None}


def ply(surfaces: dict[str, Surface]) -> bytes:
    """All surfaces as one binary PLY file, in mm (RAS+), each vertex in its label's colour."""
    vertex = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
    face = np.dtype([("count", "u1"), ("corners", "<i4", 3)])
    vertices, faces, before = [], [], 0
    for name, s in surfaces.items():
        v = np.zeros(len(s.vertices_mm), vertex)
        v["xyz"], v["rgb"] = s.vertices_mm, LABEL_RGB[name]
        f = np.zeros(len(s.faces), face)
        f["count"], f["corners"] = 3, s.faces + before
        before += len(v)
        vertices.append(v)
        faces.append(f)
    header = "\n".join([
        "ply",
        "format binary_little_endian 1.0",
        f"comment HippoView: {', '.join(surfaces)} hippocampus, mm, RAS+. {NOTICE}",
        f"element vertex {before}",
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {colour}" for colour in ("red", "green", "blue")),
        f"element face {sum(len(f) for f in faces)}",
        "property list uchar int vertex_indices",
        "end_header",
        "",
    ])  # fmt: skip
    return header.encode("ascii") + b"".join(a.tobytes() for a in (*vertices, *faces))
