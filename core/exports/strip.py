"""The slice strip: slices through the hippocampus with the mask's outline, as one picture."""

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from core.anatomy import CONVENTION_WORDS, LABEL_COLOURS, LABELS, NOTICE, Convention
from core.cases.case import Case, CaseImages, confidence_of
from core.image.volume import box_around, cut_affine
from core.limits import MAX_CROP_MM
from core.measures.measure import why_too_small

_COLUMNS = 6
_MARGIN_MM = 20.0
_DPI = 150
_WIDTH_IN = 12.0
# For words above and below the pictures, whatever the figure's height.
_TOP_IN, _BOTTOM_IN, _REMARK_IN = 0.5, 0.4, 0.2
_REMARK_COLOUR = "#ffe08a"
# Name, axis that is cut, axes drawn across and up, letters at their two ends.
_VIEWS = (
    ("Coronal", 1, 0, 2, "LR", "IS"),
    ("Sagittal", 0, 1, 2, "PA", "IS"),
    ("Axial", 2, 0, 1, "LR", "PA"),
)
_ENDS = (("L", "R"), ("P", "A"), ("I", "S"))


def strip_png(case: Case, images: CaseImages, convention: Convention) -> bytes:
    """Draw six slices in each of the three directions, evenly spaced through the mask.

    Where the mask is empty they run through the whole volume.
    """
    values, labels, affine = _near_the_mask(images)
    spacing = voxel_sizes(affine)
    low, high = np.percentile(values, (2, 98))
    extents = np.array(values.shape) * spacing
    heights = [extents[up] / extents[across] for _, _, across, up, _, _ in _VIEWS]
    height_in = 2.0 * sum(heights) + 1.0
    figure = Figure(figsize=(_WIDTH_IN, height_in), dpi=_DPI, facecolor="black")
    FigureCanvasAgg(figure)
    remark = _remark(case)
    grid = figure.add_gridspec(
        3, _COLUMNS, height_ratios=heights, left=0.02, right=0.98, top=1 - _TOP_IN / height_in,
        bottom=(_BOTTOM_IN + _REMARK_IN * bool(remark)) / height_in, wspace=0.06, hspace=0.12,
    )  # fmt: skip
    for row, (name, cut, across, up, side_letters, up_letters) in enumerate(_VIEWS):
        mirrored = across == 0 and convention == "radiological"
        letters = (side_letters[::-1] if mirrored else side_letters) + up_letters
        for column, index in enumerate(_slices(labels, cut)):
            axes = figure.add_subplot(grid[row, column])
            extent = (0.0, float(extents[across]), 0.0, float(extents[up]))
            axes.imshow(
                values.take(index, cut).T, cmap="gray", vmin=low, vmax=max(high, low + 1e-6),
                origin="lower", extent=extent, interpolation="nearest",
            )  # fmt: skip
            _outline(axes, np.take(labels, index, cut).T, extent)
            if mirrored:
                axes.invert_xaxis()
            axes.set_axis_off()
            _write_letters(axes, letters)
            middle = [(n - 1) / 2 for n in values.shape]
            middle[cut] = index
            position_mm = (affine[:3, :3] @ middle + affine[:3, 3])[cut]
            axes.set_title(
                f"{name}  {_ENDS[cut][int(position_mm >= 0)]} {abs(position_mm):.0f} mm",
                color="white", fontsize=8, pad=3, y=1.0,  # found by itself, y costs the ticks
            )  # fmt: skip
    _write_captions(figure, case, convention)
    out = io.BytesIO()
    figure.savefig(out, format="png", facecolor="black", metadata={"Software": "HippoView"})
    return out.getvalue()


