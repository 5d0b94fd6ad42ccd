"""A candidate that differs from the embedded model in a known way: its labels are swapped."""

import numpy as np
import safetensors.numpy

from core.models.folder import load_model
from core.models.registry import Registry, Version
from core.settings import Settings


def add_swapped(registry: Registry) -> Version:
    """Register it: the whole masks are the same, anterior is posterior and the other way round."""
    return _add(registry, "swapped", [0, 2, 1])


def add_again(registry: Registry) -> Version:
    """Register the embedded model as another version, with the same masks."""
    return _add(registry, "again", [0, 1, 2])


def _add(registry: Registry, name: str, order: list[int]) -> Version:
    model = load_model(Settings().model_dir)
    files = {file: (model.folder / file).read_bytes() for file in model.card["files"]}
    for path in model.weights:
        weights = safetensors.numpy.load(files[path.name])
        for key in weights:
            if ".seg_layers." in f".{key}":
                weights[key] = np.ascontiguousarray(weights[key][order])
        files[path.name] = safetensors.numpy.save(weights)
    return registry.add(model.card | {"name": name}, files, {}, {"source": "a test"})
