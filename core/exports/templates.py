"""HTML pages by jinja2; everything from outside is escaped."""

import functools
from typing import TYPE_CHECKING, Any

from core.settings import ROOT

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **values: Any) -> str:
    """A page of a template.

    Parameters
    ----------
    template
        The file, from the project's root: ``core/exports/drift_report.html``.
    values
        What the template names. Text is escaped, `markupsafe.Markup` is not.
    """
    return _environment().get_template(template).render(values)


@functools.cache
def _environment() -> "Environment":
    # Imported when the first page is written: it takes 40 ms, and most commands write none.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(ROOT),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
