"""The frame of a report: one HTML file that needs no network."""

import html
import io
from collections.abc import Iterable, Sequence

from matplotlib.figure import Figure

from core.anatomy import NOTICE

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem;
  color: #0B0E11; background: #FBFBFA }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid #B9BEC4 }
td.n, th.n { text-align: right } td.n { white-space: nowrap }
.notice { font-weight: 600 } svg { width: 100%; height: auto }
"""


def report_page(title: str, body: str) -> bytes:
    """A whole page.

    Parameters
    ----------
    body
        HTML in which everything from outside is escaped.
    """
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>HippoView: {html.escape(title)}</title>
<style>{_STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<p class="notice">{NOTICE}</p>
{body}
</body></html>
"""
    return page.encode()


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A table of escaped cells.

    Parameters
    ----------
    texts
        So many columns hold words; those after them are numbers, to the right.
    """
    kinds = ["" if column < texts else " class=n" for column in range(len(heads))]

    def line(tag: str, cells: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{kind}>{html.escape(cell)}</{tag}>"
            for kind, cell in zip(kinds, cells, strict=True)
        )

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f"<table><tr>{line('th', heads)}</tr>{body}</table>"


def svg_of(figure: Figure) -> str:
    """A figure as SVG, to stand within a page."""
    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue().decode()
    return text[text.index("<svg") :]
