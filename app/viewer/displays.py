"""A case as the viewer shows it on another grid, to look at and not to correct.

Upright along the head's own axes, across the long axis of the hippocampi, or an earlier scan of the
patient moved onto a later one.
"""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.viewer.files import (
    ViewerFile,
    ViewerFiles,
    factors_of,
    findings_of,
    reduced_affine,
    reduced_labels,
    windows_of,
    write_volume,
)
from core.anatomy import LABELS, LETTER_RGB, Convention
from core.cases.case import MODEL_MASK, CaseImages
from core.cases.displays import (
    MOST_TILT_DEG,
    Grid,
    Plane,
    axes_of,
    grid_along,
    labels_on,
    points_of,
    scan_on,
)
from core.cases.moved import Compared, lost_and_won, move_of
from core.errors import InputError
from core.exports.slice_picture import slice_png
from core.image import voxels
from core.image.registration import Move
from core.image.voxels import Voxels, block_means

View = Literal["scanned", "upright", "long-axis"]
VIEWS: tuple[View, ...] = ("scanned", "upright", "long-axis")
_PLANES: dict[View, Plane] = {"upright": "coronal", "long-axis": "long axis"}
_NO_FACTORS = (1, 1, 1)
_BY_MODEL = [str(MODEL_MASK)] * 2
_CORRECT = "To correct the mask, show the scan as it was scanned."
_WORDS: dict[View, str] = {
    "scanned": "To look at. To correct this mask, open the case on the Cases page.",
    "upright": f"Upright along the head's own axes, resampled for the eye. {_CORRECT}",
    "long-axis": "Coronal slices stand across the long axis of the hippocampi, axial ones along "
    f"it; resampled for the eye. {_CORRECT}",
}
_ASKEW = (
    f"This head lies askew by more than {MOST_TILT_DEG:.0f} degrees: it is shown as it was scanned."
)


def display_name(case_id: str, view: View) -> str:
    """The case as the viewer calls it in a view: nothing that is drawn can be taken for the case's.

    >>> display_name("HV-7F3K2M", "upright")
    'HV-7F3K2M upright'
    """
    return f"{case_id} {view}"


