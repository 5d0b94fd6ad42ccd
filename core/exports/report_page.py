"""The page around every HTML report: title, style and notice, in one file that needs no network."""

import io
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from core.anatomy import NOTICE
from core.exports.templates import render


def report_page(template: str, title: str, **values: Any) -> bytes:
    """A whole page.

    Parameters
    ----------
    template
        Extends ``core/exports/report_page.html``; see `core.exports.templates.render`.
    """
    return render(template, title=title, notice=NOTICE, **values).encode()


def svg_of(figure: Figure) -> Markup:
    """A figure as SVG, to stand within a page."""
    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue().decode()
    return Markup(text[text.index("<svg") :])  # noqa: S704, matplotlib escapes what it writes
