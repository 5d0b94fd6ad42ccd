"""A candidate that differs from the embedded model in a known way: its labels are swapped."""

import numpy as np
import safetensors.numpy

from core.models.folder import load_model
from core.models.registry import Registry, Version
from core.settings import Settings


def add_swapped(registry: Registry) -> Version:
    """Register it: the whole masks are the same, anterior is posterior and the other way round."""
    model = load_model(Settings().model_dir)
    files = {name: (model.folder / name).read_bytes() for name in model.card["files"]}
    for path in model.weights:
        weights = safetensors.numpy.load(files[path.name])
        for name in weights:
            if ".seg_layers." in f".{name}":
                weights[name] = np.ascontiguousarray(weights[name][[0, 2, 1]])
        files[path.name] = safetensors.numpy.save(weights)
    return registry.add(model.card | {"name": "swapped"}, files, {}, {"source": "a test"})
