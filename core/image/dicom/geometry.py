"""Where a series' slices lie: their order and one affine, from their own places alone."""

import numpy as np
from nibabel.affines import from_matvec
from numpy.typing import NDArray

from core import limits
from core.errors import InputError
from core.image.dicom.headers import Frame

# DICOM's patient axes run to the left, the back and the top; NIfTI's to the right, front and top.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SAME_DIRECTION = 1e-3
# Shares of the distance between two slices.
_DOUBLED, _UNEVEN, _MOVED_ASIDE = 0.02, 0.05, 0.1
# A gantry that is tilted by this much shifts the slices of a head by a voxel.
_LARGEST_TILT_DEG = 0.5


def arranged(frames: list[Frame]) -> tuple[list[Frame], NDArray[np.float64]]:
    """Order the slices of a series, and say where their voxels lie.

    Returns
    -------
    frames : list of Frame
        Along the normal, which is the cross product of the directions of row and column.
    affine : ndarray, shape (4, 4)
        From column, row and slice to mm, RAS+.

    Raises
    ------
    InputError
        The slices are no regular stack; the message names the slice. Nothing is interpolated.
    """
    if len(frames) < limits.MIN_DICOM_SLICES:
        raise InputError(
            f"The series has only {len(frames)} slices",
            f"At least {limits.MIN_DICOM_SLICES} are needed: export the whole series.",
            code="dicom_few_slices",
        )
    _check_alike(frames)
    first = frames[0]
    normal = np.cross(first.row, first.column)
    ordered = sorted(frames, key=lambda frame: (float(frame.position @ normal), frame.number))
    at_mm = np.array([frame.position @ normal for frame in ordered])
    steps = np.diff(at_mm)
    step = float(np.median(steps))
    _check_doubled(ordered, steps)
    _check_even(ordered, steps, step)
    _check_straight(ordered, normal, step)
    along = (ordered[-1].position - ordered[0].position) / (len(ordered) - 1)
    matrix = np.column_stack([first.row * first.spacing[1], first.column * first.spacing[0], along])
    return ordered, _LPS_TO_RAS @ from_matvec(matrix, ordered[0].position)


def _check_alike(frames: list[Frame]) -> None:
    first = frames[0]
    if len({uid for f in frames if (uid := f.header.values.get("FrameOfReferenceUID"))}) > 1:
        raise InputError(
            "The slices lie in two frames of reference: the patient was moved between them",
            "Their places cannot be compared: export the series of one position alone.",
            code="dicom_frames_of_reference",
        )
    for frame in frames[1:]:
        if not all(
            np.allclose(mine, other, atol=_SAME_DIRECTION)
            for mine, other in ((frame.row, first.row), (frame.column, first.column))
        ):
            raise InputError(
                f"Slice {frame.number} lies in another direction than slice {first.number}",
                "The series holds several stacks: export each as a series of its own.",
                code="dicom_orientations",
            )
        if not np.allclose(frame.spacing, first.spacing, rtol=1e-3):
            raise InputError(
                f"Slice {frame.number} has another pixel spacing than slice {first.number}",
                "Export the original images.",
                code="dicom_spacings",
            )


def _check_doubled(ordered: list[Frame], steps: NDArray[np.float64]) -> None:
    apart = steps > _DOUBLED * float(steps.max(initial=0.0))
    places = int(apart.sum()) + 1
    if places == len(ordered):
        return
    if len(ordered) % places == 0 and places >= limits.MIN_DICOM_SLICES:
        times = len(ordered) // places
        edges = np.flatnonzero(apart)
        if np.array_equal(edges, np.arange(times - 1, len(ordered) - 1, times)):
            raise InputError(
                f"Each of the {places} slices is there {times} times",
                "The series holds several echoes, time points or directions: export one of them "
                "as a series of its own.",
                code="dicom_several_volumes",
            )
    number = ordered[int(np.flatnonzero(~apart)[0]) + 1].number
    raise InputError(
        f"Two slices lie at the same place: slice {number} is there twice",
        "Export the series again, each slice once.",
        code="dicom_doubled_slice",
    )


def _check_even(ordered: list[Frame], steps: NDArray[np.float64], step: float) -> None:
    for index, one in enumerate(steps):
        between = f"slices {ordered[index].number} and {ordered[index + 1].number}"
        times = one / step
        if abs(times - 1) <= _UNEVEN:
            continue
        if times > 1.5 and abs(times - round(times)) <= _UNEVEN * round(times):
            missing = round(times) - 1
            what = "a slice is" if missing == 1 else f"{missing} slices are"
            raise InputError(
                f"Between {between} {what} missing", "Export the whole series again.",
                code="dicom_missing_slice",
            )  # fmt: skip
        raise InputError(
            f"The slices are unevenly spaced: {one:.2f} mm between {between}, {step:.2f} mm "
            "between the others",
            "Send a series with slices at one distance.",
            code="dicom_uneven_slices",
        )


def _check_straight(ordered: list[Frame], normal: NDArray[np.float64], step: float) -> None:
    """Refuse slices that are shifted sideways: all alike (a tilted gantry), or one."""
    positions = np.array([frame.position for frame in ordered])
    along = (positions[-1] - positions[0]) / (len(ordered) - 1)
    aside = along - normal * float(along @ normal)
    tilt_deg = float(np.degrees(np.arctan2(np.linalg.norm(aside), abs(along @ normal))))
    if tilt_deg > _LARGEST_TILT_DEG:
        raise InputError(
            f"The slices are sheared by {tilt_deg:.1f} degrees (a tilted gantry)",
            "Send a series that was acquired or reformatted without a tilt.",
            code="dicom_tilt",
        )
    expected = positions[0] + np.arange(len(ordered))[:, None] * along
    off = np.linalg.norm(positions - expected, axis=1)
    worst = int(off.argmax())
    if off[worst] > max(_MOVED_ASIDE * step, _MOVED_ASIDE):
        raise InputError(
            f"Slice {ordered[worst].number} lies {off[worst]:.1f} mm beside its place in the stack",
            "Export the series again.",
            code="dicom_moved_slice",
        )
