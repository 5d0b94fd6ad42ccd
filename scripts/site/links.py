"""``python -m scripts.site.links``: list the addresses outside that the pages link to.

They are listed and not asked for: a build must not depend on other people's servers. MkDocs checks
the links within the site.
"""

import re
import sys
from collections import defaultdict

from core.settings import ROOT

_OUTSIDE = re.compile(r"\]\((https?://[^)\s]+)\)")
_HERE = ("http://127.0.0.1", "http://localhost")


def outside() -> dict[str, list[str]]:
    """By address the pages that link to it."""
    found: dict[str, list[str]] = defaultdict(list)
    docs = ROOT / "docs"
    for page in sorted(docs.rglob("*.md")):
        for address in _OUTSIDE.findall(page.read_text("utf-8")):
            if not address.startswith(_HERE):
                found[address].append(str(page.relative_to(docs)))
    return dict(found)


def main() -> int:
    """Print them."""
    lines = [f"  {address} ({', '.join(pages)})\n" for address, pages in outside().items()]
    sys.stdout.write("Links to other sites, not asked for:\n" + "".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