def labels_png(images: CaseImages) -> bytes:
    """Both labels filled and named on the sagittal slice that shows most of them."""
    inside = images.labels > 0
    index = int(inside.sum(axis=(1, 2)).argmax())
    values = images.values
    spacing = voxel_sizes(images.affine)
    width, height = (np.array(images.shape) * spacing)[1:]
    extent = (0.0, float(width), 0.0, float(height))
    figure = Figure(figsize=(4.6, 4.6 * height / width), dpi=_DPI, facecolor="black")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    low, high = np.percentile(values, (2, 98))
    axes.imshow(
        values[index].T, cmap="gray", vmin=low, vmax=high, origin="lower", extent=extent,
        interpolation="bilinear",
    )  # fmt: skip
    labels = images.labels[index].T
    _outline(axes, labels, extent)
    for name, value in LABELS.items():
        up, across = (np.argwhere(labels == value).mean(axis=0) + 0.5) * spacing[[2, 1]]
        axes.text(
            across, up, name, color=LABEL_COLOURS[name], fontsize=12, fontweight="bold",
            ha="center", va="center", path_effects=[withStroke(linewidth=3, foreground="black")],
        )  # fmt: skip
    _write_letters(axes, "PAIS")
    out = io.BytesIO()
    figure.savefig(out, format="png", facecolor="black")
    return out.getvalue()


def _near_the_mask(
    images: CaseImages,
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float64]]:
    """Of a head, the part around both hippocampi; a crop whole."""
    labels, affine, box = images.labels, images.affine, None
    spacing = voxel_sizes(affine)
    if max(np.array(images.shape) * spacing) > MAX_CROP_MM:
        box = box_around(labels, int(_MARGIN_MM / min(spacing)))
    if box is None:
        return images.values, labels, affine
    return images.voxels.read_float32(box), labels[box], cut_affine(affine, box)


def _slices(labels: NDArray[np.uint8], axis: int) -> list[int]:
    others = tuple(a for a in range(3) if a != axis)
    inside = np.flatnonzero((labels > 0).any(axis=others))
    first, last = (inside[0], inside[-1]) if inside.size else (0, labels.shape[axis] - 1)
    # Not the outermost slices: they show a few voxels at most.
    shares = (np.arange(_COLUMNS) + 0.5) / _COLUMNS
    chosen = [int(i) for i in np.round(first + shares * (last - first))]
    return chosen[::-1] if axis == 1 else chosen  # coronal: from the front to the back


def _outline(
    axes: Axes, labels: NDArray[np.uint8], extent: tuple[float, float, float, float]
) -> None:
    height, width = labels.shape
    x = (np.arange(width) + 0.5) * extent[1] / width
    y = (np.arange(height) + 0.5) * extent[3] / height
    for name, value in LABELS.items():
        inside = (labels == value).astype(float)
        if inside.any():
            axes.contour(x, y, inside, levels=[0.5], colors=LABEL_COLOURS[name], linewidths=1.4)


def _write_letters(axes: Axes, letters: str) -> None:
    places = ((0.02, 0.5, "left", "center"), (0.98, 0.5, "right", "center"),
              (0.5, 0.02, "center", "bottom"), (0.5, 0.98, "center", "top"))  # fmt: skip
    for letter, (x, y, across, up) in zip(letters, places, strict=True):
        axes.text(
            x, y, letter, transform=axes.transAxes, ha=across, va=up,
            color="#ffe08a", fontsize=8, fontweight="bold",
            path_effects=[withStroke(linewidth=2, foreground="black")],
        )  # fmt: skip


def _write_captions(figure: Figure, case: Case, convention: Convention) -> None:
    inch = 1 / figure.get_figheight()
    for x, name in ((0.02, "anterior"), (0.10, "posterior")):
        figure.text(
            x,
            1 - 0.1 * inch,
            f"\N{BLACK SQUARE} {name}",
            color=LABEL_COLOURS[name],
            fontsize=9,
            va="top",
        )
    model = case.report["model"]
    figure.text(
        0.98, 1 - 0.1 * inch, f"{case.id}   HippoView model {model['version']} ({model['name']})",
        color="white", fontsize=9, ha="right", va="top",
    )  # fmt: skip
    if remark := _remark(case):
        figure.text(0.02, 0.32 * inch, remark, color=_REMARK_COLOUR, fontsize=9)
    figure.text(0.02, 0.12 * inch, CONVENTION_WORDS[convention], color="white", fontsize=9)
    figure.text(0.98, 0.12 * inch, NOTICE, color="white", fontsize=9, ha="right")


def _remark(case: Case) -> str:
    """What must be known of the mask wherever its picture goes."""
    confidence = {"check": "Check the mask", "unreliable": "The mask is unreliable"}
    small = why_too_small(case.report["measures"])
    words = [confidence.get(confidence_of(case.report), ""), f"Volume {small}" if small else ""]
    return ". ".join(word for word in words if word)
