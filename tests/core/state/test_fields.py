"""What is asked of a file that others may have written."""

import pytest

from core.state.fields import check_shape, check_times, object_of

SHAPES = [
    (float, (1, 2.5, -3), ("1", None, True, float("nan"), float("inf"), 10**400, [])),
    (int, (0, 7), (-1, 1.0, True, "1", 10**30)),
    (str, ("", "é"), (None, 1, "\ud800", b"a")),
    ((str,), (None, "a"), (1,)),
    (frozenset({"a"}), ("a",), ("b", None, [], {})),
    ([int], ([], [1, 2]), ([1, "2"], {}, "12", None)),
    ([int, str], ([1, ""],), ([1], [1, "", 2], ["", 1], [])),
    ({"a": int, "b?": str}, ({"a": 1}, {"a": 1, "b": "", "c": 5}), ({}, {"a": 1, "b": 2}, [], 1)),
    ({"*": [float]}, ({}, {"x": [1]}), ({"x": 1}, {"x": [None]})),
]


@pytest.mark.parametrize(("shape", "right", "wrong"), SHAPES)
def test_what_is_of_another_shape_is_refused(shape, right, wrong):
    for value in right:
        check_shape(value, shape)
    for value in wrong:
        with pytest.raises(ValueError, match=r"\w"):
            check_shape(value, shape)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100_000, '{"a":' * 100_000])
def test_what_holds_no_object_is_refused(text):
    assert object_of('{"a": 1}') == {"a": 1}
    with pytest.raises(ValueError, match=r"\w"):
        object_of(text)


def test_what_is_no_time_is_refused():
    check_times("2026-11-25T12:00:00.000+00:00", None)
    for text in ("", "soon", "2026-11-25T12:00:00"):
        with pytest.raises(ValueError, match=r"\w"):
            check_times(text)
