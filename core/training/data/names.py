"""Names of the cases that are cut from heads.

The head *NAME* gives ``NAME.head-left`` and ``NAME.head-right``, and of each side further cuts,
``NAME.head-left2``, ``NAME.head-left3``. No file of a source may have such a name.
"""

import re

_FROM_HEAD = re.compile(r"(.+)\.head-(left|right)(\d*)")


def case_name(head: str, side: str, cut: int = 0) -> str:
    """The case of a head's side; cuts count from 0.

    >>> case_name("sub-01", "left"), case_name("sub-01", "right", 1)
    ('sub-01.head-left', 'sub-01.head-right2')
    """
    return f"{head}.head-{side}{cut + 1 if cut else ''}"


def source_of(case: str) -> str:
    """The file that a case was made from: its head, or the case itself.

    >>> source_of("sub-01.head-right2"), source_of("hippocampus_001")
    ('sub-01', 'hippocampus_001')
    """
    match = _FROM_HEAD.fullmatch(case)
    return match[1] if match else case


def is_from_head(case: str) -> bool:
    """Whether a case was cut from a head."""
    return _FROM_HEAD.fullmatch(case) is not None


def is_extra_cut(case: str) -> bool:
    """Whether a case is a second or further cut of a head's side: these only train.

    >>> is_extra_cut("sub-01.head-left"), is_extra_cut("sub-01.head-left3")
    (False, True)
    """
    match = _FROM_HEAD.fullmatch(case)
    return bool(match and match[3])
