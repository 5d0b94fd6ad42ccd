"""The index of decisions: one line each."""

import re
from pathlib import Path

from core.settings import ROOT

_TITLE = re.compile(r"# (\d+)(?:\.|:) (.+)")
_HEAD = """# Decisions

Why things are as they are, a page each, in the order in which they were made. A later one may
replace an earlier one, and then says so. A page is not rewritten when the code moves on: paths in
it are those of its day ([where things went](../where-things-went.md)). Not every number is taken.

| number | what was decided |
| --- | --- |
"""


def titles(folder: Path = ROOT / "docs" / "decisions") -> dict[str, tuple[str, str]]:
    """Number and title of each page, by its file's name.

    Raises
    ------
    ValueError
        A page's first line is not ``# NUMBER. TITLE``, or its number is not that of its name.
    """
    found = {}
    for path in sorted(folder.glob("[0-9]*.md")):
        first = path.read_text("utf-8").splitlines()[0]
        title = _TITLE.fullmatch(first)
        if title is None or int(title[1]) != int(path.name[:4]):
            raise ValueError(f"{path.name} begins with {first!r}, expected # NUMBER. TITLE")
        found[path.name] = (path.name[:4], title[2][0].upper() + title[2][1:])
    return found


def page() -> str:
    """The page in Markdown."""
    lines = (f"| [{number}]({name}) | {title} |" for name, (number, title) in titles().items())
    return _HEAD + "\n".join(lines) + "\n"