class Displays:
    """Files of cases on other grids, beside those of `ViewerFiles`, in the same cache.

    Each raises NotFoundError; the views InputError for a crop, whose axes are not known.
    """

    def __init__(self, files: ViewerFiles) -> None:
        self._files = files

    def scan(self, case_id: str, view: View) -> ViewerFile:
        """The scan on the grid of a view."""
        if view == "scanned":
            return self._files.scan(case_id)

        def make(to: Path) -> None:
            images = _light(self._files.images(case_id, MODEL_MASK))
            grid, _ = self._grid(case_id, view)
            _write_scan(images, scan_on(images, grid), grid.affine, to)

        return self._files.file(case_id, f"scan-{view}.nii.gz", make)

    def mask(self, case_id: str, version: int, view: View) -> ViewerFile:
        """A version of the mask on the grid of a view."""
        if view == "scanned":
            return self._files.mask(case_id, version)

        def make(to: Path) -> None:
            grid, _ = self._grid(case_id, view)
            _write_labels(self._labels(case_id, version, grid), grid.affine, to)

        return self._files.file(case_id, f"mask-{view}-{version}.nii.gz", make)

    def about(self, case_id: str, version: int, view: View) -> dict[str, Any]:
        """`ViewerFiles.about`, of a view."""
        about = self._files.about(case_id, version) | {"viewing": True}
        if view == "scanned":
            words = filter(None, (about["reduced"], _WORDS[view]))
            return about | {"reduced": " ".join(words)}
        grid, is_askew = self._grid(case_id, view)
        images = CaseImages(
            Voxels(np.zeros(grid.shape, np.uint8)), self._labels(case_id, version, grid),
            grid.affine,
        )  # fmt: skip
        return _on(about, grid) | {
            "reduced": _ASKEW if is_askew else _WORDS[view],
            "findings": findings_of(images, about["head"], _NO_FACTORS),
        }

    def picture(
        self, case_id: str, version: int, view: View, axis: int, index: int,
        convention: Convention, opacity: float,
    ) -> bytes:  # fmt: skip
        """One slice of a view as PNG, as `ViewerFiles.picture`."""
        if view == "scanned":
            return self._files.picture(case_id, version, axis, index, convention, opacity)
        grid, _ = self._grid(case_id, view)
        images = self._files.images(case_id, version)
        shown = CaseImages(
            Voxels(scan_on(_light(images), grid)), self._labels(case_id, version, grid), grid.affine
        )
        return slice_png(
            shown, axis, index, convention=convention, opacity=opacity,
            window=next(iter(windows_of(images).values())), letter_rgb=LETTER_RGB,
        )  # fmt: skip

    # An earlier scan, moved onto a later one

    def move(self, earlier_id: str, later_id: str) -> Move:
        """The rigid move from the earlier scan to the later one, found once.

        Raises
        ------
        InputError
            One is a head and the other a crop, or they could not be laid onto each other.
        """

        def make(to: Path) -> None:
            later, earlier = (
                _light(self._files.images(each, self._laid_by(each)))
                for each in (later_id, earlier_id)
            )
            heads = self._head_if_any(later_id), self._head_if_any(earlier_id)
            move = move_of(later, heads[0], earlier, heads[1])
            kept = {"matrix": move.matrix.tolist(), "residual_mm": move.residual_mm}
            to.write_text(json.dumps(kept))

        name = f"move-{self._onto(earlier_id, later_id)}.json"
        with self._files.pairs:
            file = self._files.kept.opened(earlier_id, name, make)
        with file:
            kept = json.load(file)
        return Move(np.array(kept["matrix"], np.float64), float(kept["residual_mm"]))

    def moved_scan(self, earlier_id: str, later_id: str) -> ViewerFile:
        """The earlier scan on the later one's grid in the viewer."""

        def make(to: Path) -> None:
            images = _light(self._files.images(earlier_id, MODEL_MASK))
            grid = self._shown_grid(later_id)
            move = self.move(earlier_id, later_id)
            _write_scan(images, scan_on(images, grid, move.matrix), grid.affine, to)

        with self._files.pairs:
            name = f"scan-onto-{self._onto(earlier_id, later_id)}.nii.gz"
            return self._files.file(earlier_id, name, make)

    def moved_mask(self, earlier_id: str, version: int, later_id: str) -> ViewerFile:
        """A version of the earlier mask on the later scan's grid in the viewer."""

        def make(to: Path) -> None:
            grid = self._shown_grid(later_id)
            _write_labels(self._moved_labels(earlier_id, version, later_id, grid), grid.affine, to)

        with self._files.pairs:
            name = f"mask-onto-{self._onto(earlier_id, later_id)}-{version}.nii.gz"
            return self._files.file(earlier_id, name, make)

    def moved_about(self, earlier_id: str, version: int, later_id: str) -> dict[str, Any]:
        """`ViewerFiles.about` of the earlier scan, on the later one's grid."""
        about = self._files.about(earlier_id, version)
        moved = _on(about, self._shown_grid(later_id))
        return moved | {"viewing": True, "reduced": "", "findings": []}

    def lost_and_won(
        self, earlier_id: str, earlier_version: int, later_id: str, later_version: int
    ) -> Compared:
        """What was lost and won, counted in the later scan's own voxels."""
        later = self._files.images(later_id, later_version)
        earlier = self._files.images(earlier_id, earlier_version)
        move = self.move(earlier_id, later_id)
        return lost_and_won(later, self._head_if_any(later_id), earlier, move)

    def _moved_labels(
        self, earlier_id: str, version: int, later_id: str, grid: Grid
    ) -> NDArray[np.uint8]:
        images = self._files.images(earlier_id, version)
        move = self.move(earlier_id, later_id)
        return labels_on(images.labels, images.affine, grid, move.matrix)

    def _shown_grid(self, case_id: str) -> Grid:
        about = self._files.about(case_id, MODEL_MASK)
        x, y, z = about["shape"]
        return Grid((x, y, z), np.array(about["affine"], np.float64))

    def _labels(self, case_id: str, version: int, grid: Grid) -> NDArray[np.uint8]:
        images = self._files.images(case_id, version)
        return labels_on(images.labels, images.affine, grid)

    def _grid(self, case_id: str, view: View) -> tuple[Grid, bool]:
        """The grid of a view, the same for all versions of the mask; and whether it is that of the
        scan as the head lies too far askew."""
        images, head = self._files.images(case_id, MODEL_MASK), self._head(case_id)
        points = points_of(images.labels, images.affine, head)
        plane = _PLANES[view] if points else "coronal"
        grid = grid_along(images.shape, images.affine, axes_of(head, points, plane))
        return (grid, False) if grid else (self._shown_grid(case_id), True)

    def _laid_by(self, case_id: str) -> int:
        """The version of the mask by which a crop is laid onto another: the model's, or where that
        is empty the one that a person drew in its place."""
        case = self._files.cases.get(case_id)
        if case.mask_version == MODEL_MASK or case.report.get("head"):
            return MODEL_MASK
        is_empty = not self._files.images(case_id, MODEL_MASK).labels.any()
        return case.mask_version if is_empty else MODEL_MASK

    def _onto(self, earlier_id: str, later_id: str) -> str:
        """The later scan as names of kept files have it, with the masks that lay the two."""
        masks = [str(self._laid_by(each)) for each in (earlier_id, later_id)]
        return f"{later_id}{'' if masks == _BY_MODEL else f'-by-{masks[0]}-{masks[1]}'}"

    def _head(self, case_id: str) -> dict[str, Any]:
        head = self._head_if_any(case_id)
        if head is None:
            raise InputError("This case is a crop, not a head", code="no_sides")
        return head

    def _head_if_any(self, case_id: str) -> dict[str, Any] | None:
        """What was found of a head; None of a crop."""
        head = self._files.cases.get(case_id).report.get("head")
        return dict(head) if head else None


def _light(images: CaseImages) -> CaseImages:
    """A scan that fits into memory as float32: reduced where the viewer reduces it."""
    factors = factors_of(images.shape, images.affine)
    if factors == _NO_FACTORS:
        return images
    means, labels = block_means(images.voxels, factors), reduced_labels(images.labels, factors)
    return CaseImages(Voxels(means), labels, reduced_affine(images.affine, factors))


def _on(about: dict[str, Any], grid: Grid) -> dict[str, Any]:
    shape = list(grid.shape)
    return about | {
        "shape": shape, "scan_shape": shape, "factors": list(_NO_FACTORS),
        "affine": grid.affine.tolist(),
    }  # fmt: skip


def _write_scan(
    images: CaseImages, values: NDArray[np.float32], affine: NDArray[np.float64], to: Path
) -> None:
    """A resampled scan, in whole numbers where the scan has such."""
    shown = Voxels(values.round() if voxels.is_whole(images.voxels) else values)
    window = next(iter(windows_of(images).values()))
    write_volume(shown, voxels.smallest_type(shown), affine, window, to)


def _write_labels(labels: NDArray[np.uint8], affine: NDArray[np.float64], to: Path) -> None:
    write_volume(Voxels(labels), np.uint8, affine, (0, max(LABELS.values())), to)
