"""A drift report as one HTML file that needs no network."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from core.drift.chains import Chain
from core.drift.comparison import Drift
from core.drift.words import count_words, rule_words, since_words
from core.exports.report_page import report_page, svg_of
from core.limits import BASELINE_HEADS
from core.measures.features import Feature, Values
from core.wording import counted

STATE_WORDS = {
    "quiet": "The scans look like those of the reference.",
    "watch": "Something moved a little. Look again after the next cases.",
    "act": "The scans differ from those of the reference. Check the scanner and the masks "
    "before you rely on the volumes.",
    "not enough yet": "There are too few cases to say anything.",
    "learning the baseline": f"The first {BASELINE_HEADS} heads that are accepted or corrected "
    "become the baseline of later ones.",
}
_REFERENCE, _WINDOW = "#8A8F98", "#0B6B5A"
_COLUMNS = 3


@dataclass(frozen=True)
class Part:
    """What a report says of one kind of scans.

    Attributes
    ----------
    title : str
        ``Crops`` or ``Heads``.
    names : sequence of str
        Of the window's cases, in its order: case ids, or file names on the command line.
    chain : Chain or None
        The cases one by one, where they are followed.
    """

    title: str
    drift: Drift
    reference: Sequence[Values]
    window: Sequence[Values]
    names: Sequence[str]
    chain: Chain | None = None


def report_html(parts: Sequence[Part]) -> bytes:
    """The report, with a section for each kind of scans."""
    return report_page(
        "core/exports/drift_report.html",
        "Drift report",
        made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        parts=[_values(part) for part in parts],
    )


def _values(part: Part) -> dict[str, Any]:
    """What the template names."""
    drift, chain = part.drift, part.chain if part.chain and part.chain.scans else None
    state = chain.severity if chain else drift.state
    features = [
        (c.feature.name, c.finding, f"{c.shift_sd:+.2f}", f"{c.spread_ratio:.2f}",
         f"{c.distance:.2f}", f"{c.q_value:.2g}")
        for c in drift.comparisons
    ]  # fmt: skip
    return {
        "title": part.title,
        "drift": drift,
        "state": state,
        "state_words": STATE_WORDS[state],
        "chain": chain and count_words(chain),
        "since": since_words(chain) if chain else [],
        "rule": rule_words(chain).replace("*", "") if chain else "",
        "window_cases": counted(drift.window_cases, "case"),
        "pictures": _pictures(part) if drift.comparisons else "",
        "features": features,
        "unusual": [
            (part.names[index], feature, f"{far:.1f}") for index, far, feature in drift.unusual
        ],
    }


def _pictures(part: Part) -> Markup:
    """Histograms of the compared features as one SVG, inline."""
    features: list[Feature] = [comparison.feature for comparison in part.drift.comparisons]
    rows = -(-len(features) // _COLUMNS)
    figure = Figure(figsize=(11, 1.85 * rows), layout="constrained")
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axis, feature in zip(axes, features, strict=False):
        before, after = (
            np.array([case[feature.key] for case in cases if feature.key in case])
            for cases in (part.reference, part.window)
        )
        low, high = np.percentile(np.concatenate([before, after]), [0.5, 99.5])
        bins = np.linspace(low, high + 1e-6, 25)
        for values, colour in ((before, _REFERENCE), (after, _WINDOW)):
            axis.hist(
                np.clip(values, low, high), bins, density=True, color=colour, alpha=0.6,
            )  # fmt: skip
        axis.set_title(feature.name, fontsize=9)
        axis.set_yticks([])
        axis.tick_params(labelsize=8)
    for axis in axes[len(features) :]:
        axis.set_visible(False)
    return svg_of(figure)
