"""Numbers that describe an image, to compare incoming scans with those of the training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TINY = 1e-9
_BINS = 64


@dataclass(frozen=True)
class Feature:
    """One number that describes an image.

    Attributes
    ----------
    key : str
        Stable, for programs.
    name : str
        In words.
    lower, higher : str
        How the scans differ where it went down or up, in words after "the scans".
    note : str
        Why it is reported but never an alarm; empty where it can raise one.
    least_sd : float
        Standard deviation that shifts are counted in at least: the scans of a reference may all
        have the same value.
    """

    key: str
    name: str
    lower: str
    higher: str
    note: str = ""
    least_sd: float = _TINY


_NORMALISED = "the model normalises raw values, masks do not depend on them"
FEATURES = (
    Feature("log_mean", "mean intensity", "are darker in raw values",
            "are brighter in raw values", _NORMALISED),
    Feature("log_sd", "intensity range", "have a smaller raw range",
            "have a larger raw range", _NORMALISED),
    Feature("contrast", "contrast of light to dark", "have less contrast in light tissue",
            "have more contrast in light tissue"),
    Feature("midtone", "place of the middle grey", "are darker in the middle tones",
            "are lighter in the middle tones"),
    Feature("skew", "skewness", "lean to dark values", "lean to light values"),
    Feature("kurtosis", "kurtosis", "have fewer extreme values", "have more extreme values"),
    Feature("entropy", "entropy", "use fewer grey levels", "use more grey levels"),
    Feature("sharpness", "sharpness", "are blurred", "are sharper or noisier"),
    Feature("gradient", "edge strength", "have weaker edges", "have stronger edges"),
    Feature("noise", "noise", "are smoother", "are noisier"),
    Feature("bias", "shading across the image", "are more even", "are shaded from side to side"),
    Feature("step_x", "change from left to right", "are smoother from left to right",
            "are rougher from left to right"),
    Feature("step_y", "change from back to front", "are smoother from back to front",
            "are rougher from back to front"),
    Feature("step_z", "change from below to above", "are smoother from below to above",
            "are rougher from below to above"),
    Feature("size_x", "width (mm)", "are narrower", "are wider"),
    Feature("size_y", "depth (mm)", "are shorter from back to front",
            "are longer from back to front"),
    Feature("size_z", "height (mm)", "are lower", "are higher"),
)  # fmt: skip
Values = dict[str, float]


def features_of(data: NDArray[np.float32], spacing_mm: Sequence[float]) -> Values:
    """The features of one image.

    Parameters
    ----------
    data : ndarray of float32, shape (X, Y, Z)
        RAS+, finite, not constant.
    spacing_mm
        Along the same axes.
    """
    values = data.astype(np.float64)
    mean, sd = float(values.mean()), float(values.std()) + _TINY
    scaled = (values - mean) / sd
    ordered = np.sort(scaled, axis=None)  # once, for percentiles and histogram
    at = np.array([0.01, 0.05, 0.1, 0.5, 0.9, 0.95, 0.99]) * (ordered.size - 1)
    p1, p5, p10, p50, p90, p95, p99 = np.interp(at, np.arange(ordered.size), ordered)
    inner = np.searchsorted(ordered, np.linspace(p1, p99, _BINS + 1)[1:-1])
    counts = np.diff(inner, prepend=0, append=ordered.size)
    shares = counts[counts > 0] / ordered.size
    gradients = [np.diff(scaled, axis=axis) for axis in range(3)]
    steps = [float(np.abs(gradient).mean()) for gradient in gradients]
    corners = np.diff(np.diff(gradients[0], axis=1), axis=2)
    # With the edge voxels repeated beyond the edges.
    laplacian = np.zeros_like(scaled)
    for axis, gradient in enumerate(gradients):
        laplacian += np.diff(gradient, axis=axis, prepend=0, append=0)
    squared = scaled * scaled
    size = np.array(data.shape) * np.array(spacing_mm)
    return {
        "log_mean": _log(abs(mean)),
        "log_sd": _log(sd),
        "contrast": float((p90 - p50) / (p50 - p10 + _TINY)),
        "midtone": float((p50 - p5) / (p95 - p5 + _TINY)),
        "skew": float((squared * scaled).mean()),
        "kurtosis": float((squared * squared).mean()),
        "entropy": float(-(shares * np.log2(shares)).sum()),
        "sharpness": _log(float((laplacian * laplacian).mean())),
        "gradient": _log(sum(float((g**2).mean()) for g in gradients)),
        # The standard deviation of the eight-corner difference is sqrt(8) that of noise.
        "noise": _log(float(np.median(np.abs(corners))) / 0.6745 / math.sqrt(8)),
        "bias": _shading(scaled),
        "step_x": _log(steps[0]),
        "step_y": _log(steps[1]),
        "step_z": _log(steps[2]),
        "size_x": float(size[0]),
        "size_y": float(size[1]),
        "size_z": float(size[2]),
    }


def _shading(scaled: NDArray[np.float64]) -> float:
    """Range of the plane that fits the image best, in standard deviations of the image."""
    grids = [np.linspace(-1, 1, n) for n in scaled.shape]
    slopes = [
        float((scaled.mean(axis=tuple(a for a in range(3) if a != axis)) * grid).sum())
        / float((grid**2).sum() + _TINY)
        for axis, grid in enumerate(grids)
    ]
    return 2 * math.hypot(*slopes)


def _log(value: float) -> float:
    return math.log(value + _TINY)
