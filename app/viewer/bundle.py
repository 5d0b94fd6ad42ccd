"""Where the viewer's script lies once it is built. Needs nothing but Python."""

import hashlib
from pathlib import Path

FRONTEND = Path(__file__).parent / "frontend"
BUILT = Path(__file__).parent / "built"


def bundle() -> Path:
    """Path of the script built from the current sources; it may not exist yet."""
    digest = hashlib.sha256()
    for source in sorted(FRONTEND.iterdir()):
        digest.update(source.read_bytes())
    return BUILT / f"viewer-{digest.hexdigest()[:16]}.js"
