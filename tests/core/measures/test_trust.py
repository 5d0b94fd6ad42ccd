"""How far a head's masks can be trusted: what the search saw, and the masks as they are now."""

import numpy as np
import pytest

from core.measures.measure import appraise_head
from core.predictor.heads import fingerprint

AFFINE = np.eye(4)
AFFINE[:3, 3] = -60


def two(left=(12, 30, 12), right=(12, 30, 12)) -> np.ndarray:
    labels = np.zeros((120, 120, 120), np.uint8)
    for x0, (x, y, z) in ((24, left), (84, right)):
        labels[x0 : x0 + x, 45 : 45 + y, 40 : 40 + z] = 1
        labels[x0 : x0 + x, 60 : 45 + y, 40 : 40 + z] = 2
    return labels


def part(labels: np.ndarray, name: str) -> np.ndarray:
    half = np.zeros_like(labels)
    where = slice(0, 60) if name == "left" else slice(60, None)
    half[where] = labels[where]
    return half


def head(model: np.ndarray, *, off_mm=5.0, **left) -> dict:
    """A head as it is kept, with masks that the model made."""
    sides = {
        name: {
            "centre_mm": (x, 0, -14), "found_mm": (x, 0, -14), "peak": 0.9, "agreement": 0.95,
            "certainty": 0.9, "pointed": False, "model_mask": fingerprint(part(model, name)),
        }
        for name, x in (("left", -30), ("right", 30))
    }  # fmt: skip
    sides["left"] |= left
    return {
        "sides": sides, "brain_ml": 1200.0, "confidence": "unreliable", "scale": 1.0,
        "off_mm": off_mm, "reasons": ["the left one measures 610 mm³"],
    }  # fmt: skip


def judged(labels: np.ndarray, known: dict) -> tuple[str, tuple[str, ...]]:
    found = appraise_head(labels, AFFINE, known).judgement
    return found.confidence, found.reasons


def test_a_good_head_is_trusted():
    assert judged(two(), head(two())) == ("high", ())
    assert appraise_head(two(), AFFINE, head(two())).findings == ()


@pytest.mark.parametrize(
    ("left", "words"),
    [
        ({"agreement": 0.6}, "two looks at the left hippocampus agree to 0.60"),
        ({"peak": 0.2}, "the left hippocampus was hard to find"),
        ({"centre_mm": (-30, 9, -14)}, "the left mask lies 9 mm from where"),
    ],
)  # fmt: skip
def test_what_the_model_doubted_of_its_mask_ends_where_a_person_drew_another(left, words):
    small = two(left=(12, 30, 11))
    known = head(small, **left)
    word, reasons = judged(small, known)
    assert word == "unreliable"
    assert words in reasons[0]
    assert judged(two(), known) == ("high", ())
    # It holds for the side that nobody changed.
    word, reasons = judged(np.where(part(two(), "right") > 0, 1, small).astype(np.uint8), known)
    assert words in reasons[0]


def test_the_volumes_are_those_of_the_mask_that_is_now():
    small = two(left=(6, 20, 5))
    word, reasons = judged(small, head(small))
    assert (word, reasons[0]) == ("unreliable", "the left hippocampus measures 600 mm³")
    assert any("the sides differ by 151 %" in reason for reason in reasons)
    assert judged(two(), head(small)) == ("high", ())
    word, reasons = judged(small, head(two()))
    assert (word, reasons[0]) == ("unreliable", "the left hippocampus measures 600 mm³")


def test_a_mask_that_was_drawn_too_near_to_the_other_is_said():
    drawn = np.roll(part(two(left=(12, 30, 11)), "left"), 22, 0)
    near = drawn | part(two(), "right")
    word, reasons = judged(near, head(two()))
    assert (word, reasons) == ("check", ("the two lie 39 mm apart",))


@pytest.mark.parametrize("off_mm", [12.0, None])
def test_a_header_that_fits_no_head_is_doubted_whoever_drew_the_mask(off_mm):
    word, reasons = judged(two(), head(two(left=(12, 30, 11)), off_mm=off_mm))
    assert (word, len(reasons)) == ("unreliable", 1)
    assert "as its header says" in reasons[0]


def test_a_contrast_that_is_not_t1_is_doubted_whoever_drew_the_mask():
    known = head(two(left=(12, 30, 11))) | {"is_t1": False}
    word, reasons = judged(two(), known)
    assert (word, len(reasons)) == ("unreliable", 1)
    assert "T1" in reasons[0]


def test_a_head_from_before_keeps_what_its_search_saw():
    old = head(two(), peak=0.2)
    for key in ("scale", "off_mm"):
        del old[key]
    for side in old["sides"].values():
        del side["model_mask"]
    assert judged(two(), old) == ("high", ())
    misfit = "it does not look like a head that lies as its header says"
    word, reasons = judged(two(), old | {"reasons": [misfit, "the sides differ by 120 %"]})
    assert (word, reasons) == ("unreliable", (misfit,))


def test_a_side_that_was_not_found_is_said():
    known = head(two())
    del known["sides"]["right"]
    word, reasons = judged(part(two(), "left"), known)
    assert (word, reasons) == ("unreliable", ("no right hippocampus was found",))


def fragment(labels: np.ndarray) -> np.ndarray:
    labels = labels.copy()
    labels[24:28, 80:86, 40:44] = 2  # behind the left one, and apart from it
    return labels


def stretched(labels: np.ndarray) -> np.ndarray:
    labels = labels.copy()
    labels[28:30, 75:112, 44:46] = 2
    return labels


def headless(labels: np.ndarray) -> np.ndarray:
    labels = labels.copy()
    labels[:60][labels[:60] == 1] = 2
    return labels


SHAPES = {
    "fragment": (fragment, "posterior_fragmented",
                 "the posterior part of the left hippocampus is in 2 pieces"),
    "stretched": (stretched, "length_long", "the left hippocampus is 67 mm long"),
    "headless": (headless, "anterior_missing",
                 "no anterior part of the left hippocampus was found"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_said_of_a_masks_shape_is_said_of_its_confidence(name):
    change, code, reason = SHAPES[name]
    found = appraise_head(change(two()), AFFINE, head(two()))
    assert (found.judgement.confidence, found.judgement.reasons) == ("check", (reason,))
    assert [f.code for f in found.findings] == ["check", code]
    # One truth: the finding begins with the reason.
    assert found.findings[1].message.casefold().startswith(reason.casefold())


def test_a_small_head_has_a_small_hippocampus():
    small = two(left=(6, 27, 9), right=(6, 27, 9))
    known = head(small)
    assert judged(small, known)[0] == "check"

    def codes(**change):
        return [f.code for f in appraise_head(small, AFFINE, known | change).findings]

    assert "volume_small" in codes()
    assert "volume_small" in codes(scale=0.93)
    assert "volume_small" not in codes(scale=0.85)
