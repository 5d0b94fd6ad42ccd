"""HTML pages by jinja2; everything from outside is escaped."""

from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from core.settings import ROOT

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(ROOT),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: Any) -> str:
    """A page of a template.

    Parameters
    ----------
    template
        The file, from the project's root: ``core/exports/drift_report.html``.
    values
        What the template names. Text is escaped, `markupsafe.Markup` is not.
    """
    return _ENVIRONMENT.get_template(template).render(values)
