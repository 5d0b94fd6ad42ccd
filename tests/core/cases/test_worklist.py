from core.cases.case import CaseRow
from core.cases.worklist import ORDERS, Filter, next_new, reviewed


def row(
    case_id="a", day="2026-11-24", review="new", warnings=0, mm3=2000.0, confidence="", mask=0
) -> CaseRow:
    return CaseRow(
        case_id, case_id, f"{day}T10:00:00.000+00:00", "1", mm3 / 2, mm3 / 2, warnings, mask,
        review, "", "", confidence, "",
    )  # fmt: skip


ROWS = [
    row("a", review="accepted"),
    row("b", "2026-11-20", warnings=2),
    row("c", "2026-11-22", review="rejected", mm3=1500),
    row("d", mm3=4000),
]


def shown(chosen: Filter) -> str:
    return "".join(r.id for r in ROWS if chosen.admits(r))


def test_each_filter_shows_what_it_names():
    assert shown(Filter()) == "abcd"
    assert shown(Filter("new")) == "bd"
    assert shown(Filter("accepted")) == "a"
    assert shown(Filter("with warnings")) == "b"
    assert shown(Filter(first_day="2026-11-22")) == "acd"
    assert shown(Filter(last_day="2026-11-22")) == "bc"
    assert shown(Filter(first_day="2026-11-22", last_day="2026-11-22")) == "c"
    assert shown(Filter(least_mm3=2000)) == "abd"
    assert shown(Filter(most_mm3=2000)) == "abc"
    assert shown(Filter("new", least_mm3=3000)) == "d"


def test_an_unreliable_mask_is_shown_as_such_whoever_drew_it():
    chosen = Filter("unreliable")
    assert chosen.admits(row(confidence="unreliable"))
    assert chosen.admits(row(confidence="unreliable", mask=1))
    assert not chosen.admits(row(confidence="check"))
    assert not chosen.admits(row())


def test_the_orders_put_first_what_they_name():
    first = {name: sorted(ROWS, key=key)[0].id for name, key in ORDERS.items()}
    assert first == {"newest first": "a", "most warnings first": "b", "smallest first": "c",
                     "largest first": "d"}  # fmt: skip


def test_the_next_case_is_one_that_nobody_has_judged():
    assert reviewed(ROWS) == 2
    assert next_new(ROWS, "") == "b"
    assert next_new(ROWS, "b") == "d"
    assert next_new(ROWS, "d") == "b"
    assert next_new(ROWS, "not shown") == "b"
    assert next_new([row("a")], "a") is None
    assert next_new([row("a", review="accepted")], "") is None
