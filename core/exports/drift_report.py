"""A drift report as one HTML file that needs no network."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from core.drift.comparison import Drift
from core.exports.report_page import report_page, svg_of
from core.measures.features import FEATURES, Values
from core.wording import counted

STATE_WORDS = {
    "quiet": "The scans look like those that the model was trained on.",
    "watch": "Something moved a little. Look again after the next cases.",
    "act": "The scans differ from those of the training. Check the scanner and the masks "
    "before you rely on the volumes.",
    "not enough yet": "There are too few cases to say anything.",
}
_REFERENCE, _WINDOW = "#8A8F98", "#0B6B5A"


def report_html(
    drift: Drift, reference: Sequence[Values], window: Sequence[Values], names: Sequence[str]
) -> bytes:
    """The report.

    Parameters
    ----------
    names
        Of the window's cases, in its order: case ids, or file names on the command line.
    """
    features = [
        (c.feature.name, c.finding, f"{c.shift_sd:+.2f}", f"{c.spread_ratio:.2f}",
         f"{c.distance:.2f}", f"{c.q_value:.2g}")
        for c in drift.comparisons
    ]  # fmt: skip
    unusual = [(names[index], feature, f"{far:.1f}") for index, far, feature in drift.unusual]
    return report_page(
        "core/exports/drift_report.html",
        "Drift report",
        drift=drift,
        state_words=STATE_WORDS[drift.state],
        window_cases=counted(drift.window_cases, "case"),
        made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        pictures=_pictures(reference, window) if drift.comparisons else "",
        features=features,
        unusual=unusual,
    )


def _pictures(reference: Sequence[Values], window: Sequence[Values]) -> Markup:
    """Histograms of all features as one SVG, inline."""
    figure = Figure(figsize=(11, 11), layout="constrained")
    axes = figure.subplots(6, 3).ravel()
    for axis, feature in zip(axes, FEATURES, strict=False):
        before = np.array([case[feature.key] for case in reference])
        after = np.array([case[feature.key] for case in window])
        low, high = np.percentile(np.concatenate([before, after]), [0.5, 99.5])
        bins = np.linspace(low, high + 1e-6, 25)
        for values, colour in ((before, _REFERENCE), (after, _WINDOW)):
            axis.hist(
                np.clip(values, low, high), bins, density=True, color=colour, alpha=0.6,
            )  # fmt: skip
        axis.set_title(feature.name, fontsize=9)
        axis.set_yticks([])
        axis.tick_params(labelsize=8)
    for axis in axes[len(FEATURES) :]:
        axis.set_visible(False)
    return svg_of(figure)
