"""``python -m scripts.site``: write the pages of the documentation that come from the code.

They lie in docs/generated and docs/decisions/index.md, which git ignores: what is made anew each
time cannot be out of date.
"""

import sys

from core.settings import ROOT
from scripts.site import api, commands, decisions, model

_PAGES = {
    "generated/api.md": api.page,
    "generated/commands.md": commands.page,
    "generated/model.md": model.page,
    "decisions/index.md": decisions.page,
}


def main() -> int:
    """Write all of them."""
    for name, page in _PAGES.items():
        path = ROOT / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(), "utf-8")
    sys.stdout.write(f"Written: {', '.join(_PAGES)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
