"""A patient's scans segmented again: new cases, and nothing that a person did is lost."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from app.again import of_one_version, segment_again, to_do, touched
from core.cases.corrections import Corrections
from core.cases.store import Cases
from core.cases.study import Study, study_of, type_study
from core.pipeline import Caller, analyse
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.scans import as_bytes, example, stream


@pytest.fixture(scope="module")
def shared(predictor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("again")
    engine, storage = connect(folder), LocalStorage(folder / "storage")
    cases = Cases(engine, storage)

    def segment(source, origin, caller):
        return analyse(source, predictor, folder, caller=caller)

    return SimpleNamespace(
        cases=cases, corrections=Corrections(engine, storage, cases), analysed=segment,
        keep=cases.add,
    )  # fmt: skip


def test_a_corrected_case_keeps_all_that_a_person_did_and_the_new_one_has_none_of_it(shared):
    cases = shared.cases
    old = cases.add(shared.analysed(stream(as_bytes(example())), "page", Caller()), "t1", "QX-7")
    type_study(cases.acts, old.id, Study("2024-05-02", "F", 71))
    cases.set_owners(old.id, ["ward-3"])
    shared.corrections.restore(old.id, 0, base=0, author="Dr A")
    cases.review(old.id, "accepted", "Dr A", seen=1, despite_doubts=True)
    before = cases.get(old.id)
    mask = cases.mask_file(old.id)

    new = cases.get(segment_again(shared, old.id, Caller()).id)
    assert cases.get(old.id) == before
    assert cases.mask_file(old.id) == mask
    assert touched(before)
    assert not touched(new)
    assert (new.patient, new.mask_version, new.review.state) == ("QX-7", 0, "new")
    assert new.owners == before.owners == " ward-3 "
    assert study_of(new) == Study("2024-05-02", "F", 71)
    assert new.name == f"t1 (again from {old.id})"
    # The same voxels give the same mask.
    assert new.report["measures"] == cases.get(old.id, 0).report["measures"]
    scans = [cases.images(each).values for each in (old.id, new.id)]
    assert np.array_equal(*scans)


def test_what_was_segmented_again_is_not_segmented_a_third_time(shared):
    case = shared.cases.add(shared.analysed(stream(as_bytes(example())), "page", Caller()), "t1")
    other = {"model": {"version": "1", "sha256": "old"}}
    first = replace(case, id="HV-AAAAAA", report=case.report | other)
    second = replace(case, id="HV-BBBBBB", report=case.report | other)
    again = replace(case, id="HV-CCCCCC", name="x (again from HV-AAAAAA)")
    serving = case.report["model"]["sha256"]
    assert [each.id for each in to_do([first, second, case], serving)] == ["HV-AAAAAA", "HV-BBBBBB"]
    assert [each.id for each in to_do([first, second, again], serving)] == ["HV-BBBBBB"]
    # Change begins with scans that can be compared.
    assert [each.id for each in of_one_version([first, second, again])] == [
        "HV-AAAAAA",
        "HV-BBBBBB",
    ]
