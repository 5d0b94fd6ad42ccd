"""Accepting masks that nobody should trust: asked once, and never by itself."""

import numpy as np
import pytest

from core.cases.corrections import Corrections
from core.cases.store import Cases
from core.errors import ConflictError
from core.pipeline import analyse
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.core.cases.test_corrections import packed
from tests.parts import Part
from tests.scans import as_bytes, example, image, stream


@pytest.fixture
def house(tmp_path) -> tuple[Cases, Corrections]:
    engine, storage = connect(tmp_path / "db"), LocalStorage(tmp_path / "storage")
    cases = Cases(engine, storage)
    return cases, Corrections(engine, storage, cases)


@pytest.fixture(scope="module")
def doubtful(predictor, tmp_path_factory):
    """An inverted crop: its mask is unreliable."""
    values = np.asarray(example().dataobj, np.float32)
    scan = image(values.max() - values, example().affine)
    return analyse(stream(as_bytes(scan)), predictor, tmp_path_factory.mktemp("in"))


class Bar(Part):
    """The review of a case as a page shows it."""

    def __init__(self, cases: Cases, case_id: str) -> None:
        def page():
            from types import SimpleNamespace

            import streamlit as st

            from app.views.reviewing import review_bar

            cases = st.session_state["cases"]
            st.session_state.setdefault("reviewer", "Dr A")
            review_bar(SimpleNamespace(cases=cases), cases.get(st.session_state["case_id"]))

        super().__init__(page, cases=cases, case_id=case_id)

    def press(self, label: str) -> None:
        next(b for b in self.at.button if b.label == label).click()
        self.run()

    @property
    def question(self) -> str:
        asked = [m.value for m in self.at.markdown if m.value.startswith("Accept it all the same?")]
        return " ".join([*(w.value for w in self.at.warning), *asked])

    @property
    def labels(self) -> list[str]:
        return [button.label for button in self.at.button]


def test_an_unreliable_mask_is_accepted_once_it_was_asked_whether(house, doubtful):
    cases, _ = house
    case = cases.add(doubtful, "x")
    bar = Bar(cases, case.id)
    assert bar.question == ""
    bar.press("Accept")
    assert "T1" in bar.question
    bar.press("Accept")  # quickly twice: that answers nothing
    assert "Accept it all the same?" in bar.question
    assert cases.get(case.id).review.state == "new"
    bar.press("Accept it all the same")
    review = cases.get(case.id).review
    assert (review.state, review.reviewer) == ("accepted", "Dr A")
    assert review.reason.startswith("Accepted all the same: ")
    assert "Accept it all the same" not in bar.labels


def test_who_cancels_is_asked_again(house, doubtful):
    cases, _ = house
    case = cases.add(doubtful, "x")
    bar = Bar(cases, case.id)
    for _ in range(2):
        bar.press("Accept")
        assert "Accept it all the same?" in bar.question
        bar.press("Cancel")
        assert bar.question == ""
    assert cases.get(case.id).review.state == "new"


def test_a_question_about_one_case_is_no_answer_about_the_next(house, doubtful):
    cases, _ = house
    first, second = (cases.add(doubtful, name) for name in "xy")
    bar = Bar(cases, first.id)
    bar.press("Accept")
    for case_id in (second.id, first.id):
        bar.at.session_state["case_id"] = case_id
        bar.run()
        assert bar.question == ""
    bar.press("Accept")
    assert cases.get(first.id).review.state == "new"


def test_a_mask_that_a_person_drew_instead_is_not_asked_about(house, doubtful):
    cases, corrections = house
    case = cases.add(doubtful, "x")
    labels = np.zeros(cases.images(case.id).shape, np.uint8)
    x, y, z = (n // 2 for n in labels.shape)
    labels[x - 5 : x + 5, y - 15 : y, z - 5 : z + 5] = 2
    labels[x - 5 : x + 5, y : y + 12, z - 5 : z + 5] = 1
    corrections.save(case.id, packed(labels), base=0, author="B", comment="")
    bar = Bar(cases, case.id)
    bar.press("Accept")
    assert cases.get(case.id).review.state == "accepted"


def test_no_other_way_accepts_it_unasked(house, doubtful):
    """What a list, a batch or the API would call."""
    cases, _ = house
    case = cases.add(doubtful, "x")
    with pytest.raises(ConflictError, match="was not accepted") as refused:
        cases.review(case.id, "accepted", "Dr A")
    assert refused.value.code == "unreliable"
    cases.review(case.id, "rejected", "Dr A", "inverted")  # to say so needs no second word
    cases.review(case.id, "accepted", "Dr A", despite_doubts=True)
    assert cases.get(case.id).review.state == "accepted"
