"""The steps of a scan in words, in the order in which they come."""

from collections.abc import Iterable

_WORDS = {
    "check": "Checking the file",
    "wait": "Waiting for other scans",
    "orient": "Turning it to the model's orientation",
    "segment": "Finding and drawing the hippocampi",
    "segment_locate": "… finding them in a head",
    "segment_centre": "… a first look at each side",
    "segment_prepare": "… preparing what the network sees",
    "segment_network_wait": "… waiting for the network's turn",
    "segment_network": "… the network",
    "segment_signals": "… how sure the mask is",
    "segment_restore": "… back to the scan's voxels",
    "measure": "Measuring",
    "total": "A scan in all",
}


def step_words(step: str) -> str:
    """A step in words; of one that is not known here, its name.

    >>> step_words("measure"), step_words("new_step")
    ('Measuring', 'New step')
    """
    return _WORDS.get(step, step.replace("_", " ").capitalize())


def in_turn(steps: Iterable[str]) -> list[str]:
    """Steps in the order in which they come; those that are not known here before the sum.

    >>> in_turn(["total", "odd", "measure", "check"])
    ['check', 'measure', 'odd', 'total']
    """
    known = list(_WORDS)
    last = len(known) - 1
    return sorted(steps, key=lambda step: known.index(step) if step in _WORDS else last - 0.5)
