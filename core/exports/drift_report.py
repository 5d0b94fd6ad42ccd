"""A drift report as one HTML file that needs no network."""

import html
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from matplotlib.figure import Figure

from core.drift.comparison import Drift
from core.exports.report_page import report_page, svg_of, table
from core.measures.features import FEATURES, Values
from core.wording import counted

STATE_WORDS = {
    "quiet": "The scans look like those that the model was trained on.",
    "watch": "Something moved a little. Look again after the next cases.",
    "act": "The scans differ from those of the training. Check the scanner and the masks "
    "before you rely on the volumes.",
    "not enough yet": "There are too few cases to say anything.",
}
_HEADS = ("Feature", "Finding", "Shift (SD)", "Spread (times)", "Distance (0 to 1)", "q")
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
    reasons = "".join(f"<li>{html.escape(reason)}</li>" for reason in drift.reasons)
    rows = [
        (c.feature.name, c.finding, f"{c.shift_sd:+.2f}", f"{c.spread_ratio:.2f}",
         f"{c.distance:.2f}", f"{c.q_value:.2g}")
        for c in drift.comparisons
    ]  # fmt: skip
    unusual = [(names[index], feature, f"{far:.1f}") for index, far, feature in drift.unusual]
    pictures = _pictures(reference, window) if drift.comparisons else ""
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    body = f"""
<p>state: {drift.state}. {STATE_WORDS[drift.state]}</p>
<p>{counted(drift.window_cases, "case")} against
{drift.reference_cases} of the reference, made {made} UTC.</p>
<h2>What moved</h2><ul>{reasons}</ul>
<h2>Distributions</h2>
<p>Grey: reference. Green: these cases.</p>
{pictures}
<h2>All features</h2>
{table(_HEADS, rows, texts=2)}
<h2>The most unusual cases</h2>
{table(("Case", "In", "Distance (SD)"), unusual, texts=2)}
<p>Method: two-sample Kolmogorov-Smirnov test for each feature, Benjamini-Hochberg at 5 %
among the fifteen that can raise an alarm, and apart among the two of the raw values. Spread: the
standard deviation over that of the reference. A left-right flip cannot be seen this way.</p>
"""
    return report_page("Drift report", body)


def _pictures(reference: Sequence[Values], window: Sequence[Values]) -> str:
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
