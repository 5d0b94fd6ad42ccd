"""A drift report as one HTML file that needs no network."""

import html
import io
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from matplotlib.figure import Figure

from core.drift import FEATURES, Drift, Values
from core.pipeline import NOTICE

STATE_WORDS = {
    "quiet": "The scans look like those that the model was trained on.",
    "watch": "Something moved a little. Look again after the next cases.",
    "act": "The scans differ from those of the training. Check the scanner and the masks "
    "before you rely on the volumes.",
    "not enough yet": "There are too few cases to say anything.",
}
_REFERENCE, _WINDOW = "#8A8F98", "#0B6B5A"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem;
  color: #0B0E11; background: #FBFBFA }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid #B9BEC4 }
td.n { text-align: right } .notice { font-weight: 600 } svg { width: 100%; height: auto }
"""


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
    rows = "".join(
        f"<tr><td>{html.escape(c.feature.name)}</td><td>{'moved' if c.moved else '-'}</td>"
        f"<td class=n>{c.shift_sd:+.2f}</td><td class=n>{c.distance:.2f}</td>"
        f"<td class=n>{c.q_value:.2g}</td></tr>"
        for c in drift.comparisons
    )
    unusual = "".join(
        f"<tr><td>{html.escape(names[index])}</td><td class=n>{far:.1f}</td>"
        f"<td>{html.escape(feature)}</td></tr>"
        for index, far, feature in drift.unusual
    )
    pictures = _pictures(reference, window) if drift.comparisons else ""
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>HippoView drift report</title>
<style>{_STYLE}</style></head><body>
<h1>Drift report</h1>
<p class="notice">{NOTICE}</p>
<p>state: {drift.state}. {STATE_WORDS[drift.state]}</p>
<p>{drift.window_cases} cases against {drift.reference_cases} of the reference, made {made} UTC.</p>
<h2>What moved</h2><ul>{reasons}</ul>
<h2>Distributions</h2>
<p>Grey: reference. Green: these cases.</p>
{pictures}
<h2>All features</h2>
<table><tr><th>Feature</th><th>Finding</th><th>Shift (SD)</th><th>Distance (0 to 1)</th>
<th>q</th></tr>{rows}</table>
<h2>The most unusual cases</h2>
<table><tr><th>Case</th><th>Distance (SD)</th><th>In</th></tr>{unusual}</table>
<p>Method: two-sample Kolmogorov-Smirnov test for each feature, Benjamini-Hochberg at 5 %. A
left-right flip cannot be seen this way.</p>
</body></html>
"""
    return page.encode()


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
    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue().decode()
    return text[text.index("<svg") :]
