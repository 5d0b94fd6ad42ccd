"""Licences of what HippoView is installed with: ``python -m tests.licences`` lists them anew."""

import importlib.metadata
import json
import re
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement

from core.settings import ROOT

LIST = ROOT / "docs" / "licences.md"
_LOCK = ROOT / "app" / "viewer" / "frontend" / "package-lock.json"
# Licences by what packages call them, in the words of SPDX; the longest match counts.
_WORDS = {
    "apache": "Apache-2.0", "artistic": "Artistic", "bsd": "BSD", "0bsd": "0BSD",
    "bsl-1.0": "BSL-1.0", "cc0": "CC0-1.0", "cc-by-4.0": "CC-BY-4.0", "isc": "ISC",
    "gpl": "GPL", "lgpl": "LGPL", "agpl": "AGPL", "mit": "MIT", "mit-cmu": "MIT-CMU",
    "mpl": "MPL-2.0", "mozilla": "MPL-2.0", "proprietary": "proprietary", "psf": "PSF-2.0",
    "python software foundation": "PSF-2.0", "unlicense": "Unlicense", "zlib": "Zlib",
    "python-2.0": "PSF-2.0", "blueoak": "BlueOak-1.0.0",
}  # fmt: skip
# Packages whose metadata name none, by what their licence file says.
_KNOWN = {
    "cuda-toolkit": "proprietary",  # an empty package that asks for NVIDIA's
    "yacs": "Apache-2.0",
}


def installed(files: Iterable[str]) -> dict[str, str]:
    """Licence of each package that these requirements files bring, as installed here."""
    licences: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [
        Requirement(line)
        for file in files
        for line in (ROOT / file).read_text().splitlines()
        if line and not line.startswith(("#", "-r"))
    ]
    while waiting:
        wanted = waiting.pop()
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        key = (name, frozenset(wanted.extras))
        if key in seen or not _is_for_here(wanted, {""}):
            continue
        seen.add(key)
        found = importlib.metadata.distribution(name)
        licences[name] = licence_of(found)
        for line in found.requires or []:
            needed = Requirement(line)
            if _is_for_here(needed, wanted.extras | {""}):
                needed.marker = None
                waiting.append(needed)
    return licences


def licence_of(found: importlib.metadata.Distribution) -> str:
    """The licence of a package, in the words of SPDX; ``unknown`` where nothing names it."""
    about = found.metadata
    name = re.sub(r"[-_.]+", "-", about["Name"]).lower()
    if name in _KNOWN:
        return _KNOWN[name]
    classifiers = [c for c in about.get_all("Classifier") or [] if c.startswith("License ::")]
    kinds = [kind for c in classifiers if (kind := c.split(" :: ")[-1]) != "OSI Approved"]
    stated = (about.get("License") or "").strip().splitlines()
    for words in (about.get("License-Expression"), " AND ".join(kinds), *stated[:1]):
        if words and (named := in_spdx(words)):
            return named
    return "unknown"


def in_spdx(words: str) -> str:
    """Several licences sorted, with ``AND``; empty if none is known."""
    found = set()
    for part in re.split(r"\s+(?:AND|OR|WITH)\s+|[()/]", words, flags=re.IGNORECASE):
        known = [w for w in _WORDS if re.search(rf"(^|[^a-z0-9]){re.escape(w)}", part.lower())]
        if known:
            found.add(_WORDS[max(known, key=len)])
        elif part.strip() and "exception" not in part.lower():
            return ""
    return " AND ".join(sorted(found))


def in_viewer() -> dict[str, str]:
    """Licence of each npm package that builds the viewer or is in it."""
    packages = json.loads(_LOCK.read_text())["packages"]
    return {
        path.rpartition("node_modules/")[2]: in_spdx(about.get("license", "")) or "unknown"
        for path, about in packages.items()
        if path and not about.get("dev")
    }


def listed() -> dict[str, str]:
    """What `LIST` says of each package."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", LIST.read_text(), re.MULTILINE)
    return {name.strip(): licence.strip() for name, licence in rows if name != "package"}


def _is_for_here(wanted: Requirement, extras: set[str]) -> bool:
    marker = wanted.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)


def _table(licences: dict[str, str]) -> str:
    rows = "".join(f"| {name} | {licence} |\n" for name, licence in sorted(licences.items()))
    return f"| package | licence |\n| --- | --- |\n{rows}"


def write(list_file: Path = LIST) -> None:
    """Write the list of what is installed here; run it where everything is (Linux with CUDA)."""
    list_file.write_text(
        "# Licences of third parties\n\nWritten by `python -m tests.licences` from what the "
        "packages say of themselves, in the words of SPDX; a test refuses what is unknown. Where a "
        "package offers a choice, all are named.\n\n## Python packages\n\n"
        f"{_table(installed(['requirements-serve.txt', 'requirements.txt']))}\n"
        f"## npm packages of the viewer and of its build\n\n{_table(in_viewer())}"
    )


if __name__ == "__main__":
    write()
