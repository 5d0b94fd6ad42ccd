"""Masks that were accepted as a version made them judge no other version."""

from core.training.evaluation.gate import judge
from tests.core.training.evaluation.figures import crop, crops, heads, side, version
from tests.core.training.evaluation.test_gate import DICE, MARGINS, cases, state, verdict, words


def on_reviewed(old_sides, new_sides):
    """Both on the same reviewed heads."""
    return judge(
        version(1, cases(), heads(old_sides, "reviewed")),
        version(2, cases(), heads(new_sides, "reviewed")),
        MARGINS,
    )


def test_accepted_masks_of_a_version_do_not_judge_another_one():
    """A mask that was accepted as it came has a Dice of 1 with itself: nothing could be better."""
    own = [crop(n, 1.0) for n in range(12)]
    worse = [crop(n, 0.85) for n in range(12)]
    rest = [crop(n, DICE[n]) for n in range(12, 24)]
    for before, after in ((own, worse), (worse, own)):
        told = verdict(crops([*after, *rest]), old_crops=crops([*before, *rest]))
        assert state(told, "crops/task/dice/anterior") == "passed"
        assert state(told, "crops/task/collapse") == "passed"
        assert "Left out: 12 cases whose reference is a version's own mask, accepted" in words(
            told, "crops/task/dice/anterior"
        )
    told = verdict(crops(worse), old_crops=crops(own))
    assert state(told, "crops/task/dice/anterior") == "not judged"
    assert not told.passed


def test_the_untouched_side_of_a_corrected_head_does_not_judge():
    old = [
        side(n, which, 1.0 if which == "left" else 0.8)
        for n in range(8)
        for which in ("left", "right")
    ]
    new = [side(n, which, 0.85) for n in range(8) for which in ("left", "right")]
    told = on_reviewed(old, new)
    assert state(told, "heads/reviewed/dice") == "passed"
    assert state(told, "heads/reviewed/collapse") == "passed"
    assert "Left out: 8 sides whose reference" in words(told, "heads/reviewed/dice")
    told = on_reviewed(new, old)
    assert state(told, "heads/reviewed/dice") == "failed"  # by the right sides
