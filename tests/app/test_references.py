"""The part of a case beside a reference group, and the page where groups are made."""

from types import SimpleNamespace

import pytest

from app.views.references import CURVES, figure_of
from app.views.words import DASH
from core.cases.case import Case
from core.cases.study import Study
from core.references.comparison import compare
from core.references.groups import References
from core.settings import Settings
from core.state.storage import LocalStorage
from core.wording import minus
from tests.parts import Part
from tests.references import KNOWN, group, head_report, people

STUDY = Study(**KNOWN)


def case_of(**changes):
    return Case("HV-AAAAAA", "a", "2026-11-30T08:00:00", head_report(**changes))


@pytest.fixture
def shared(tmp_path):
    storage = LocalStorage(tmp_path / "storage")
    return SimpleNamespace(storage=storage, settings=Settings(data_dir=tmp_path))


@pytest.mark.parametrize(
    ("measure", "value"), [("left", 2.4), ("total", 4.9), ("asymmetry", -4.08)]
)
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_person_is_a_point_among_five_curves(measure, value, theme):
    found = compare(case_of(), STUDY, group())
    standing = next(s for s in found.standings if s.measure == measure)
    figure = figure_of(standing, found, STUDY, theme)
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert len(lines) == len(CURVES)
    point = figure.data[-1]
    assert (point.x[0], point.y[0]) == (50, pytest.approx(value, abs=0.01))
    if measure == "left":
        assert tuple(figure.data[-2].y) == pytest.approx((2.16, 2.64))
        shown = next(trace for trace in figure.data if trace.mode == "markers")
        assert len(shown.x) == sum(person.sex == "F" for person in found.people)


def page():
    import streamlit as st

    from app.views.references import show_comparison

    key = f"compared-{st.session_state['case'].id}"
    if key not in st.session_state:
        st.session_state[key] = True
    show_comparison(st.session_state["shared"], st.session_state["case"])


def text_of(part):
    return " ".join(
        element.value.replace("\\", "")
        for kind in ("markdown", "caption", "info", "warning")
        for element in part.at.get(kind)
    )


def test_a_crop_says_in_a_word_that_it_is_not_compared(shared):
    part = Part(page, shared=shared, case=case_of(head=None))
    assert "A crop is not compared" in text_of(part)


def test_an_open_part_says_in_a_table_where_each_measure_stands(shared):
    References(shared.storage).add(group(name="Ours *a*"), "Ada")
    part = Part(page, shared=shared, case=case_of(left=3000.0, right=3100.0))
    table = part.at.get("table")[0].value
    assert list(table.iloc[:, 0]) == ["Left", "Right", "Total", "Asymmetry"]
    assert list(table["Measured"]) == ["3.00 ml", "3.10 ml", "6.10 ml", minus("-3 %")]
    assert all(table["Place"].str.endswith(", same protocol"))
    # The measurement is unsure as well: the bar's ends have their percentiles.
    by_measure = list(table["By the measure"])
    assert (by_measure[0], by_measure[3]) == ("3rd to 40th", DASH)
    text = text_of(part)
    said = "Compared with n = 60, of whom 30 women: the curves are those of women, estimated from"
    for words in ("Ours *a*", said, "; same protocol.", "Volunteers of 2026."):
        assert words in text


def test_each_number_of_another_protocol_says_that_it_is_not_comparable(shared):
    References(shared.storage).add(group(protocol="FreeSurfer 7.4", model_sha256=""), "Ada")
    part = Part(page, shared=shared, case=case_of())
    part.at.selectbox[0].select_index(0).run(timeout=60)
    places = part.at.get("table")[0].value["Place"]
    assert len(places) == 4
    assert all(places.str.contains("not comparable without conversion"))
    found = compare(case_of(), STUDY, group(protocol="FreeSurfer 7.4"))
    for standing in found.standings:
        title = figure_of(standing, found, STUDY).layout.title.text
        assert "not comparable without conversion" in title


def test_a_chosen_group_stays_chosen_when_others_come_and_go(shared):
    references = References(shared.storage)
    first, chosen = (references.add(group(name=name), "Ada") for name in ("One", "Two"))
    part = Part(page, shared=shared, case=case_of())
    part.at.selectbox[0].select(f"{chosen.name} (same protocol)").run(timeout=60)
    references.delete(first.id)
    references.add(group(name="Three"), "Ada")
    part.run()
    assert part.at.session_state["reference-group"] == chosen.id
    assert "Two" in text_of(part)
    references.delete(chosen.id)
    part.run()
    assert "Three" in text_of(part)


def test_an_unknown_age_says_what_to_type_and_where(shared):
    text = text_of(Part(page, shared=shared, case=case_of(study={"sex": "F"})))
    assert "type it under Patient" in text


def test_the_page_lists_the_groups_with_their_protocols(shared):
    def listing():
        import streamlit as st

        from app.views.reference_groups import groups_table

        groups_table(st.session_state["groups"])

    References(shared.storage).add(
        group(name="Elders", protocol="FreeSurfer 7.4", people=people(50)), "Ada"
    )
    part = Part(listing, groups=References(shared.storage).all())
    table = part.at.get("table")[0].value.to_string().replace("\\", "")
    assert "FreeSurfer 7.4: not comparable without conversion" in table
    assert "50 people (25 women, 25 men)" in table
    assert "ships with the program" in table
