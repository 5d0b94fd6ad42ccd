"""The example scan, cut once, and its features."""

import functools

from core.image import example
from core.measures.features import Values, features_of


@functools.cache
def example_file() -> bytes:
    """See `core.image.example.example_file`."""
    return example.example_file()


@functools.cache
def example_features() -> Values:
    """Drift features of the example, as segmenting it computes them."""
    return features_of(*example.values_of(example_file()))
