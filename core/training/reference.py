"""What a new version was trained on: hash and drift features of each case, for its package."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.image import volume
from core.image.intake import vetted
from core.measures.features import Values, features_of
from core.training.data.dataset import Dataset, file_names
from core.training.data.names import is_extra_cut, is_from_head, source_of


def reference_file(cases: Sequence[dict[str, Any]]) -> bytes:
    """The content of `core.models.registry.REFERENCE_NAME`."""
    return json.dumps({"cases": list(cases)}).encode()


def reference_cases(
    names: Sequence[str],
    dataset: Dataset,
    files: Path,
    scratch: Path,
    parents: Sequence[dict[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Features and hash of each case that a version was trained on.

    Crops of one head share an id, ``head``; further cuts of a side have no features, since a head
    that is served is cut once.

    Parameters
    ----------
    names
        Of the cases.
    files
        The data set's files.
    scratch
        A folder for temporary files.
    parents
        The same of the version that it was fine-tuned from: those of its cases that are not among
        these are marked as inherited.
    """
    heads = _ids_of_heads(names, dataset)
    cases = []
    for name in names:
        entry = dataset.cases[name]
        case: dict[str, Any] = {"content_sha256": entry.content_sha256, "inherited": False}
        if is_from_head(name):
            case["head"] = heads[source_of(name)]
        image = files / file_names(name, entry)[0]
        case["features"] = None if is_extra_cut(name) else _features(image, scratch)
        cases.append(case)
    hashes = {case["content_sha256"] for case in cases}
    inherited = [c | {"inherited": True} for c in parents if c["content_sha256"] not in hashes]
    return cases + inherited


def _features(image: Path, scratch: Path) -> Values:
    with image.open("rb") as stream, vetted(stream, scratch) as file:
        loaded = volume.load(file)
    return features_of(loaded.data, loaded.spacing_mm)


def _ids_of_heads(names: Sequence[str], dataset: Dataset) -> dict[str, str]:
    """By head, an id that follows from the content of its cases and does not tell its name."""
    contents: dict[str, list[str]] = {}
    for name in filter(is_from_head, names):
        contents.setdefault(source_of(name), []).append(dataset.cases[name].content_sha256)
    return {
        head: hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()[:16]
        for head, hashes in contents.items()
    }
