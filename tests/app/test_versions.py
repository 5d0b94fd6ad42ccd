from app.views.versions import _common, _figures, _measured_on
from app.views.words import DASH
from core.anatomy import LABELS
from core.models.registry import Version


def version(number, **evaluations):
    return Version(number, "candidate", "", "", {}, evaluations, {})


def evaluation(hd95, files="f"):
    """One case for each distance; None is a mask that lacks the label."""
    cases = []
    for n, mm in enumerate(hd95):
        part = {"truth_mm3": 9.0, "volume_mm3": 0.0 if mm is None else 9.0, "hd95_mm": mm}
        cases.append({"case": f"c{n}", "files": f"{files}{n}", **dict.fromkeys(LABELS, part)})
    summary = {"dice": {"mean": 0.9, "worst": 0.8}, "volume_error_percent": 1.0}
    figures = {name: dict.fromkeys(LABELS, value) for name, value in summary.items()}
    return {"test_key": "k", "cases": cases, **figures}


def test_a_version_that_finds_nothing_in_its_worst_case_does_not_look_better():
    rows = {
        title: (old, new)
        for title, old, new in _figures(evaluation([1, 1, 9]), evaluation([1.2, 1.2, None]))
    }
    assert rows["HD95 anterior"] == ("1.0 mm", "1.2 mm, 1 failed")
    none = {title: rest for title, *rest in _figures(evaluation([1]), evaluation([None]))}
    assert none["HD95 posterior"] == [DASH, f"{DASH}, 1 failed"]


def test_two_versions_are_compared_on_the_newest_cases_that_both_were_tested_on():
    first, second = evaluation([1, 1]), evaluation([2, 2])
    assert _common(version(1, k=first), version(2, k=second)) == (first, second)
    assert _common(version(1, k=first), version(2, other=second)) is None
    assert _common(version(1, k=first), version(2, k=evaluation([2, 2], files="g"))) is None
    assert _common(version(1, k=first), version(2, k=evaluation([2, 2, 2]))) is None
    others = {"heads-1": {"kind": "heads"}, "latency": {"kind": "latency"}, "x": {"kind": "new"}}
    both = version(1, k=first, **others), version(2, k=second, **others)
    assert _common(*both) == (first, second)


def test_failures_are_told_where_the_cases_are():
    metrics = {"cases": 40, "seen_in_training": False, "failed": {"anterior": 0, "posterior": 2}}
    made = Version(1, "candidate", "", "", {"metrics": metrics}, {}, {})
    assert _measured_on(made) == "40 cases, never seen, 2 masks lack a label"
