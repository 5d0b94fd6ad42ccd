"""``python -m app.viewer.build``: build the viewer's script from its sources and NiiVue, once.

NiiVue and esbuild come from the npm registry in the versions of ``package-lock.json``. Nothing of
them is needed afterwards.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from app.viewer.bundle import BUILT, FRONTEND, bundle
from app.viewer.node import install, node

_OPTIONS = ["--bundle", "--format=esm", "--minify", "--target=es2022", "--log-level=error",
            "--legal-comments=inline", "--loader:.css=text"]  # fmt: skip


def main() -> int:
    """Build, unless it was built before."""
    target = bundle()
    if target.is_file():
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for source in FRONTEND.iterdir():
            shutil.copy(source, folder)
        if not install(folder, for_development=False):
            sys.stderr.write("The viewer's parts could not be fetched from the npm registry.\n")
            return 1
        built = folder / "bundle.js"
        # Not by npx: the script's first line asks the PATH for `node`, and npx a shell for it.
        esbuild = folder / "node_modules" / "esbuild" / "bin" / "esbuild"
        if node([str(esbuild), "viewer.js", *_OPTIONS, f"--outfile={built}"], folder):
            sys.stderr.write("The viewer could not be built.\n")
            return 1
        BUILT.mkdir(exist_ok=True)
        for old in BUILT.glob("viewer-*.js"):
            old.unlink()
        whole = BUILT / f".{target.name}"
        shutil.copyfile(built, whole)
        whole.replace(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
